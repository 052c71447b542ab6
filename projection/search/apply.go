package search

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"auditlog/eventstore"
	"auditlog/projection"
	"auditlog/projection/sqlbulk"
	"auditlog/projection/sqlprogress"
)

// apply makes the effect of what is not yet applied of the envelope; moved tells that the shard's cursor moved.
func (f *file) apply(ctx context.Context, env projection.Envelope) (moved bool, err error) {
	applied, err := f.progress(ctx, env.Shard)
	if err != nil {
		return false, err
	}
	whole := projection.Range{From: env.From, To: env.To}
	if applied.Covers(whole) {
		return false, f.scrub(ctx)
	}
	eff, err := f.gather(ctx, env, applied)
	if err != nil {
		return false, err
	}
	if err := f.purge(ctx, eff.purged); err != nil {
		return false, err
	}
	err = f.write(ctx, func(w *writer) error {
		if err := w.putAll(eff.documents); err != nil {
			return err
		}
		if err := sqlprogress.Add(ctx, w.tx, env.Shard, whole); err != nil {
			return err
		}
		w.ranges, err = sqlprogress.Load(ctx, w.tx, env.Shard)
		w.shard = env.Shard
		return err
	})
	if err != nil {
		return false, err
	}
	after, err := f.progress(ctx, env.Shard)
	return after.Cursor() > applied.Cursor(), errors.Join(err, f.scrub(ctx))
}

// writer is one write transaction.
type writer struct {
	ctx      context.Context
	f        *file
	tx       *sql.Tx
	composer *composer
	newest   int64                               // highest document id before the transaction
	tenants  map[eventstore.TenantID]tenantState // met in the transaction
	shard    eventstore.Shard                    // whose ranges changed
	ranges   projection.Ranges                   // nil: none changed
	scrub    bool                                // what was removed must leave the write-ahead log, too
	docs     []any                               // rows to insert, see inserts
	tokens   []any
}

type tenantState struct {
	num    int64
	purged eventstore.Position
}

// write runs a transaction, and after its commit lets the file know what became of it. The end of ctx rolls it back and
// fails its next statement; statements are not watched one by one, which would cost each a goroutine.
func (f *file) write(ctx context.Context, do func(*writer) error) error {
	tx, err := f.Write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("write search index: %w", err)
	}
	w := &writer{ctx: context.WithoutCancel(ctx), f: f, tx: tx, composer: newComposer(), tenants: map[eventstore.TenantID]tenantState{}}
	err = tx.QueryRowContext(ctx, `SELECT ifnull(max(id), -1) FROM docs`).Scan(&w.newest)
	if err == nil {
		err = do(w)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write search index: %w", err), ctx.Err(), tx.Rollback())
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("write search index: %w", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dirty = f.dirty || w.scrub
	for id, t := range w.tenants {
		f.tenants[id] = t.num
	}
	if w.ranges != nil {
		// Writers commit one after the other but may get here in another order: ranges only grow.
		for _, r := range w.ranges {
			f.ranges[w.shard] = f.ranges[w.shard].Add(r)
		}
	}
	return nil
}

// putAll writes documents, ascending by id and one per id.
func (w *writer) putAll(documents []document) error {
	w.docs = make([]any, 0, 7*len(documents))
	w.tokens = make([]any, 0, 2*len(documents))
	for i := range documents {
		if err := w.put(&documents[i]); err != nil {
			return err
		}
	}
	if err := w.f.inserts.docs.Exec(w.ctx, w.tx, w.docs); err != nil {
		return err
	}
	return w.f.inserts.tokens.Exec(w.ctx, w.tx, w.tokens)
}

// put makes room for a document and its rows, unless it is purged or a newer one is there.
func (w *writer) put(d *document) error {
	t, err := w.tenant(d.tenant)
	if err != nil || d.position <= t.purged {
		return err
	}
	if d.id <= w.newest {
		var version eventstore.Position
		err := w.tx.StmtContext(w.ctx, w.f.inserts.version).QueryRowContext(w.ctx, d.id).Scan(&version)
		switch {
		case errors.Is(err, sql.ErrNoRows):
		case err != nil:
			return err
		case version > d.version, version == d.version && version == d.position:
			return nil
		default:
			w.scrub = w.scrub || d.entry.Erased != nil
			if err := w.remove(d.id); err != nil {
				return err
			}
		}
	}
	w.docs = append(w.docs, d.id, t.num, d.kind, int64(d.position), int64(d.version), int64(d.occurredAt), int64(d.recordedAt))
	w.tokens = append(w.tokens, d.id, string(w.composer.compose(d, t.num)))
	return nil
}

// inserts are what every document takes, prepared once on the writing connection.
type inserts struct {
	docs, tokens *sqlbulk.Insert
	version      *sql.Stmt
}

func prepareInserts(ctx context.Context, db *sql.DB) (in inserts, err error) {
	in.docs, err = sqlbulk.Prepare(ctx, db, `INSERT INTO docs (id, tenant, kind, position, version, occurred_at, recorded_at)`, 7, ``)
	if err != nil {
		return in, err
	}
	if in.tokens, err = sqlbulk.Prepare(ctx, db, `INSERT INTO tokens (rowid, t)`, 2, ``); err != nil {
		return in, err
	}
	in.version, err = db.PrepareContext(ctx, `SELECT version FROM docs WHERE id = ?`)
	return in, err
}

// remove takes a document out. Its bytes are overwritten in the file; scrub empties the log.
func (w *writer) remove(id int64) error {
	if _, err := w.tx.ExecContext(w.ctx, `DELETE FROM tokens WHERE rowid = ?`, id); err != nil {
		return err
	}
	_, err := w.tx.ExecContext(w.ctx, `DELETE FROM docs WHERE id = ?`, id)
	return err
}

// tenant is the tenant's state, which is made when there is none.
func (w *writer) tenant(id eventstore.TenantID) (t tenantState, err error) {
	if t, ok := w.tenants[id]; ok {
		return t, nil
	}
	_, err = w.tx.ExecContext(w.ctx, `INSERT INTO tenants (id) VALUES (?) ON CONFLICT DO NOTHING`, id[:])
	if err != nil {
		return t, err
	}
	err = w.tx.QueryRowContext(w.ctx, `SELECT num, purged FROM tenants WHERE id = ?`, id[:]).Scan(&t.num, &t.purged)
	w.tenants[id] = t
	return t, err
}
