package bench

import (
	"bufio"
	"bytes"
	"context"
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

// process is a service under measure.
type process struct {
	cmd       *exec.Cmd
	errs      bytes.Buffer
	addr, ops string
	tokens    map[string]string
	began     time.Time
}

// launch starts the service on a data dir and returns once its quick start is printed.
func launch(ctx context.Context, binary, dir string, args ...string) (*process, error) {
	p := &process{tokens: map[string]string{}}
	var err error
	if p.addr, err = freeAddr(); err != nil {
		return nil, err
	}
	if p.ops, err = freeAddr(); err != nil {
		return nil, err
	}
	args = append([]string{
		"serve", "--quickstart", "--bench-null", "--data-dir", dir, "--addr", p.addr, "--ops-addr", p.ops, "--log-level", "ERROR",
	}, args...)
	p.cmd = exec.CommandContext(ctx, binary, args...)
	p.cmd.Stderr = &p.errs
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.began = time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) == 2 && strings.HasPrefix(words[1], "eyJ") {
			p.tokens[words[0]] = words[1]
		}
		if strings.Contains(lines.Text(), "limit=5") {
			go func() { _, _ = io.Copy(io.Discard, out) }()
			return p, nil
		}
	}
	_ = p.cmd.Wait()
	return nil, fmt.Errorf("the service did not start: %s", strings.TrimSpace(p.errs.String()))
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

// stop ends the service and waits for it.
func (p *process) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return p.cmd.Wait()
}

// gauge reads one metric without labels from the ops listener.
func (p *process) gauge(name string) (float64, error) {
	resp, err := http.Get("http://" + p.ops + "/metrics")
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			return strconv.ParseFloat(value, 64)
		}
	}
	return 0, fmt.Errorf("there is no metric %s", name)
}

const mebibyte = 1 << 20

// resident is the service's resident memory in MiB.
func (p *process) resident() (float64, error) {
	b, err := p.gauge("process_resident_memory_bytes")
	return b / mebibyte, err
}

// fresh is an empty data dir.
func (r *run) fresh(name string) (string, error) { return os.MkdirTemp(r.Dir, name) }
