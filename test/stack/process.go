package stack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Main is what a TestMain does whose tests start the program: it builds it, tells where it is, and runs the tests. It
// gives the exit code.
func Main(m interface{ Run() int }, built *string) (code int) {
	code, err := buildAndRun(m, built)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

func buildAndRun(m interface{ Run() int }, built *string) (code int, err error) {
	dir, err := os.MkdirTemp("", "auditlog-test-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if *built, err = build(dir); err != nil {
		return 0, err
	}
	return m.Run(), nil
}

// build builds the program into a folder.
func build(dir string) (binary string, err error) {
	binary = filepath.Join(dir, "auditlog")
	cmd := exec.Command("go", "build", "-trimpath", "-o", binary, "auditlog/cmd/auditlog")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return binary, nil
}

// unlimited switches rates off: tests send as fast as they can, unless it is rates that they are about.
var unlimited = []string{
	"AUDITLOG_LIMIT_REQUESTS=0", "AUDITLOG_LIMIT_ENTRIES=0", "AUDITLOG_LIMIT_SEARCHES=0", "AUDITLOG_LIMIT_STATS=0", "AUDITLOG_LIMIT_EXPORTS=0",
}

// Environ is the environment without settings of the service and its clients' libraries, which would make a test mean
// something else, with rates off, and with those given.
func Environ(settings ...string) []string {
	var env []string
	for _, setting := range os.Environ() {
		if !strings.HasPrefix(setting, "AUDITLOG_") && !strings.HasPrefix(setting, "AWS_") && !strings.HasPrefix(setting, "PG") {
			env = append(env, setting)
		}
	}
	return append(append(env, unlimited...), settings...) // the last of a name counts
}

// startTime is long because other tests use the machine, too.
const startTime = 60 * time.Second

// Process is a running process, with all that it starts.
type Process struct {
	Output *Text // both streams

	tb     testing.TB
	cmd    *exec.Cmd
	exited chan error
}

// Launch starts a command and returns when watch, which sees each line of both streams, has said so once.
func Launch(tb testing.TB, cmd *exec.Cmd, watch func(line string) (ready bool)) *Process {
	tb.Helper()
	p := &Process{Output: &Text{}, tb: tb, cmd: cmd, exited: make(chan error, 1)}
	ready := make(chan struct{})
	var seen sync.Mutex
	look := func(line string) {
		seen.Lock()
		defer seen.Unlock()
		if watch(line) {
			select {
			case <-ready:
			default:
				close(ready)
			}
		}
	}
	cmd.Stdout, cmd.Stderr = &lines{to: p.Output, look: look}, &lines{to: p.Output, look: look}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that what make started ends with it
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	go func() { p.exited <- cmd.Wait() }()
	tb.Cleanup(p.Kill)
	select {
	case <-ready:
	case err := <-p.exited:
		p.exited <- err
		tb.Fatalf("%v did not start: %v\n%s", cmd.Args, err, p.Output)
	case <-time.After(startTime):
		tb.Fatalf("%v does not start\n%s", cmd.Args, p.Output)
	}
	return p
}

// Signal sends a signal.
func (p *Process) Signal(signal syscall.Signal) {
	p.tb.Helper()
	if err := syscall.Kill(-p.cmd.Process.Pid, signal); err != nil {
		p.tb.Fatal(err)
	}
}

// NoLimit is LimitFiles undone.
const NoLimit = unix.RLIM_INFINITY

// LimitFiles lets no file that the process writes grow beyond so many bytes, from now on.
func (p *Process) LimitFiles(size uint64) {
	p.tb.Helper()
	var limit unix.Rlimit
	err := unix.Prlimit(p.cmd.Process.Pid, unix.RLIMIT_FSIZE, nil, &limit)
	if err == nil {
		limit.Cur = min(size, limit.Max)
		err = unix.Prlimit(p.cmd.Process.Pid, unix.RLIMIT_FSIZE, &limit, nil)
	}
	if err != nil {
		p.tb.Fatal(err)
	}
}

// Kill ends it at once, as a crash does. It is harmless when the process has ended.
func (p *Process) Kill() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	p.exited <- <-p.exited
}

// End signals it and waits until its output is closed; how it ended comes back.
func (p *Process) End(signal syscall.Signal) error {
	p.tb.Helper()
	p.Signal(signal)
	select {
	case err := <-p.exited:
		p.exited <- err
		return err
	case <-time.After(40 * time.Second):
		p.tb.Fatalf("%v does not end\n%s", p.cmd.Args, p.Output)
		return nil
	}
}

// Running tells whether it has not ended.
func (p *Process) Running() bool {
	select {
	case err := <-p.exited:
		p.exited <- err
		return false
	default:
		return true
	}
}

// ExitCode is that of a process which has ended.
func (p *Process) ExitCode() int { return p.cmd.ProcessState.ExitCode() }

// Result is a command line that has ended.
type Result struct {
	Out, Err string
	Code     int
}

// Command runs a command line to its end.
func Command(tb testing.TB, stdin io.Reader, env []string, name string, args ...string) Result {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	var out, errs strings.Builder
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = Environ(env...), stdin, &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		tb.Fatal(err)
	}
	return Result{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
}

// Text keeps the last of what a process says.
type Text struct {
	mu sync.Mutex
	b  bytes.Buffer
}

const textSize = 1 << 20

func (x *Text) Write(p []byte) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.b.Len() > textSize {
		x.b.Next(textSize / 2)
	}
	return x.b.Write(p)
}

func (x *Text) String() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.b.String()
}

// lines hands a stream on as it comes, and each whole line of it.
type lines struct {
	to   io.Writer
	look func(line string)
	rest []byte
}

func (l *lines) Write(p []byte) (int, error) {
	_, _ = l.to.Write(p) // to memory
	l.rest = append(l.rest, p...)
	for {
		line, rest, found := bytes.Cut(l.rest, []byte("\n"))
		if !found {
			return len(p), nil
		}
		l.look(string(line))
		l.rest = rest
	}
}
