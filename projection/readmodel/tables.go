// Package readmodel is what the projections in SQL share: from an envelope to the facts about entries, and the one order
// in which tables take them, so that any order and duplication of the same events gives the same rows.
//
// A projection lives in SQLite files of one process (Folder), or in a database on PostgreSQL that any number of processes
// share (Database). The same code decides what is counted in both. On PostgreSQL a transaction has the shard of its
// events for itself among all processes, and so all rows of their tenants: a tenant is in one shard for ever. Whoever
// applies an envelope that another process has applied meanwhile finds that out there. So envelopes may come to any
// number of processes, in any order, any number of times.
//
// The tables remember for each tenant up to where it was purged, and which entries were erased. An erasure or purge that
// comes before the record it is about therefore still has its effect when the record comes. Effects of records and
// erasures commit together with their range. A purge commits in steps before the range: its watermark first, then rows
// in chunks, so that no transaction grows with the tenant; after a crash in between the same envelope finishes it.
package readmodel

import (
	"context"
	"database/sql"
	"fmt"
	"sync"

	"auditlog/eventstore"
	"auditlog/internal/entry"
	"auditlog/internal/sqlitedb"
	"auditlog/projection"
	"auditlog/projection/sqlprogress"
)

// Effect is what one kind of projection does with facts. Every method but the first and the last works in tx and on one
// tenant, by its number in the tables, and must be idempotent.
type Effect interface {
	// Prepare makes ahead, outside of any transaction, what records need and transactions of other shards may need, too:
	// inside, they would wait for each other.
	Prepare(ctx context.Context, records []entry.Opened) error
	// Record takes entries above the watermark. Those whose Priv is nil are erased.
	Record(ctx context.Context, tx *sql.Tx, tenant int64, records []entry.Opened) error
	// Erase takes the personal part of an entry away, if the entry is there.
	Erase(ctx context.Context, tx *sql.Tx, tenant int64, at eventstore.Position) error
	// Purge takes away at most about limit entries at or below last, oldest first, and tells whether there may be more.
	Purge(ctx context.Context, tx *sql.Tx, tenant int64, last eventstore.Position, limit int) (more bool, err error)
	// Forget drops what the effect remembers of rows: a transaction that made some may have failed.
	Forget()
}

// Deps are what a projection needs of the rest.
type Deps struct {
	Store  Store
	Opener entry.Opener

	// Fault is for tests: called before each commit, its error stands for a crash there. Nil: none.
	Fault func() error
}

// purgeChunk is how many entries one transaction of a purge takes.
const purgeChunk = 5000

// Tables are one open generation. Calls of Apply queue up on a file; on PostgreSQL those of different shards do not.
// Readers go their own way.
type Tables struct {
	DB     *DB
	deps   Deps
	effect Effect
	mu     sync.Mutex // held by Apply on a file
}

// NewTables makes Tables of an open database that has, beside its own, the tables
//
//	tenants (no INTEGER PRIMARY KEY, id BLOB UNIQUE, purged INTEGER), erased (tenant, position), progress (sqlprogress)
func NewTables(db *DB, deps Deps, effect Effect) *Tables {
	return &Tables{DB: db, deps: deps, effect: effect}
}

// Close closes the database.
func (f *Tables) Close() error { return f.DB.Close() }

// Progress is the set of applied ranges of a shard.
func (f *Tables) Progress(ctx context.Context, shard eventstore.Shard) (projection.Ranges, error) {
	return sqlprogress.Load(ctx, f.DB.Read, shard)
}

// Apply makes the effect of what is not applied yet and records the range.
func (f *Tables) Apply(ctx context.Context, env projection.Envelope) error {
	defer f.turn()()
	done, err := f.done(ctx, env.Shard)
	if err != nil {
		return err
	}
	if done.Covers(projection.Range{From: env.From, To: env.To}) {
		return nil
	}
	return sqlitedb.Classify(f.apply(ctx, env, done, false))
}

// done are the ranges of a shard that a writer leaves out.
func (f *Tables) done(ctx context.Context, shard eventstore.Shard) (projection.Ranges, error) {
	done, err := sqlprogress.Load(ctx, f.DB.Write, shard)
	return done, sqlitedb.Classify(err)
}

// base is what Together takes a model by.
func (f *Tables) base() *Tables { return f }

// Reapply makes the effect of the envelope though its range is recorded.
func (f *Tables) Reapply(ctx context.Context, env projection.Envelope) error {
	defer f.turn()()
	return sqlitedb.Classify(f.apply(ctx, env, nil, true))
}

// turn waits for the caller's turn, and gives what ends it.
func (f *Tables) turn() (end func()) {
	if f.DB.Shared() {
		return func() {}
	}
	f.mu.Lock()
	return f.mu.Unlock
}

func (f *Tables) apply(ctx context.Context, env projection.Envelope, done projection.Ranges, again bool) error {
	facts, err := Collect(ctx, f.deps.Store, f.deps.Opener, env, done)
	if err != nil {
		return err
	}
	return f.take(ctx, env, facts, again)
}

// take makes the effect of facts, which it does not change, and records the envelope's range.
func (f *Tables) take(ctx context.Context, env projection.Envelope, facts Facts, again bool) error {
	if err := f.effect.Prepare(ctx, facts.Records); err != nil {
		return err
	}
	for _, p := range facts.Purged {
		if err := f.purge(ctx, env.Shard, p); err != nil {
			return err
		}
	}
	whole := projection.Range{From: env.From, To: env.To}
	return f.tx(ctx, env.Shard, func(ctx context.Context, tx *sql.Tx) error {
		if f.DB.Shared() && !again {
			if now, err := sqlprogress.Load(ctx, tx, env.Shard); err != nil || now.Covers(whole) {
				return err // another process was faster
			}
		}
		if err := f.records(ctx, tx, facts.Records); err != nil {
			return err
		}
		for _, e := range facts.Erased {
			if err := f.erase(ctx, tx, e); err != nil {
				return err
			}
		}
		return sqlprogress.Add(ctx, tx, env.Shard, whole)
	})
}

// tx runs a transaction of the shard.
func (f *Tables) tx(ctx context.Context, shard eventstore.Shard, do func(ctx context.Context, tx *sql.Tx) error) error {
	err := f.DB.Tx(ctx, shard, func(ctx context.Context, tx *sql.Tx) error {
		err := do(ctx, tx)
		if err == nil && f.deps.Fault != nil {
			err = f.deps.Fault()
		}
		return err
	})
	if err != nil {
		f.effect.Forget()
	}
	return err
}

// records takes entries that are sorted by tenant.
func (f *Tables) records(ctx context.Context, tx *sql.Tx, all []entry.Opened) error {
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

func (f *Tables) erase(ctx context.Context, tx *sql.Tx, m Mark) error {
	no, purged, err := tenantNo(ctx, tx, m.Tenant)
	if err != nil || m.Position <= purged {
		return err
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO erased (tenant, position) VALUES (?, ?) ON CONFLICT DO NOTHING`, no, m.Position); err != nil {
		return fmt.Errorf("mark erased: %w", err)
	}
	return f.effect.Erase(ctx, tx, no, m.Position)
}

func (f *Tables) purge(ctx context.Context, shard eventstore.Shard, m Mark) error {
	var no int64
	err := f.tx(ctx, shard, func(ctx context.Context, tx *sql.Tx) (err error) {
		if no, _, err = tenantNo(ctx, tx, m.Tenant); err != nil {
			return err
		}
		if _, err = tx.ExecContext(ctx, `UPDATE tenants SET purged = ? WHERE no = ? AND purged < ?`, m.Position, no, m.Position); err != nil {
			return fmt.Errorf("raise watermark: %w", err)
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM erased WHERE tenant = ? AND position <= ?`, no, m.Position)
		return err
	})
	for more := err == nil; more && err == nil; {
		err = f.tx(ctx, shard, func(ctx context.Context, tx *sql.Tx) (err error) {
			more, err = f.effect.Purge(ctx, tx, no, m.Position, purgeChunk)
			return err
		})
	}
	return err
}
