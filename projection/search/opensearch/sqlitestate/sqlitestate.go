// Package sqlitestate keeps the state of an OpenSearch index in a SQLite file, for a single process.
//
// It survives a crash of the process; what a power cut takes back is applied again.
package sqlitestate

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"auditlog/eventstore"
	"auditlog/internal/sqlitedb"
	"auditlog/projection"
	"auditlog/projection/search/opensearch"
)

//go:embed migrations
var files embed.FS

// State implements opensearch.State.
type State struct {
	db *sqlitedb.DB

	mu        sync.Mutex // guards refreshed
	refreshed time.Time  // when a refresh began last
}

var _ opensearch.State = (*State)(nil)

// Open opens or creates the file.
func Open(ctx context.Context, path string) (*State, error) {
	migrations, err := fs.Sub(files, "migrations")
	if err != nil {
		return nil, err
	}
	db, err := sqlitedb.Open(ctx, path, sqlitedb.Options{ReadConns: 2, CacheKiB: 512, Migrations: migrations})
	if err != nil {
		return nil, err
	}
	return &State{db: db}, nil
}

// Close closes the file.
func (s *State) Close() error { return s.db.Close() }

// write runs one transaction.
func (s *State) write(ctx context.Context, what string, do func(*sql.Tx) error) error {
	tx, err := s.db.Write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if err := do(tx); err != nil {
		return errors.Join(fmt.Errorf("%s: %w", what, err), tx.Rollback())
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// exec runs one statement as a transaction.
func (s *State) exec(ctx context.Context, what, statement string, args ...any) error {
	if _, err := s.db.Write.ExecContext(ctx, statement, args...); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// each visits the rows of a query.
func (s *State) each(ctx context.Context, what string, visit func(*sql.Rows) error, query string, args ...any) (err error) {
	rows, err := s.db.Read.QueryContext(ctx, query, args...)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := visit(rows); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	return rows.Err()
}

// RefreshTurn implements opensearch.State. There is no other process that could have had the last one.
func (s *State) RefreshTurn(_ context.Context, every time.Duration) (time.Duration, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if left := every - time.Since(s.refreshed); left > 0 {
		return left, nil
	}
	s.refreshed = time.Now()
	return 0, nil
}

// Ranges implements opensearch.State.
func (s *State) Ranges(ctx context.Context, gen int, shard eventstore.Shard) (out projection.Ranges, err error) {
	err = s.each(ctx, "load search progress", func(rows *sql.Rows) error {
		var r projection.Range
		err := rows.Scan(&r.From, &r.To)
		out = append(out, r)
		return err
	}, `SELECT from_offset, to_offset FROM ranges WHERE gen = ? AND shard = ? ORDER BY from_offset`, gen, shard)
	return out, err
}

// Add implements opensearch.State.
func (s *State) Add(ctx context.Context, gen int, shard eventstore.Shard, r projection.Range) error {
	if r.To <= r.From {
		return nil
	}
	return s.write(ctx, "record search progress", func(tx *sql.Tx) error {
		var until eventstore.Micros
		err := tx.QueryRowContext(ctx, `SELECT shut_until FROM generations WHERE gen = ?`, gen).Scan(&until)
		if errors.Is(err, sql.ErrNoRows) || err == nil && until > 0 {
			return opensearch.ErrClosed
		}
		if err != nil {
			return err
		}
		return add(ctx, tx, gen, shard, r)
	})
}

// add joins the range with those that it overlaps or touches.
func add(ctx context.Context, tx *sql.Tx, gen int, shard eventstore.Shard, r projection.Range) error {
	var from, to sql.NullInt64
	err := tx.QueryRowContext(ctx, `SELECT min(from_offset), max(to_offset) FROM ranges
		WHERE gen = ? AND shard = ? AND from_offset <= ? AND to_offset >= ?`, gen, shard, r.To, r.From).Scan(&from, &to)
	if err != nil {
		return err
	}
	if from.Valid {
		_, err := tx.ExecContext(ctx, `DELETE FROM ranges WHERE gen = ? AND shard = ? AND from_offset <= ? AND to_offset >= ?`, gen, shard, r.To, r.From)
		if err != nil {
			return err
		}
		r.From, r.To = min(r.From, eventstore.Offset(from.Int64)), max(r.To, eventstore.Offset(to.Int64))
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO ranges (gen, shard, from_offset, to_offset) VALUES (?, ?, ?, ?)`, gen, shard, r.From, r.To)
	return err
}

// Cursors implements opensearch.State.
func (s *State) Cursors(ctx context.Context, gen int) (map[eventstore.Shard]eventstore.Offset, error) {
	return s.byShard(ctx, "load search progress", `SELECT shard, to_offset FROM ranges WHERE gen = ? AND from_offset = 0`, gen)
}

// Visible implements opensearch.State.
func (s *State) Visible(ctx context.Context, gen int) (map[eventstore.Shard]eventstore.Offset, error) {
	return s.byShard(ctx, "load search marks", `SELECT shard, "offset" FROM visible WHERE gen = ?`, gen)
}

func (s *State) byShard(ctx context.Context, what, query string, gen int) (map[eventstore.Shard]eventstore.Offset, error) {
	out := map[eventstore.Shard]eventstore.Offset{}
	err := s.each(ctx, what, func(rows *sql.Rows) error {
		var shard eventstore.Shard
		var o eventstore.Offset
		err := rows.Scan(&shard, &o)
		out[shard] = o
		return err
	}, query, gen)
	return out, err
}

// SetVisible implements opensearch.State.
func (s *State) SetVisible(ctx context.Context, gen int, marks map[eventstore.Shard]eventstore.Offset) error {
	return s.write(ctx, "save search marks", func(tx *sql.Tx) error {
		for shard, o := range marks {
			_, err := tx.ExecContext(ctx, `INSERT INTO visible (gen, shard, "offset") SELECT gen, ?2, ?3 FROM generations WHERE gen = ?1
				ON CONFLICT DO UPDATE SET "offset" = max("offset", excluded."offset")`, gen, shard, o)
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// Purge implements opensearch.State.
func (s *State) Purge(ctx context.Context, gen int, tenant eventstore.TenantID, last eventstore.Position) error {
	return s.exec(ctx, "raise search watermark", `INSERT INTO tenants (gen, tenant, purged) SELECT gen, ?2, ?3 FROM generations WHERE gen = ?1
		ON CONFLICT DO UPDATE SET purged = max(purged, excluded.purged)`, gen, tenant[:], last)
}

// Place implements opensearch.State.
func (s *State) Place(ctx context.Context, gen int, tenant eventstore.TenantID, group string) (kept string, err error) {
	err = s.write(ctx, "place tenant in search", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO tenants (gen, tenant, "group") SELECT gen, ?2, ?3 FROM generations WHERE gen = ?1
			ON CONFLICT DO UPDATE SET "group" = excluded."group" WHERE "group" = ''`, gen, tenant[:], group)
		if err != nil {
			return err
		}
		err = tx.QueryRowContext(ctx, `SELECT "group" FROM tenants WHERE gen = ? AND tenant = ?`, gen, tenant[:]).Scan(&kept)
		if errors.Is(err, sql.ErrNoRows) {
			return opensearch.ErrClosed
		}
		return err
	})
	return kept, err
}

// Scrub implements opensearch.State.
func (s *State) Scrub(ctx context.Context, gen int, index string) error {
	return s.exec(ctx, "ask for a scrub", `INSERT INTO scrubs (gen, name, token) SELECT gen, ?2, 1 FROM generations WHERE gen = ?1
		ON CONFLICT DO UPDATE SET token = token + 1`, gen, index)
}

// Scrubs implements opensearch.State.
func (s *State) Scrubs(ctx context.Context, gen int) (map[string]int64, error) {
	out := map[string]int64{}
	err := s.each(ctx, "list scrubs", func(rows *sql.Rows) error {
		var name string
		var token int64
		err := rows.Scan(&name, &token)
		out[name] = token
		return err
	}, `SELECT name, token FROM scrubs WHERE gen = ?`, gen)
	return out, err
}

// Scrubbed implements opensearch.State.
func (s *State) Scrubbed(ctx context.Context, gen int, index string, token int64) error {
	return s.exec(ctx, "tick off a scrub", `DELETE FROM scrubs WHERE gen = ? AND name = ? AND token = ?`, gen, index, token)
}
