package e2e

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"auditlog/test/stack"
)

// oneLine checks that a failure is told in one line that says what it is about, without a stack trace.
func oneLine(t *testing.T, r stack.Result, code int, words ...string) {
	t.Helper()
	text := strings.TrimSpace(r.Err)
	if r.Code != code {
		t.Errorf("exit code %d, want %d", r.Code, code)
	}
	last := text[strings.LastIndexByte(text, '\n')+1:]
	for _, w := range append(words, "auditlog: ") {
		if !strings.Contains(last, w) {
			t.Errorf("the message has no %q: %s", w, last)
		}
	}
	if strings.Contains(r.Err, "goroutine ") || strings.Contains(r.Err, ".go:") {
		t.Errorf("the message has a stack trace: %s", r.Err)
	}
}

func TestSettingsThatCannotWork(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	damaged := t.TempDir()
	if err := os.WriteFile(filepath.Join(damaged, "events.db"), []byte(strings.Repeat("this is no database. ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args  []string
		code  int
		words []string
	}{
		"port in use":            {[]string{"--addr", taken.Addr().String()}, 1, []string{"AUDITLOG_ADDR (--addr)", "in use"}},
		"ops port in use":        {[]string{"--ops-addr", taken.Addr().String()}, 1, []string{"AUDITLOG_OPS_ADDR", "in use"}},
		"no address":             {[]string{"--addr", "nowhere"}, 2, []string{"AUDITLOG_ADDR", "host:port"}},
		"no port":                {[]string{"--addr", "127.0.0.1:99999"}, 2, []string{"AUDITLOG_ADDR", "65535"}},
		"data dir is a file":     {[]string{"--data-dir", file}, 1, []string{"AUDITLOG_DATA_DIR (--data-dir)"}},
		"data dir under a file":  {[]string{"--data-dir", filepath.Join(file, "data")}, 1, []string{"AUDITLOG_DATA_DIR"}},
		"data dir cannot be":     {[]string{"--data-dir", "/proc/auditlog"}, 1, []string{"AUDITLOG_DATA_DIR"}},
		"keys cannot be":         {[]string{"--keys", filepath.Join(file, "keys")}, 1, []string{"AUDITLOG_KEYS"}},
		"damaged store":          {[]string{"--data-dir", damaged}, 1, []string{"AUDITLOG_DATA_DIR", "events.db", "backup"}},
		"short secret":           {[]string{"--jwt-secret", "short"}, 2, []string{"AUDITLOG_JWT_SECRET", "32"}},
		"negative drain":         {[]string{"--drain=-1s"}, 2, []string{"AUDITLOG_DRAIN"}},
		"queue out of range":     {[]string{"--queue-entries", "999999999"}, 2, []string{"AUDITLOG_QUEUE_ENTRIES", "1048576"}},
		"bad origin":             {[]string{"--origins", "example.com/x"}, 2, []string{"AUDITLOG_ORIGINS"}},
		"several at once":        {[]string{"--drain=-1s", "--addr=x"}, 2, []string{"AUDITLOG_DRAIN", "AUDITLOG_ADDR"}},
		"unknown store":          {[]string{"--store", "oracle"}, 2, []string{"--store", "embedded"}},
		"unknown flag":           {[]string{"--no-such"}, 2, []string{"--no-such"}},
		"a time that is no time": {[]string{"--drain", "soon"}, 2, []string{"--drain"}},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"serve", "--addr", "127.0.0.1:0", "--ops-addr", "127.0.0.1:0", "--data-dir", filepath.Join(t.TempDir(), "data")}, c.args...)
			oneLine(t, command(t, nil, nil, args...), c.code, c.words...)
		})
	}
}

func TestSecondProcess(t *testing.T) {
	dir := t.TempDir()
	s := serve(t, dir)
	r := command(t, nil, nil, "serve", "--data-dir", dir, "--addr", "127.0.0.1:0", "--ops-addr", "127.0.0.1:0")
	oneLine(t, r, 1, "AUDITLOG_DATA_DIR", "another auditlog process uses it")
	r = command(t, nil, nil, "rebuild", "search", "--data-dir", dir, "--ops-addr", "127.0.0.1:1")
	oneLine(t, r, 1, "another auditlog process uses it", "AUDITLOG_OPS_ADDR")
	s.stop(syscall.SIGTERM)
	if r = command(t, nil, nil, "rebuild", "search", "--data-dir", dir, "--ops-addr", "127.0.0.1:1"); r.Code != 0 {
		t.Errorf("rebuild without a service: %s", r.Err)
	}
}

// TestDamagedIndex starts on files that are no databases: they are built anew, and the log says so.
func TestDamagedIndex(t *testing.T) {
	in := openSample(t)
	dir := t.TempDir()
	s := serve(t, dir)
	s.importSample(in)
	s.list("", int64(in.total+1))
	s.stop(syscall.SIGTERM)
	files, err := filepath.Glob(filepath.Join(dir, "*.db"))
	if err != nil {
		t.Fatal(err)
	}
	damaged := 0
	for _, f := range files {
		if filepath.Base(f) != "events.db" {
			damaged++
			if err := os.WriteFile(f, []byte(strings.Repeat("this is no database. ", 1000)), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	s = serve(t, dir)
	s.counts(in)
	if said := strings.Count(s.proc.Output.String(), "damaged"); damaged < 5 || said < damaged {
		t.Errorf("%d files were damaged, the log tells of %d: %s", damaged, said, s.proc.Output)
	}
}

func TestCommandLine(t *testing.T) {
	dir := t.TempDir()
	const id = "01a2070d-1cca-7af6-bbb8-68ddae676ad2"
	for _, c := range []struct {
		args  []string
		code  int
		words []string
	}{
		{[]string{"nonsense"}, 2, []string{"nonsense"}},
		{[]string{"token", "--data-dir", dir, "--roles", "king", "--tenant", id}, 2, []string{"--roles", "king"}},
		{[]string{"token", "--data-dir", dir, "--roles", "writer"}, 2, []string{"--tenant"}},
		{[]string{"token", "--data-dir", dir, "--roles", "admin", "--tenant", id}, 2, []string{"--tenant"}},
		{[]string{"token", "--data-dir", dir, "--roles", "writer", "--tenant", "demo"}, 2, []string{"--tenant"}},
		{[]string{"token", "--data-dir", dir, "--roles", "writer", "--tenant", id, "--ttl", "48h"}, 2, []string{"--ttl", "24h"}},
		{[]string{"import", "x"}, 2, []string{"--format"}},
		{[]string{"import", "--format", "ndjson", "x"}, 2, []string{"AUDITLOG_TOKEN"}},
		{[]string{"import", "--format", "ndjson", "--token", "t", "no-such-file"}, 1, []string{"no-such-file"}},
		{[]string{"import", "--format", "ndjson", "--token", "t", "--bulk", "1001", "x"}, 2, []string{"--bulk"}},
		{[]string{"export", "--token", "t", "--url", "ftp://x"}, 2, []string{"AUDITLOG_URL"}},
		{[]string{"export", "--token", "t", "--url", "http://127.0.0.1:1", "--patience=-1s"}, 1, []string{"AUDITLOG_URL", "no server answers"}},
		{[]string{"replay", "--token", "t", "--after=-1"}, 2, []string{"--after"}},
		{[]string{"seed", "--token", "t", "--count", "0"}, 2, []string{"--count"}},
		{[]string{"rebuild", "everything"}, 2, []string{"search"}},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) { oneLine(t, command(t, nil, nil, c.args...), c.code, c.words...) })
	}
	for _, args := range [][]string{{}, {"--help"}, {"serve", "--help"}, {"import", "--help"}, {"version"}} {
		if r := command(t, nil, nil, args...); r.Code != 0 || !strings.Contains(r.Out, "auditlog") {
			t.Errorf("%v: %d %s%s", args, r.Code, r.Out, r.Err)
		}
	}
	if r := command(t, nil, nil, "--help"); !strings.Contains(r.Out, "Exit codes") {
		t.Errorf("the help tells no exit codes: %s", r.Out)
	}
}

// TestClientCommands uses minted tokens, generated entries, and an import that is refused in part.
func TestClientCommands(t *testing.T) {
	dir := t.TempDir()
	s := serve(t, dir)
	minted := command(t, nil, nil, "token", "--data-dir", dir, "--roles", "writer,reader", "--tenant", s.tenant, "--rights", "export")
	if minted.Code != 0 {
		t.Fatal(minted.Err)
	}
	s.tokens["minted"] = strings.TrimSpace(minted.Out)
	if r := s.auditlog("minted", nil, "seed", "--count", "250", "--bulk", "100"); r.Code != 0 || !strings.HasPrefix(r.Out, "sent 250, of them replayed 0,") {
		t.Errorf("seed: %d %s%s", r.Code, r.Out, r.Err)
	}
	if r := s.auditlog("minted", nil, "seed", "--count", "250"); !strings.HasPrefix(r.Out, "sent 250, of them replayed 250,") {
		t.Errorf("seed again: %d %s%s", r.Code, r.Out, r.Err)
	}
	lines := `{"action":"a","actor":{"id":"x"},"resource":{"type":"y"}}` + "\n" + `{"action":"b c"}` + "\nnonsense\n"
	r := s.auditlog("minted", strings.NewReader(lines), "import", "--format", "ndjson", "-")
	if !strings.HasPrefix(r.Out, "read 3, stored 1, replayed 0, refused 2 ") || !strings.Contains(r.Err, "-:2: ") || !strings.Contains(r.Err, "-:3: ") {
		t.Errorf("import: %s%s", r.Out, r.Err)
	}
	oneLine(t, r, 3, "2 of 3 records were refused")
	s.list("", 252)
	if r := s.auditlog("minted", nil, "export", "-f", "action=a"); r.Code != 0 || strings.Count(r.Out, "\n") != 2 || !strings.Contains(r.Err, "1 entries") {
		t.Errorf("export: %d %s%s", r.Code, r.Out, r.Err)
	}
	out := filepath.Join(t.TempDir(), "out")
	oneLine(t, s.auditlog("minted", nil, "replay", "--out", out), 1, "403", "AUDITLOG_TOKEN")
	if found, err := filepath.Glob(out + "*"); err != nil || len(found) != 0 {
		t.Errorf("a failed command leaves %v, %v", found, err)
	}
	start := time.Now()
	s.stop(syscall.SIGINT)
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("an idle service ends after %v", took)
	}
}
