package e2e

import (
	"io"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"auditlog/test/stack"
)

// server is a running service as its clients see it: one process of the embedded tier, or several of the distributed one.
type server struct {
	t    *testing.T
	proc *stack.Process // nil for several

	url, ops string // ops is where projections are rebuilt
	tenant   string
	tokens   map[string]string
	requests []string // to paste
}

// serve starts the service on a data dir and returns once it takes requests.
func serve(t *testing.T, dir string, args ...string) *server {
	t.Helper()
	args = append([]string{"serve", "--quickstart", "--data-dir", dir, "--addr", "127.0.0.1:0", "--ops-addr", "127.0.0.1:0", "--log-level", "WARN"}, args...)
	return launch(t, exec.Command(binary, args...))
}

// launch starts a command that ends in a quick start and reads what it prints.
func launch(t *testing.T, cmd *exec.Cmd) *server {
	t.Helper()
	s := &server{t: t, tokens: map[string]string{}}
	if cmd.Env == nil {
		cmd.Env = stack.Environ()
	}
	s.proc = stack.Launch(t, cmd, s.quickstart)
	return s
}

// quickstart takes addresses and tokens from a line that the quick start prints, and tells whether it is the last.
func (s *server) quickstart(line string) (last bool) {
	words := strings.Fields(line)
	switch {
	case len(words) > 2 && words[0] == "auditlog" && words[1] == "serves":
		s.url = words[2]
		s.ops = strings.TrimSuffix(strings.TrimSuffix(words[len(words)-1], ")"), "/readyz")
	case len(words) == 3 && words[0] == "tenant":
		s.tenant = words[2]
	case len(words) == 2 && strings.HasPrefix(words[1], "eyJ"):
		s.tokens[words[0]] = words[1]
	case strings.HasPrefix(line, "curl"):
		s.requests = append(s.requests, line)
	}
	return len(s.requests) == 2
}

func (s *server) kill() { s.proc.Kill() }

// stop ends the service by a signal and expects it to end well.
func (s *server) stop(signal syscall.Signal) {
	s.t.Helper()
	if err := s.proc.End(signal); err != nil {
		s.t.Fatalf("the service ended with %v\n%s", err, s.proc.Output)
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
	return stack.Call(s.url, s.tokens[role], method, path, body)
}

// auditlog runs a client command as a role.
func (s *server) auditlog(role string, stdin io.Reader, args ...string) stack.Result {
	s.t.Helper()
	return command(s.t, stdin, []string{"AUDITLOG_URL=" + s.url, "AUDITLOG_TOKEN=" + s.tokens[role]}, args...)
}

func command(t *testing.T, stdin io.Reader, env []string, args ...string) stack.Result {
	t.Helper()
	return stack.Command(t, stdin, env, binary, args...)
}
