package main

import (
	"context"
	"fmt"
	"time"

	"auditlog/internal/client"
	"auditlog/internal/progress"
	"auditlog/internal/seed"
)

type seedCmd struct {
	remoteFlags `embed:""`
	Count       int    `default:"10000" placeholder:"N" help:"Entries to send (${default})."`
	Seed        uint64 `default:"1" placeholder:"N" help:"Seed of the generator (${default})."`
	Days        int    `default:"30" placeholder:"N" help:"Days before today's beginning (UTC) over which the entries are spread (${default})."`
	Bulk        int    `default:"1000" placeholder:"N" help:"Entries in one request (${default}; at most 1000)."`
}

// Run sends the entries in order.
func (c *seedCmd) Run(ctx context.Context, s streams) error {
	switch {
	case c.Count < 1:
		return usagef("--count: must be at least 1")
	case c.Days < 1 || c.Days > 3650:
		return usagef("--days: must lie between 1 and 3650")
	case c.Bulk < 1 || c.Bulk > client.MaxBulkEntries:
		return usagef("--bulk: must lie between 1 and %d", client.MaxBulkEntries)
	}
	remote, err := c.client(s)
	if err != nil {
		return err
	}
	start, bar := time.Now(), progress.For(s.err, "seed", "entries")
	replayed, err := c.send(ctx, remote, bar)
	bar.Finish()
	if err != nil {
		return interrupted(ctx, err)
	}
	took := time.Since(start)
	_, err = fmt.Fprintf(s.out, "sent %d, of them replayed %d, in %s (%.0f/s)\n", c.Count, replayed, took.Round(10*time.Millisecond), float64(c.Count)/took.Seconds())
	return err
}

func (c *seedCmd) send(ctx context.Context, remote *client.Client, bar *progress.Bar) (replayed int, err error) {
	today := time.Now().UTC().Truncate(24 * time.Hour)
	g := seed.New(c.Seed, c.Count, today, c.Days)
	for at := 0; at < c.Count; {
		entries := make([][]byte, min(c.Bulk, c.Count-at))
		for i := range entries {
			if entries[i], err = g.Append(nil, int64(at+i)); err != nil {
				return replayed, err
			}
		}
		items, err := remote.Bulk(ctx, entries)
		if err != nil {
			return replayed, err
		}
		for i, item := range items {
			if item.Problem != nil {
				return replayed, fmt.Errorf("entry %d was refused: %s", at+i, item.Problem.Reason())
			}
			if item.Replayed {
				replayed++
			}
		}
		at += len(entries)
		bar.Update(progress.Work{Count: int64(at), Done: int64(at), Total: int64(c.Count)})
	}
	return replayed, nil
}
