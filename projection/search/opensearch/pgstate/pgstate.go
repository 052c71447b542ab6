// Package pgstate keeps the state of an OpenSearch index in a PostgreSQL database, for as many processes as wanted.
//
// Every method is one transaction, or one statement. What a generation takes is written under a shared lock of its row,
// so that no range comes in once Shut or Promote has returned. The ranges of a shard are one multirange: the database
// itself joins what two processes add. A connection that broke makes reads try once more, so that a restart of the
// server shows only while it is away; a write that fails may be made again.
package pgstate

import (
	"context"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"auditlog/internal/pgdb"
	"auditlog/migrations"
	"auditlog/projection/search/opensearch"
)

func schema() pgdb.Schema {
	return pgdb.Schema{Name: "auditlog_search", Files: migrations.Postgres("search")}
}

// Prepare brings the database's schema up to date as the role that is to own it, and lets the service's role, which is
// created without login where it is missing, do what a State does. It may run beside a service of the same version.
func Prepare(ctx context.Context, owner, service string) error {
	if err := schema().Migrate(ctx, owner, nil); err != nil {
		return err
	}
	return schema().Grant(ctx, owner, service,
		`INSERT, UPDATE, DELETE ON auditlog_search.generations, auditlog_search.ranges, auditlog_search.visible,
			auditlog_search.tenants, auditlog_search.indices, auditlog_search.scrubs`,
		`UPDATE ON auditlog_search.last_generation, auditlog_search.refresh`,
		`USAGE ON SEQUENCE auditlog_search.scrub_tokens`)
}

// State implements opensearch.State.
type State struct {
	pool *pgxpool.Pool
	once sync.Once
}

var _ opensearch.State = (*State)(nil)

// Open connects to a database that Prepare has prepared, which keeps the state of one index.
func Open(ctx context.Context, address string) (*State, error) {
	pool, err := pgdb.Open(ctx, address, pgdb.Options{})
	if err != nil {
		return nil, err
	}
	if err := schema().Check(ctx, pool); err != nil {
		pool.Close()
		return nil, err
	}
	return &State{pool: pool}, nil
}

// Close closes the connections. A second Close does nothing.
func (s *State) Close() error {
	s.once.Do(s.pool.Close)
	return nil
}

// collect reads all rows of a query.
func collect[T any](ctx context.Context, s *State, doing string, row pgx.RowToFunc[T], sql string, args ...any) (out []T, err error) {
	for range 2 {
		rows, _ := s.pool.Query(ctx, sql, args...) // CollectRows gives its error
		if out, err = pgx.CollectRows(rows, row); !pgdb.Lost(err) {
			break
		}
	}
	return out, pgdb.Translate(doing, err)
}

// exec runs a statement and tells how many rows it wrote.
func (s *State) exec(ctx context.Context, doing, sql string, args ...any) (int64, error) {
	done, err := s.pool.Exec(ctx, sql, args...)
	return done.RowsAffected(), pgdb.Translate(doing, err)
}
