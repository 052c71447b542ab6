package main

import (
	"context"
	"fmt"
	"time"

	"auditlog/eventstore/timescale"
	"auditlog/internal/app"
)

type migrateCmd struct {
	databaseFlags    `embed:""`
	Owner            string        `env:"AUDITLOG_OWNER" placeholder:"ADDRESS" help:"The store's database as the role that is to own its tables; it must be able to create roles, unless those in the other addresses are there."`
	ProjectionsOwner string        `name:"projections-owner" env:"AUDITLOG_PROJECTIONS_OWNER" placeholder:"ADDRESS" help:"Likewise for --projections-db (default: --owner, when both are one database)."`
	Tier             string        `env:"AUDITLOG_TIER" default:"auto" enum:"auto,community,apache,plain" help:"What the store builds on: ${enum}. auto takes TimescaleDB where the server has it, else partitions of PostgreSQL; fixed at the first migration (${default})."`
	Shards           int           `env:"AUDITLOG_SHARDS" default:"16" placeholder:"N" help:"Append lanes; fixed at the first migration (${default})."`
	Span             time.Duration `env:"AUDITLOG_CHUNK_SPAN" default:"24h" placeholder:"TIME" help:"Time that one chunk or partition holds; fixed at the first migration (${default})."`
}

// Run migrates and prints a line for each part.
func (c *migrateCmd) Run(ctx context.Context, s streams) error {
	o := app.Owners{
		Store: app.Secret(c.Owner), Projections: app.Secret(c.ProjectionsOwner),
		Layout: timescale.Layout{Shards: c.Shards, Span: c.Span},
	}
	if c.Tier != "auto" {
		o.Layout.Tier = timescale.Tier(c.Tier)
	}
	parts := c.parts()
	if err := parts.Migratable(o); err != nil {
		return usage(err)
	}
	return app.Migrate(ctx, parts, o, func(line string) { fmt.Fprintln(s.out, line) })
}
