package main

import (
	"context"
	"strconv"

	"auditlog/internal/client"
)

type replayCmd struct {
	remoteFlags `embed:""`
	After       int64  `default:"0" placeholder:"POSITION" help:"Start above this position (${default}: from the first event)."`
	Out         string `short:"o" placeholder:"FILE" help:"File to write, which appears only when whole (standard output)."`
}

// Run fetches the stored events and checks that none is missing at the end.
func (c *replayCmd) Run(ctx context.Context, s streams) error {
	if c.After < 0 {
		return usagef("--after: must not be negative")
	}
	path := "/api/v1/replay?after=" + strconv.FormatInt(c.After, 10)
	return c.fetch(ctx, s, "replay", "events", c.Out, client.Document{Path: path, Format: "ndjson"})
}
