package timescale

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"auditlog/internal/pgdb"
	"auditlog/migrations"
)

func schema() pgdb.Schema { return pgdb.Schema{Name: "auditlog", Files: migrations.Postgres("events")} }

// Tier is what the database can do with old events.
type Tier string

// The tiers, by what they need.
const (
	Auto      Tier = ""          // to Migrate: the best that the server has
	Community Tier = "community" // TimescaleDB under its own licence: columnstore
	Apache    Tier = "apache"    // TimescaleDB, Apache edition: hypertable
	Plain     Tier = "plain"     // PostgreSQL alone: native partitions
)

// Layout is what Migrate fixes.
type Layout struct {
	// Shards is the number of append lanes, fixed at the first migration. Default 16.
	Shards int
	// Span is the time that one chunk or partition holds, fixed at the first migration. Default 1 day.
	Span time.Duration
	// Tier is Auto, or Plain to leave the extension out though the server has it, or Apache or Community to fail
	// without it.
	Tier Tier
	// Service and Lifecycle name the roles that Open and OpenLifecycle connect as, or that those are members of. Missing
	// ones are created, so that they can log in. Defaults auditlog_service and auditlog_lifecycle.
	Service, Lifecycle string
	// ServicePassword and LifecyclePassword are for roles that are created here; those that are there keep theirs. The
	// server sees neither, only what proves them (SCRAM-SHA-256).
	ServicePassword, LifecyclePassword string
}

// Migrate brings the database's schema up to date, and gives the roles of services what they may do. It may run beside a
// service of the same version, and several times at once.
//
// address names the role that is to own the schema. It needs the CREATE privilege on the database, e.g. as its owner, and
// CREATEROLE only while the service's or the lifecycle role is missing; whoever lacks that has somebody run
//
//	CREATE ROLE auditlog_service LOGIN PASSWORD '…';
//	CREATE ROLE auditlog_lifecycle LOGIN PASSWORD '…';
//
// once, and then migrates. No process that serves needs the owner's password: one that appends and reads has the
// service's (Open), one that purges, removes and tends chunks also that of the lifecycle role (OpenLifecycle).
func Migrate(ctx context.Context, address string, l Layout) (Tier, error) {
	l.Shards, l.Span = cmp.Or(l.Shards, 16), cmp.Or(l.Span, 24*time.Hour)
	l.Service, l.Lifecycle = cmp.Or(l.Service, "auditlog_service"), cmp.Or(l.Lifecycle, "auditlog_lifecycle")
	conn, err := pgdb.Connect(ctx, address, pgdb.Options{StatementTimeout: time.Minute})
	if err != nil {
		return "", err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return l.extend(ctx, tx) }); err != nil {
		return "", err
	}
	err = schema().Migrate(ctx, address, map[string]string{
		"auditlog.shards": strconv.Itoa(l.Shards),
		"auditlog.span":   strconv.FormatInt(int64(l.Span/time.Second), 10) + " seconds",
	})
	if err != nil {
		return "", err
	}
	if err := l.grant(ctx, conn); err != nil {
		return "", err
	}
	tier, err := findTier(ctx, conn)
	if err != nil {
		return "", err
	}
	if l.Tier == Plain && tier != Plain || l.Tier == Apache && tier == Plain || l.Tier == Community && tier != Community {
		return tier, fmt.Errorf("the database is of tier %s, not %s: the first migration fixes whether it is plain, and the server's timescaledb.license the rest", tier, l.Tier)
	}
	if tier == Community {
		err = enableColumnstore(ctx, conn)
	}
	return tier, err
}

// ErrNoExtension says that the layout asks for TimescaleDB where there is none.
var ErrNoExtension = errors.New("the server has no TimescaleDB extension: install it and name it in shared_preload_libraries, or ask for plain PostgreSQL")

// errExtend says that the server has it, but not this role the right to use it in the database.
var errExtend = errors.New("the role may not create the extension: give it the database's CREATE privilege, or have a superuser run CREATE EXTENSION timescaledb there")

// extend creates the extension before the first migration, which looks for it.
func (l Layout) extend(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(7402, 1)`); err != nil { // others migrate too
		return err
	}
	var migrated, installed, available bool
	err := tx.QueryRow(ctx, `
		SELECT to_regclass('auditlog.events') IS NOT NULL,
			EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb'),
			EXISTS (SELECT FROM pg_available_extensions WHERE name = 'timescaledb')
				AND EXISTS (SELECT FROM pg_settings WHERE name = 'timescaledb.max_background_workers')`). // it is preloaded
		Scan(&migrated, &installed, &available)
	switch {
	case err != nil:
		return err
	case migrated || installed || l.Tier == Plain:
		return nil
	case available:
		_, err := tx.Exec(ctx, `CREATE EXTENSION IF NOT EXISTS timescaledb WITH SCHEMA public`)
		if pgdb.State(err) == pgdb.Forbidden {
			err = fmt.Errorf("%w: %w", errExtend, err)
		}
		return err
	case l.Tier != Auto:
		return ErrNoExtension
	}
	return nil
}

// findTier tells the tier of a migrated database.
func findTier(ctx context.Context, q querier) (t Tier, err error) {
	err = q.QueryRow(ctx, `
		SELECT CASE
			WHEN (SELECT relkind FROM pg_class WHERE oid = 'auditlog.events'::regclass) = 'p' THEN 'plain'
			WHEN current_setting('timescaledb.license', true) = 'timescale' THEN 'community'
			ELSE 'apache' END`).Scan(&t)
	return t, err
}

// enableColumnstore lets whole chunks be turned into columns; nothing but Tend does so. A segment is a tenant's, so that
// its events are together and leave together; the minimum and maximum of the three numbers by which events are sought,
// which rise together, tell of each batch of 1,000 whether to open it. By shard, a page opens a batch of each tenant.
func enableColumnstore(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, `ALTER TABLE auditlog.events SET (
		timescaledb.enable_columnstore, timescaledb.segmentby = 'shard, tenant', timescaledb.orderby = '"offset", position, recorded_at')`)
	if err != nil {
		return fmt.Errorf("enable the columnstore, which needs TimescaleDB 2.18 or newer: %w", err)
	}
	return nil
}

type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}
