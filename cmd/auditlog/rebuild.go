package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"syscall"
	"time"

	"auditlog/internal/app"
	"auditlog/internal/progress"
)

type rebuildCmd struct {
	dataFlags  `embed:""`
	logFlags   `embed:""`
	Projection string `arg:"" enum:"search,stats,find" help:"Projection to rebuild: ${enum}."`
	OpsAddr    string `name:"ops-addr" env:"AUDITLOG_OPS_ADDR" default:"127.0.0.1:9090" placeholder:"HOST:PORT" help:"Ops listener of the running service (${default}). It rebuilds its own data, whatever --data-dir says. When none answers there, the data dir is worked on directly."`
}

// Run asks the running service, or works on the data dir when none runs.
func (c *rebuildCmd) Run(ctx context.Context, s streams) error {
	start, bar := time.Now(), progress.For(s.err, "rebuild", "events")
	last, err := c.rebuild(ctx, s, func(p app.Progress) {
		bar.Update(progress.Work{Count: p.Done, Done: p.Done, Total: p.Head})
	})
	bar.Finish()
	if err != nil {
		return err
	}
	verdict := "equal to the one before"
	if !last.Equal {
		verdict = "it differs from the one before, and is in its place: the event store is the judge"
	}
	_, err = fmt.Fprintf(s.out, "rebuilt %s in %s: %s; %s\n", c.Projection, time.Since(start).Round(10*time.Millisecond), last.Detail, verdict)
	return err
}

func (c *rebuildCmd) rebuild(ctx context.Context, s streams, report func(app.Progress)) (app.Progress, error) {
	last, err := c.ask(ctx, report)
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return last, err
	}
	cfg := c.config()
	cfg.Duty = app.Offline
	last, err = app.Rebuild(ctx, cfg, c.logger(s.err), c.Projection, report)
	if errors.Is(err, app.ErrInUse) {
		err = fmt.Errorf("%w, and its ops listener is not at %s: AUDITLOG_OPS_ADDR (--ops-addr)", err, c.OpsAddr)
	}
	return last, err
}

// ask has the running service do it; its answer is a line per step.
func (c *rebuildCmd) ask(ctx context.Context, report func(app.Progress)) (last app.Progress, err error) {
	target := "http://" + dialable(c.OpsAddr) + "/ops/rebuild?projection=" + url.QueryEscape(c.Projection)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, nil)
	if err != nil {
		return last, usagef("AUDITLOG_OPS_ADDR (--ops-addr): %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return last, err
	}
	defer func() { _ = resp.Body.Close() }()
	lines := json.NewDecoder(resp.Body)
	for !last.Finished {
		if err := lines.Decode(&last); err != nil {
			return last, fmt.Errorf("the rebuild was cut, the old projection stays: %w", err)
		}
		report(last)
	}
	if last.Error != "" {
		return last, errors.New(last.Error)
	}
	return last, nil
}
