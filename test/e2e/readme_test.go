package e2e

import (
	"bytes"
	"encoding/csv"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"auditlog/test/stack"
)

// readmeCommands are the shell blocks of README.md that are to run against a service that `make run` started.
var readmeCommands = regexp.MustCompile("(?s)<!-- test: serve -->\n```sh\n(.*?)```")

// TestReadme does what the README tells a stranger to do, in a fresh clone: make run, its requests and commands, the
// printed requests, Ctrl-C, and make run again with the same data.
func TestReadme(t *testing.T) {
	clone := freshClone(t)
	readme, err := os.ReadFile(filepath.Join(clone, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	s := makeRun(t, clone)
	first := s.tenant
	blocks := readmeCommands.FindAllStringSubmatch(string(readme), -1)
	if len(blocks) < 3 {
		t.Errorf("the README has %d blocks to run", len(blocks))
	}
	for _, b := range blocks {
		script := strings.ReplaceAll("set -eu\nexport AUDITLOG_URL=http://127.0.0.1:8080\n"+b[1], "http://127.0.0.1:8080", s.url)
		out := s.shell(clone, strings.ReplaceAll(script, "curl -sS", "curl -sS --fail-with-body"))
		if strings.Contains(script, "import") && !strings.Contains(out, "refused 0") {
			t.Errorf("the import says: %s", out)
		}
		if strings.Contains(script, "shared+bob") && !strings.Contains(out, "shared with bob") {
			t.Errorf("the search finds: %s", out)
		}
	}
	decryptions(t, clone)
	if info, err := os.Stat(filepath.Join(clone, "replay.ndjson")); err != nil || info.Size() == 0 {
		t.Errorf("the replay is not there: %v", err)
	}
	// Afterwards, since the README's positions are those of one posted entry.
	t.Run("printed requests", func(t *testing.T) { s.with(t).printed() })
	head := int64(len(s.replay(-1)))
	before := s.list("", head).Total.Value
	if err := s.proc.End(syscall.SIGINT); err != nil && err.Error() != "signal: interrupt" && s.proc.ExitCode() != 2 {
		t.Errorf("make run ended with %v\n%s", err, s.proc.Output)
	}

	s = makeRun(t, clone)
	if after := s.list("", head).Total.Value; after != before || s.tenant != first {
		t.Errorf("started again: tenant %s with %d entries, before %s with %d", s.tenant, after, first, before)
	}
}

// decryptions checks that the README's export holds every Decrypt of the sample that it imports.
func decryptions(t *testing.T, clone string) {
	t.Helper()
	in, err := os.ReadFile(filepath.Join(clone, "test/e2e/testdata/cloudtrail.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	out, err := os.Open(filepath.Join(clone, "decrypt.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = out.Close() }()
	rows, err := csv.NewReader(out).ReadAll()
	if want := bytes.Count(in, []byte(`"eventName":"Decrypt"`)); err != nil || want == 0 || len(rows) != want+1 {
		t.Errorf("the export has %d rows with its header for %d records, %v", len(rows), want, err)
	}
}

// freshClone clones what is committed, and checks that it builds with nothing but what it holds.
func freshClone(t *testing.T) string {
	t.Helper()
	clone := filepath.Join(t.TempDir(), "auditlog")
	for _, c := range [][]string{
		{"git", "clone", "--quiet", "--no-local", "--depth=1", "file://" + root(t), clone},
		{"go", "-C", clone, "build", "-trimpath", "./..."},
	} {
		if out, err := exec.Command(c[0], c[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", c, err, out)
		}
	}
	return clone
}

func root(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("git", "rev-parse", "--show-toplevel").Output()
	if err != nil {
		t.Fatalf("the tests run in a checkout: %v", err)
	}
	return strings.TrimSpace(string(out))
}

// makeRun is the README's first command, on free ports.
func makeRun(t *testing.T, dir string) *server {
	t.Helper()
	cmd := exec.Command("make", "run")
	cmd.Dir = dir
	cmd.Env = stack.Environ("AUDITLOG_ADDR=127.0.0.1:0", "AUDITLOG_OPS_ADDR=127.0.0.1:0", "AUDITLOG_LOG_LEVEL=WARN")
	return launch(t, cmd)
}

// shell runs a script with the tokens in its environment.
func (s *server) shell(dir, script string) string {
	s.t.Helper()
	cmd := exec.Command("sh", "-c", script)
	cmd.Dir = dir
	cmd.Env = stack.Environ("WRITER="+s.tokens["writer"], "READER="+s.tokens["reader"], "AUDITOR="+s.tokens["auditor"])
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("%s\n%v\n%s", script, err, out)
	}
	return string(out)
}

// printed pastes the two requests that the quick start printed.
func (s *server) printed() {
	if len(s.requests) != 2 {
		s.t.Fatalf("%d requests were printed", len(s.requests))
	}
	for i, want := range []string{`"message":"shared with bob"`, `"complete_to":`} {
		if out := s.shell(s.t.TempDir(), s.requests[i]); !strings.Contains(out, want) {
			s.t.Errorf("%s\nanswers %s", s.requests[i], out)
		}
	}
}
