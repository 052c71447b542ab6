package main

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"auditlog/internal/client"
	"auditlog/internal/progress"
)

type exportCmd struct {
	remoteFlags `embed:""`
	Format      string            `default:"ndjson" enum:"csv,ndjson,json" help:"Form of the export: ${enum} (${default})."`
	Out         string            `short:"o" placeholder:"FILE" help:"File to write, which appears only when whole (standard output)."`
	Filter      map[string]string `short:"f" placeholder:"NAME=VALUE" mapsep:"none" help:"Search parameter of the HTTP contract, e.g. action=Decrypt, q=bucket, from=2024-01-01T00:00:00Z; repeat for more."`
}

// Run fetches the export and checks that it is whole.
func (c *exportCmd) Run(ctx context.Context, s streams) error {
	query := url.Values{"format": {c.Format}}
	for name, value := range c.Filter {
		query.Set(name, value)
	}
	return c.fetch(ctx, s, "export", "entries", c.Out, client.Document{Path: "/api/v1/logs/export?" + query.Encode(), Format: c.Format})
}

// fetch brings a document to its output and tells how much came.
func (f remoteFlags) fetch(ctx context.Context, s streams, label, unit, path string, d client.Document) error {
	remote, err := f.client(s)
	if err != nil {
		return err
	}
	out, err := newOutput(path, s.out)
	if err != nil {
		return err
	}
	start, bar := time.Now(), progress.For(s.err, label, unit)
	d.Moved = func(items int64) { bar.Update(progress.Work{Count: items}) }
	items, err := remote.Fetch(ctx, d, out)
	bar.Finish()
	if err = out.finish(err); err != nil {
		return err
	}
	fmt.Fprintf(s.err, "%d %s in %s\n", items, unit, time.Since(start).Round(10*time.Millisecond))
	return nil
}
