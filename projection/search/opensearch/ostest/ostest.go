// Package ostest gives tests a real OpenSearch server.
package ostest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// Variable names a server that is there already, e.g. http://127.0.0.1:9200.
const Variable = "AUDITLOG_TEST_OPENSEARCH"

// Main is for TestMain: it runs the tests and ends the server that Address started.
func Main(m *testing.M) int {
	code := m.Run()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.server != nil {
		shared.server.end()
	}
	return code
}

var shared struct {
	mu     sync.Mutex
	server *Server
	err    error
}

// Address is a server's, which all tests of the binary share: the one that Variable names, else one that is started. A
// test that gets none fails.
func Address(tb testing.TB) string {
	tb.Helper()
	if address := os.Getenv(Variable); address != "" {
		return address
	}
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.server == nil && shared.err == nil {
		dir, err := os.MkdirTemp("", "opensearch")
		if err == nil {
			shared.server, err = launch(dir)
		}
		shared.err = err
	}
	if shared.err != nil {
		tb.Fatalf("no OpenSearch server to test with: %v", shared.err)
	}
	return shared.server.Address
}

var prefixes atomic.Int64

// Prefix is an index prefix of the test's own, whose indices go with the test.
func Prefix(tb testing.TB, address string) string {
	tb.Helper()
	prefix := fmt.Sprintf("t%dx%d", time.Now().UnixNano(), prefixes.Add(1))
	tb.Cleanup(func() {
		for _, path := range []string{"/" + prefix + "-*?ignore_unavailable=true", "/_index_template/" + prefix} {
			req, err := http.NewRequestWithContext(context.Background(), http.MethodDelete, address+path, nil)
			if err != nil {
				tb.Error(err)
				continue
			}
			if res, err := http.DefaultClient.Do(req); err == nil { // a killed server has nothing to delete
				res.Body.Close()
			}
		}
	})
	return prefix
}

// Server is a server of a test's own, to be killed.
type Server struct {
	Address string
	Dir     string // data and log
	port    int
	cmd     *exec.Cmd
	exited  chan struct{}
}

// Start starts a server of the test's own.
func Start(tb testing.TB) *Server {
	tb.Helper()
	dir, err := os.MkdirTemp("", "opensearch")
	if err != nil {
		tb.Fatal(err)
	}
	s, err := launch(dir)
	if err != nil {
		tb.Fatalf("no OpenSearch server to test with: %v", err)
	}
	tb.Cleanup(s.end)
	return s
}

// Kill ends the server's process at once.
func (s *Server) Kill() {
	_ = s.cmd.Process.Kill() // it may be gone already
	<-s.exited
}

// Restart starts the server again with its data, and waits until it answers.
func (s *Server) Restart() error { return s.start() }

func (s *Server) end() {
	s.Kill()
	_ = os.RemoveAll(s.Dir) // a leftover of a test harms nobody
}

func launch(dir string) (*Server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	port := l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		return nil, err
	}
	s := &Server{Address: "http://127.0.0.1:" + strconv.Itoa(port), Dir: dir, port: port}
	if err := s.start(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return s, nil
}

// script is the server's, from the sources of this package.
func script() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..", "..", "..", "scripts", "servers", "opensearch.sh")
}

// startTime bounds a start; a first one also fetches the distribution.
const startTime = 4 * time.Minute

// start runs the server as a child that dies with this process, and waits until it answers.
func (s *Server) start() error {
	cmd := exec.Command(script(), "run")
	cmd.Env = append(os.Environ(), "OPENSEARCH_DIR="+s.Dir, "OPENSEARCH_PORT="+strconv.Itoa(s.port), "OPENSEARCH_OPTIONS=-XX:TieredStopAtLevel=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	log := &tail{}
	cmd.Stdout, cmd.Stderr = log, log
	started := make(chan error)
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		runtime.LockOSThread() // the child dies with the thread that started it
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			err = cmd.Wait()
			fmt.Fprintf(log, "the server's process ended: %v\n", err)
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	s.cmd, s.exited = cmd, exited
	for deadline := time.Now().Add(startTime); time.Now().Before(deadline); {
		select {
		case <-exited:
			return fmt.Errorf("the server ended by itself:\n%s", log)
		case <-time.After(200 * time.Millisecond):
		}
		res, err := http.Get(s.Address + "/_cluster/health?wait_for_status=yellow&timeout=2s")
		if err != nil {
			continue
		}
		res.Body.Close()
		if res.StatusCode == http.StatusOK {
			return nil
		}
	}
	s.Kill()
	return fmt.Errorf("the server did not answer within %s:\n%s", startTime, log)
}

// tail keeps the last of what a server prints.
type tail struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.b.Len() > 64<<10 {
		t.b.Next(32 << 10)
	}
	return t.b.Write(p)
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.String()
}
