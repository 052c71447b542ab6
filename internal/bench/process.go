package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a process of the service under measure.
type process struct {
	cmd       *exec.Cmd
	errs      bytes.Buffer // to be read after exited
	exited    chan error   // holds how it ended, once it has
	addr, ops string
	tokens    map[string]string // of the tenant that is measured, by role
	secret    secret            // signs tokens of the embedded tier
	began     time.Time
}

// unlimited switches the rates off, as the bars have it.
var unlimited = []string{"--limit-requests=0", "--limit-entries=0", "--limit-searches=0", "--limit-stats=0", "--limit-exports=0"}

// spawn starts a command of the program with listeners of its own. out takes what it prints.
func spawn(ctx context.Context, binary string, env []string, out io.Writer, command string, args ...string) (*process, error) {
	p := &process{tokens: map[string]string{}, exited: make(chan error, 1)}
	var err error
	if p.ops, err = freeAddr(); err != nil {
		return nil, err
	}
	args = append([]string{command, "--ops-addr", p.ops, "--log-level", "ERROR"}, args...)
	if command != "worker" {
		if p.addr, err = freeAddr(); err != nil {
			return nil, err
		}
		args = append(append(args, "--addr", p.addr), unlimited...)
	}
	p.cmd = exec.CommandContext(ctx, binary, args...)
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.Env = out, &p.errs, env
	p.began = time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { p.exited <- p.cmd.Wait() }()
	return p, nil
}

// launch starts the embedded service on a data dir and returns once its quick start is printed.
func launch(ctx context.Context, binary, dir string, args ...string) (*process, error) {
	out, printed := io.Pipe()
	key := newSecret()
	p, err := spawn(ctx, binary, environ([]string{"AUDITLOG_JWT_SECRET=" + string(key)}), printed, "serve", append([]string{"--quickstart", "--bench-null", "--data-dir", dir}, args...)...)
	if err != nil {
		return nil, err
	}
	p.secret = key
	ready := make(chan struct{})
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			words := strings.Fields(lines.Text())
			if len(words) == 2 && strings.HasPrefix(words[1], "eyJ") {
				p.tokens[words[0]] = words[1]
			}
			if strings.Contains(lines.Text(), "limit=5") {
				close(ready)
			}
		}
	}()
	select {
	case <-ready:
		return p, nil
	case err := <-p.exited:
		p.exited <- err
		return nil, p.failed(err)
	}
}

func (p *process) failed(err error) error {
	return fmt.Errorf("%s did not start: %w: %s", p.cmd.Args[1], err, strings.TrimSpace(p.errs.String()))
}

// startTime is how long a process may take to be ready, beside others that use the machine.
const startTime = time.Minute

// ready waits until the process says so itself.
func (p *process) ready() error {
	for deadline := time.Now().Add(startTime); ; time.Sleep(20 * time.Millisecond) {
		resp, err := http.Get("http://" + p.ops + "/readyz")
		var answer []byte
		if err == nil {
			answer, err = io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if err == nil && resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case err := <-p.exited:
			p.exited <- err
			return p.failed(err)
		default:
		}
		if time.Now().After(deadline) {
			return errors.Join(err, p.stop(), fmt.Errorf("%s is not ready: %s %s", p.cmd.Args[1], answer, p.errs.String()))
		}
	}
}

// environ is the environment without settings of the service, which are not to reach what is measured, and with those
// given.
func environ(settings []string) []string {
	var env []string
	for _, setting := range os.Environ() {
		if !strings.HasPrefix(setting, "AUDITLOG_") {
			env = append(env, setting)
		}
	}
	return append(env, settings...)
}

// freeAddr is an address that was free a moment ago.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String(), nil
}

// stop ends the process and waits for it.
func (p *process) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	err := <-p.exited
	p.exited <- err
	if err != nil {
		return fmt.Errorf("%s ended: %w: %s", p.cmd.Args[1], err, strings.TrimSpace(p.errs.String()))
	}
	return nil
}

// gauge reads one metric, with its labels if it has any, from the ops listener.
func (p *process) gauge(name string) (float64, error) {
	all, err := p.metrics(name)
	if err == nil && len(all) != 1 {
		err = fmt.Errorf("there are %d metrics %s", len(all), name)
	}
	for _, value := range all {
		return value, err
	}
	return 0, err
}

// metrics reads the metrics of a name from the ops listener, by their labels.
func (p *process) metrics(name string) (map[string]float64, error) {
	resp, err := http.Get("http://" + p.ops + "/metrics")
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	all := map[string]float64{}
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		rest, found := strings.CutPrefix(lines.Text(), name)
		labels, value, _ := strings.Cut(rest, " ")
		if !found || labels != "" && labels[0] != '{' {
			continue
		}
		if all[labels], err = strconv.ParseFloat(value, 64); err != nil {
			return nil, err
		}
	}
	return all, lines.Err()
}

const mebibyte = 1 << 20

// resident is the service's resident memory in MiB.
func (p *process) resident() (float64, error) {
	b, err := p.gauge("process_resident_memory_bytes")
	return b / mebibyte, err
}

// fresh is an empty data dir.
func (r *run) fresh(name string) (string, error) { return os.MkdirTemp(r.Dir, name) }
