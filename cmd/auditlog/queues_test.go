package main

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"auditlog/projection"
	"auditlog/projection/projtest"
	"auditlog/transport/bus"
	"auditlog/transport/bus/sqs"
	"auditlog/transport/bus/sqs/sqstest"
)

// binary builds auditlog once for all tests.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "auditlog-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "auditlog")
	if out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		return "", errors.Join(err, errors.New(string(out)))
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := binary(); err == nil {
		_ = os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// execute runs the binary with nothing in its environment but env, and a home without AWS files.
func execute(t *testing.T, env []string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append([]string{"HOME=" + t.TempDir(), "AWS_EC2_METADATA_DISABLED=true"}, env...)
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), problems.String(), cmd.ProcessState.ExitCode()
}

const (
	keyID  = "AWS_ACCESS_KEY_ID=local"
	secret = "AWS_SECRET_ACCESS_KEY=local"
	region = "AWS_REGION=us-east-1"
)

// The queues' life as an operator sees it: missing, made, changed, with a dead letter, redriven.
func TestQueues(t *testing.T) {
	t.Parallel()
	server, err := sqstest.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	cfg := server.Config()
	env := []string{keyID, secret, region, "AWS_ENDPOINT_URL_SQS=" + server.URL, "AUDITLOG_QUEUE_PREFIX=" + cfg.Prefix}
	step := func(want int, args ...string) []string {
		t.Helper()
		out, problems, code := execute(t, env, append([]string{"queues"}, args...)...)
		if code != want || (code == 0) != (problems == "") || strings.Count(problems, "\n") > 1 {
			t.Fatalf("%v: exit code %d, %q and %q", args, code, out, problems)
		}
		return strings.Split(strings.TrimRight(out, "\n"), "\n")
	}
	ending := func(lines []string, end string) (n int) {
		for _, l := range lines {
			if strings.HasSuffix(l, end) {
				n++
			}
		}
		return n
	}

	if got := step(1, "show"); ending(got, "missing") != 3 {
		t.Errorf("before: %q", got)
	}
	if got := step(0, "ensure"); len(got) != 6 || ending(got, ": made") != 6 || !strings.HasPrefix(got[0], cfg.Prefix+"search") {
		t.Errorf("first ensure: %q", got)
	}
	if got := step(0, "ensure"); len(got) != 6 || ending(got, ": unchanged") != 6 {
		t.Errorf("second ensure: %q", got)
	}
	if got := step(0, "ensure", "--queue-visibility", "45s", "stats"); len(got) != 2 || ending(got, "stats: changed VisibilityTimeout") != 1 {
		t.Errorf("another visibility: %q", got)
	}

	poison(t, cfg, "stats")
	got := step(0, "show", "stats")
	if len(got) != 3 || !strings.HasPrefix(got[0], "QUEUE") || strings.Join(strings.Fields(got[1])[1:], " ") != "0 0 0 1 45s 5" ||
		!strings.HasSuffix(got[2], `range 0:0-1: "poison: no such type"`) {
		t.Errorf("with a dead letter: %q", got)
	}
	if got := step(0, "show", "--no-dead", "stats"); len(got) != 2 {
		t.Errorf("without its letter: %q", got)
	}
	if got := step(0, "redrive", "stats"); len(got) != 1 || got[0] != "stats: moved 1" {
		t.Errorf("redrive: %q", got)
	}
	got = step(0, "show", "stats") // ElasticMQ calls what it moved delayed for a moment
	if len(got) != 2 || strings.Count(got[1], "  1  ") != 1 || !strings.HasSuffix(got[1], "  0     45s         5") {
		t.Errorf("redriven: %q", got)
	}
}

// poison makes one dead letter.
func poison(t *testing.T, cfg sqs.Config, destination string) {
	t.Helper()
	m := projtest.NewMemory()
	m.Append(1)
	b, err := sqs.New(cfg, bus.RouterOptions{Log: cfg.Log})
	if err != nil {
		t.Fatal(err)
	}
	dead := make(chan struct{}, 1)
	b.Subscribe(destination, func(context.Context, projection.Envelope) error {
		dead <- struct{}{}
		return &projection.Poison{Err: errors.New("no such type")}
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	<-b.Running()
	env, err := projection.ReadEnvelope(t.Context(), m, 0, projection.Range{To: 1}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Publish(t.Context(), destination, env); err != nil {
		t.Fatal(err)
	}
	<-dead
	cancel() // the letter is sent before the handler counts as done
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("bus: %v", err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

// What is set wrongly is told in one line that names the setting.
func TestQueuesNameTheWrongSetting(t *testing.T) {
	t.Parallel()
	answers := func(status int, code string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if code == "" {
				http.Error(w, "<html>no such page</html>", status)
				return
			}
			w.Header().Set("Content-Type", "application/x-amz-json-1.0")
			w.WriteHeader(status)
			_, _ = w.Write([]byte(`{"__type":"com.amazonaws.sqs#` + code + `","message":"no"}`))
		}))
		t.Cleanup(s.Close)
		return "AWS_ENDPOINT_URL_SQS=" + s.URL
	}
	for name, c := range map[string]struct {
		env  []string
		want string
	}{
		"no region":           {[]string{keyID, secret}, "AWS_REGION is not set"},
		"no credentials":      {[]string{region, answers(200, "")}, "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"},
		"nobody there":        {[]string{keyID, secret, region, "AWS_ENDPOINT_URL_SQS=http://127.0.0.1:1"}, "SQS server at AWS_ENDPOINT_URL_SQS=http://127.0.0.1:1:"},
		"something else":      {[]string{keyID, secret, region, answers(404, "")}, "no SQS server answers at AWS_ENDPOINT_URL_SQS=http://127.0.0.1:"},
		"not allowed":         {[]string{keyID, secret, region, answers(403, "AccessDeniedException")}, "not allowed sqs:GetQueueUrl"},
		"refused credentials": {[]string{keyID, secret, region, answers(403, "InvalidClientTokenId")}, "the AWS credentials (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_PROFILE"},
		"bad prefix":          {[]string{keyID, secret, region, "AUDITLOG_QUEUE_PREFIX=a b"}, "queue prefix"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, command := range []string{"ensure", "show", "redrive"} {
				out, problems, code := execute(t, c.env, "queues", command, "search")
				want := exitFailed
				if name == "bad prefix" {
					want = exitUsage
				}
				if code != want || out != "" && command != "show" || strings.Count(problems, "\n") != 1 || !strings.Contains(problems, c.want) {
					t.Errorf("%s: exit code %d, %q, %q; want %q", command, code, out, problems, c.want)
				}
			}
		})
	}
}
