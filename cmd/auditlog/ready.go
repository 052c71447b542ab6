package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// readyCmd asks a process of this service how it is, for healthchecks of containers that hold nothing but this binary.
type readyCmd struct {
	OpsAddr string        `name:"ops-addr" env:"AUDITLOG_OPS_ADDR" default:"127.0.0.1:9090" placeholder:"HOST:PORT" help:"Ops listener of the process (${default})."`
	Wait    time.Duration `default:"0s" placeholder:"TIME" help:"How long to ask again until it is ready (${default}: once)."`
}

// readyPause lies between two looks of one wait.
const readyPause = 200 * time.Millisecond

// Run prints what the process says of its dependencies, and fails when it is not ready.
func (c *readyCmd) Run(ctx context.Context, s streams) error {
	deadline := time.Now().Add(c.Wait)
	for {
		answer, err := c.ask(ctx)
		if err == nil || time.Now().After(deadline) {
			if answer != "" {
				fmt.Fprintln(s.out, answer)
			}
			return err
		}
		select {
		case <-ctx.Done():
			return interrupted(ctx, ctx.Err())
		case <-time.After(readyPause):
		}
	}
}

func (c *readyCmd) ask(ctx context.Context) (answer string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+dialable(c.OpsAddr)+"/readyz", nil)
	if err != nil {
		return "", usagef("AUDITLOG_OPS_ADDR (--ops-addr): %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", fmt.Errorf("AUDITLOG_OPS_ADDR (--ops-addr): %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New("not ready")
	}
	return strings.TrimSpace(string(body)), err
}
