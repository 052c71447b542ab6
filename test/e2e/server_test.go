package e2e

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// binary is the program under test, built once.
var binary string

func TestMain(m *testing.M) {
	code, err := buildAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func buildAndRun(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "auditlog-e2e-")
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	binary = filepath.Join(dir, "auditlog")
	build := exec.Command("go", "build", "-trimpath", "-o", binary, "auditlog/cmd/auditlog")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("build: %w\n%s", err, out)
	}
	return m.Run(), nil
}

// server is a running service.
type server struct {
	t      *testing.T
	cmd    *exec.Cmd
	stderr *text
	exited chan error

	url, ops string
	tenant   string
	tokens   map[string]string
	requests []string // to paste
}

// text collects what a process says.
type text struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (x *text) Write(p []byte) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.b.Write(p)
}

func (x *text) String() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.b.String()
}

// startTime is long because other tests use the machine, too.
const startTime = 60 * time.Second

// serve starts the service on a data dir and returns once it takes requests.
func serve(t *testing.T, dir string, args ...string) *server {
	t.Helper()
	args = append([]string{"serve", "--quickstart", "--data-dir", dir, "--addr", "127.0.0.1:0", "--ops-addr", "127.0.0.1:0", "--log-level", "WARN"}, args...)
	return launch(t, exec.Command(binary, args...))
}

// launch starts a command that ends in a quick start and reads what it prints.
func launch(t *testing.T, cmd *exec.Cmd) *server {
	t.Helper()
	s := &server{t: t, cmd: cmd, stderr: &text{}, exited: make(chan error, 1), tokens: map[string]string{}}
	cmd.Stderr = s.stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that what make started ends with it
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready := make(chan struct{})
	go func() {
		s.readQuickstart(out, ready)
		s.exited <- cmd.Wait()
	}()
	t.Cleanup(s.kill)
	select {
	case <-ready:
	case err := <-s.exited:
		s.exited <- err
		t.Fatalf("the service did not start: %v\n%s", err, s.stderr)
	case <-time.After(startTime):
		t.Fatalf("the service does not start\n%s", s.stderr)
	}
	return s
}

// readQuickstart takes addresses and tokens from what the quick start prints, and reads on to the end.
func (s *server) readQuickstart(out io.Reader, ready chan<- struct{}) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		switch {
		case len(words) > 2 && words[0] == "auditlog" && words[1] == "serves":
			s.url = words[2]
			s.ops = strings.TrimSuffix(strings.TrimSuffix(words[len(words)-1], ")"), "/readyz")
		case len(words) == 3 && words[0] == "tenant":
			s.tenant = words[2]
		case len(words) == 2 && strings.HasPrefix(words[1], "eyJ"):
			s.tokens[words[0]] = words[1]
		case strings.HasPrefix(lines.Text(), "curl"):
			s.requests = append(s.requests, lines.Text())
			if len(s.requests) == 2 {
				close(ready)
			}
		}
	}
}

// kill ends the service at once, as a crash does. It is harmless when the service has ended.
func (s *server) kill() {
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
	s.exited <- <-s.exited
}

// stop ends the service by a signal and expects it to end well.
func (s *server) stop(signal syscall.Signal) {
	s.t.Helper()
	if err := s.end(signal); err != nil {
		s.t.Fatalf("the service ended with %v\n%s", err, s.stderr)
	}
}

// end signals the service, and make when that runs it, and waits until its output is closed. make itself ends by SIGINT.
func (s *server) end(signal syscall.Signal) error {
	s.t.Helper()
	if err := syscall.Kill(-s.cmd.Process.Pid, signal); err != nil {
		s.t.Fatal(err)
	}
	select {
	case err := <-s.exited:
		s.exited <- err
		return err
	case <-time.After(40 * time.Second):
		s.t.Fatalf("the service does not end\n%s", s.stderr)
		return nil
	}
}

// get asks as a role and gives the body of a 200.
func (s *server) get(role, path string) []byte {
	s.t.Helper()
	body, status, err := s.try(role, http.MethodGet, path, "")
	if err != nil || status != http.StatusOK {
		s.t.Fatalf("GET %s: %d %s %v", path, status, body, err)
	}
	return body
}

// try sends one request.
func (s *server) try(role, method, path, body string) ([]byte, int, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, s.url+path, strings.NewReader(body))
	if err != nil {
		return nil, 0, err
	}
	req.Header.Set("Authorization", "Bearer "+s.tokens[role])
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	return answer, resp.StatusCode, err
}

// result is a command line that has ended.
type result struct {
	out, err string
	code     int
}

// auditlog runs a client command as a role.
func (s *server) auditlog(role string, stdin io.Reader, args ...string) result {
	s.t.Helper()
	return command(s.t, stdin, []string{"AUDITLOG_URL=" + s.url, "AUDITLOG_TOKEN=" + s.tokens[role]}, args...)
}

func command(t *testing.T, stdin io.Reader, env []string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	var out, errs strings.Builder
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = append(os.Environ(), env...), stdin, &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return result{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
}
