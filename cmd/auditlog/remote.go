package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"auditlog/internal/client"
)

// remoteFlags say which server a client command talks to.
type remoteFlags struct {
	URL      string        `name:"url" env:"AUDITLOG_URL" default:"http://127.0.0.1:8080" placeholder:"URL" help:"Server to talk to (${default})."`
	Token    string        `env:"AUDITLOG_TOKEN" placeholder:"JWT" help:"Token to talk with; auditlog token mints one for development."`
	Tenant   string        `placeholder:"ID" help:"Tenant, for a platform admin's token."`
	Patience time.Duration `default:"2m" placeholder:"TIME" help:"How long one request is tried while the server is busy or away (${default})."`
}

func (f remoteFlags) client(s streams) (*client.Client, error) {
	c, err := client.New(f.URL, f.Token, client.Options{
		Tenant: f.Tenant, Patience: f.Patience,
		OnRetry: retries(s.err),
	})
	return c, usage(err)
}

// retries tells why a request is sent again. What the server's rate holds back is told once: it comes every second, and
// nothing is wrong.
func retries(w io.Writer) func(error) {
	var paced atomic.Bool
	return func(err error) {
		var p *client.Problem
		if !errors.As(err, &p) || p.Status != http.StatusTooManyRequests {
			fmt.Fprintln(w, "auditlog: trying again:", oneLine(err))
		} else if paced.CompareAndSwap(false, true) {
			fmt.Fprintln(w, "auditlog: going on at the rate that the server allows:", oneLine(err))
		}
	}
}

// output is where a fetched document goes: standard output, or a file that appears only when it is whole.
type output struct {
	io.Writer
	path string
	temp *os.File
}

func newOutput(path string, stdout io.Writer) (*output, error) {
	if path == "" || path == "-" {
		return &output{Writer: stdout}, nil
	}
	temp, err := os.OpenFile(path+".part", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("--out: %w", err)
	}
	return &output{Writer: temp, path: path, temp: temp}, nil
}

// finish keeps the file when err is nil, else removes it.
func (o *output) finish(err error) error {
	if o.temp == nil {
		return err
	}
	err = errors.Join(err, o.temp.Sync(), o.temp.Close())
	if err != nil {
		return errors.Join(err, os.Remove(o.temp.Name()))
	}
	return os.Rename(o.temp.Name(), o.path)
}

// interrupted says what to do after the user, or the system, ended a command.
func interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return errors.New("interrupted; the same command again goes on where it ended")
	}
	return err
}
