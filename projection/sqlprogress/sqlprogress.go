// Package sqlprogress keeps a projection's applied ranges in a table of the projection's own SQLite file, so that an
// effect and its range commit together.
//
// The table is created by Create, or by the same statement in the projection's migrations. Its rows of a shard neither
// overlap nor touch: Add joins them.
package sqlprogress

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"auditlog/eventstore"
	"auditlog/projection"
)

// Create makes the table in a file that has none.
const Create = `CREATE TABLE IF NOT EXISTS progress (
    shard       INTEGER NOT NULL,
    from_offset INTEGER NOT NULL, -- exclusive
    to_offset   INTEGER NOT NULL, -- inclusive
    PRIMARY KEY (shard, from_offset)
) WITHOUT ROWID`

// Querier is a *sql.DB, *sql.Conn or *sql.Tx.
type Querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// Load gives the applied ranges of a shard.
func Load(ctx context.Context, q Querier, shard eventstore.Shard) (projection.Ranges, error) {
	return load(ctx, q, `SELECT from_offset, to_offset FROM progress WHERE shard = ? ORDER BY from_offset`, shard)
}

// Add records a range within the transaction of its effect. An empty range records nothing.
func Add(ctx context.Context, tx Querier, shard eventstore.Shard, r projection.Range) error {
	if r.To <= r.From {
		return nil
	}
	joined, err := load(ctx, tx,
		`SELECT from_offset, to_offset FROM progress WHERE shard = ? AND from_offset <= ? AND to_offset >= ? ORDER BY from_offset`,
		shard, r.To, r.From)
	if err != nil {
		return err
	}
	for _, old := range joined {
		r.From, r.To = min(r.From, old.From), max(r.To, old.To)
	}
	if len(joined) > 0 {
		_, err = tx.ExecContext(ctx, `DELETE FROM progress WHERE shard = ? AND from_offset BETWEEN ? AND ?`,
			shard, joined[0].From, joined[len(joined)-1].From)
		if err != nil {
			return fmt.Errorf("record progress: %w", err)
		}
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO progress (shard, from_offset, to_offset) VALUES (?, ?, ?)`, shard, r.From, r.To)
	if err != nil {
		return fmt.Errorf("record progress: %w", err)
	}
	return nil
}

func load(ctx context.Context, q Querier, query string, args ...any) (out projection.Ranges, err error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("load progress: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var r projection.Range
		if err := rows.Scan(&r.From, &r.To); err != nil {
			return nil, fmt.Errorf("load progress: %w", err)
		}
		out = append(out, r)
	}
	return out, rows.Err()
}
