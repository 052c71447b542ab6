// Package readmodel is what the projections in SQLite files share: from an envelope to the facts about entries, and the
// one order in which a file takes them, so that any order and duplication of the same events gives the same rows.
//
// A file remembers for each tenant up to where it was purged, and which entries were erased. An erasure or purge that
// comes before the record it is about therefore still has its effect when the record comes. Effects of records and
// erasures commit together with their range. A purge commits in steps before the range: its watermark first, then rows
// in chunks, so that no transaction grows with the tenant; after a crash in between the same envelope finishes it.
package readmodel

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"

	"auditlog/eventstore"
	"auditlog/internal/entry"
	"auditlog/internal/sqlitedb"
	"auditlog/projection"
	"auditlog/projection/sqlprogress"
)

// Effect is what one kind of file does with facts. Every method works in tx and on one tenant, by its number in the
// file, and must be idempotent.
type Effect interface {
	// Record takes entries above the watermark. Those whose Priv is nil are erased.
	Record(ctx context.Context, tx *sql.Tx, tenant int64, records []entry.Opened) error
	// Erase takes the personal part of an entry away, if the entry is there.
	Erase(ctx context.Context, tx *sql.Tx, tenant int64, at eventstore.Position) error
	// Purge takes away at most about limit entries at or below last, oldest first, and tells whether there may be more.
	Purge(ctx context.Context, tx *sql.Tx, tenant int64, last eventstore.Position, limit int) (more bool, err error)
	// Forget drops what the effect remembers of the file's rows: a transaction that made some may have failed.
	Forget()
}

// Deps are what a file needs of the rest.
type Deps struct {
	Store  Store
	Opener entry.Opener

	// Fault is for tests: called before each commit, its error stands for a crash there. Nil: none.
	Fault func() error
}

// purgeChunk is how many entries one transaction of a purge takes.
const purgeChunk = 5000

// File is one open file. Apply calls queue up; readers go their own way.
type File struct {
	DB     *sqlitedb.DB
	deps   Deps
	effect Effect
	mu     sync.Mutex // held by Apply
}

// NewFile makes a File of an open database that has, beside its own, the tables
//
//	tenants (no INTEGER PRIMARY KEY, id BLOB UNIQUE, purged INTEGER), erased (tenant, position), progress (sqlprogress)
func NewFile(db *sqlitedb.DB, deps Deps, effect Effect) *File {
	return &File{DB: db, deps: deps, effect: effect}
}

// Close closes the database.
func (f *File) Close() error { return f.DB.Close() }

// Progress is the set of applied ranges of a shard.
func (f *File) Progress(ctx context.Context, shard eventstore.Shard) (projection.Ranges, error) {
	return sqlprogress.Load(ctx, f.DB.Read, shard)
}

// Apply makes the effect of what is not applied yet and records the range.
func (f *File) Apply(ctx context.Context, env projection.Envelope) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	done, err := sqlprogress.Load(ctx, f.DB.Write, env.Shard)
	if err != nil {
		return sqlitedb.Classify(err)
	}
	if done.Covers(projection.Range{From: env.From, To: env.To}) {
		return nil
	}
	return sqlitedb.Classify(f.apply(ctx, env, done))
}

// Reapply makes the effect of the envelope though its range is recorded.
func (f *File) Reapply(ctx context.Context, env projection.Envelope) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return sqlitedb.Classify(f.apply(ctx, env, nil))
}

func (f *File) apply(ctx context.Context, env projection.Envelope, done projection.Ranges) error {
	facts, err := Collect(ctx, f.deps.Store, f.deps.Opener, env, done)
	if err != nil {
		return err
	}
	for _, p := range facts.Purged {
		if err := f.purge(ctx, p); err != nil {
			return err
		}
	}
	return f.tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if err := f.records(ctx, tx, facts.Records); err != nil {
			return err
		}
		for _, e := range facts.Erased {
			if err := f.erase(ctx, tx, e); err != nil {
				return err
			}
		}
		return sqlprogress.Add(ctx, tx, env.Shard, projection.Range{From: env.From, To: env.To})
	})
}

// tx runs a transaction. The end of ctx rolls it back and fails its next statement; statements are not watched one by
// one, which would cost each a goroutine.
func (f *File) tx(ctx context.Context, do func(ctx context.Context, tx *sql.Tx) error) (err error) {
	defer func() {
		if err != nil {
			f.effect.Forget()
		}
	}()
	tx, err := f.DB.Write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	if err = do(context.WithoutCancel(ctx), tx); err == nil && f.deps.Fault != nil {
		err = f.deps.Fault()
	}
	if err != nil {
		return errors.Join(err, ctx.Err(), ignoreDone(tx.Rollback()))
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// ignoreDone: a context that ended has rolled the transaction back already.
func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}

func (f *File) records(ctx context.Context, tx *sql.Tx, all []entry.Opened) error {
	slices.SortStableFunc(all, func(a, b entry.Opened) int { return bytes.Compare(a.Tenant[:], b.Tenant[:]) })
	for len(all) > 0 {
		tenant, n := all[0].Tenant, 1
		for n < len(all) && all[n].Tenant == tenant {
			n++
		}
		own := all[:n]
		all = all[n:]
		no, purged, err := tenantNo(ctx, tx, tenant)
		if err != nil {
			return err
		}
		if own, err = standing(ctx, tx, no, purged, own); err != nil {
			return err
		}
		if len(own) == 0 {
			continue
		}
		if err := f.effect.Record(ctx, tx, no, own); err != nil {
			return err
		}
	}
	return nil
}

func (f *File) erase(ctx context.Context, tx *sql.Tx, m Mark) error {
	no, purged, err := tenantNo(ctx, tx, m.Tenant)
	if err != nil || m.Position <= purged {
		return err
	}
	if _, err := tx.ExecContext(ctx, `INSERT OR IGNORE INTO erased (tenant, position) VALUES (?, ?)`, no, m.Position); err != nil {
		return fmt.Errorf("mark erased: %w", err)
	}
	return f.effect.Erase(ctx, tx, no, m.Position)
}

func (f *File) purge(ctx context.Context, m Mark) error {
	var no int64
	err := f.tx(ctx, func(ctx context.Context, tx *sql.Tx) (err error) {
		if no, _, err = tenantNo(ctx, tx, m.Tenant); err != nil {
			return err
		}
		if _, err = tx.ExecContext(ctx, `UPDATE tenants SET purged = max(purged, ?) WHERE no = ?`, m.Position, no); err != nil {
			return fmt.Errorf("raise watermark: %w", err)
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM erased WHERE tenant = ? AND position <= ?`, no, m.Position)
		return err
	})
	for more := err == nil; more && err == nil; {
		err = f.tx(ctx, func(ctx context.Context, tx *sql.Tx) (err error) {
			more, err = f.effect.Purge(ctx, tx, no, m.Position, purgeChunk)
			return err
		})
	}
	return err
}
