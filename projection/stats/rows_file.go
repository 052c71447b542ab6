package stats

import (
	"context"
	"database/sql"
	"fmt"

	"auditlog/internal/entry"
	"auditlog/projection/readmodel"
	"auditlog/projection/sqlbulk"
)

// fileRows are the rows of a file: statements are prepared once on its writing connection, and numbers remembered.
type fileRows struct {
	combo, actor, zero, raise, drop *sql.Stmt
	entries, rollups                *sqlbulk.Insert

	combos readmodel.Numbers[combo]
	actors readmodel.Numbers[actorKey]
}

// actorKey is an actor's token, with the number of its tenant.
type actorKey struct {
	tenant int64
	token  [32]byte
}

func newFileRows(ctx context.Context, db *readmodel.DB) (_ *fileRows, err error) {
	r := &fileRows{}
	for _, s := range []struct {
		to    **sql.Stmt
		query string
	}{
		{&r.combo, `INSERT INTO combos (action, severity, outcome, resource_type) VALUES (?, ?, ?, ?)
			ON CONFLICT DO UPDATE SET action = excluded.action RETURNING no`},
		{&r.actor, `INSERT INTO actors (tenant, token, sample) VALUES (?, ?, ?)
			ON CONFLICT DO UPDATE SET sample = excluded.sample RETURNING no`},
		{&r.zero, `DELETE FROM rollups WHERE tenant = ? AND unit = ? AND kind = ? AND start = ? AND key = ? AND n = 0`},
		{&r.raise, `UPDATE actors SET entries = entries + ?, sample = max(sample, ?) WHERE no = ?`},
		{&r.drop, `DELETE FROM actors WHERE no = ? AND entries = 0`},
	} {
		if *s.to, err = db.Write.PrepareContext(ctx, s.query); err != nil {
			return nil, err
		}
	}
	if r.entries, err = insertEntries(ctx, db); err != nil {
		return nil, err
	}
	r.rollups, err = addToRollups(ctx, db)
	return r, err
}

func insertEntries(ctx context.Context, db *readmodel.DB) (*sqlbulk.Insert, error) {
	return db.Insert(ctx, `INSERT INTO entries (tenant, position, occurred, combo, actor)`, 5, ``)
}

func addToRollups(ctx context.Context, db *readmodel.DB) (*sqlbulk.Insert, error) {
	return db.Insert(ctx, `INSERT INTO rollups (tenant, unit, kind, start, key, n)`, 6,
		`ON CONFLICT (tenant, unit, kind, start, key) DO UPDATE SET n = rollups.n + excluded.n`)
}

// prepare has nothing to do: one transaction writes at a time.
func (r *fileRows) prepare(context.Context, []entry.Opened) error { return nil }

func (r *fileRows) forget() {
	r.combos.Clear()
	r.actors.Clear()
}

func (r *fileRows) numberCombos(ctx context.Context, tx *sql.Tx, wanted map[combo]int64) error {
	for c := range wanted {
		no, ok := r.combos.Get(c)
		if !ok {
			if err := tx.StmtContext(ctx, r.combo).QueryRowContext(ctx, c.action, c.severity, c.outcome, c.resourceType).Scan(&no); err != nil {
				return fmt.Errorf("number of combination: %w", err)
			}
			r.combos.Put(c, no)
		}
		wanted[c] = no
	}
	return nil
}

func (r *fileRows) numberActors(ctx context.Context, tx *sql.Tx, tenant int64, wanted []*actor) error {
	for _, a := range wanted {
		key := actorKey{tenant, a.token}
		var ok bool
		if a.no, ok = r.actors.Get(key); ok {
			continue
		}
		if err := tx.StmtContext(ctx, r.actor).QueryRowContext(ctx, tenant, a.token[:], a.sample).Scan(&a.no); err != nil {
			return fmt.Errorf("number of actor: %w", err)
		}
		r.actors.Put(key, a.no)
	}
	return nil
}

func (r *fileRows) insertEntries(ctx context.Context, tx *sql.Tx, values []any) error {
	return r.entries.Exec(ctx, tx, values)
}

func (r *fileRows) add(ctx context.Context, tx *sql.Tx, values []any) error {
	return r.rollups.Exec(ctx, tx, values)
}

func (r *fileRows) dropEmpty(ctx context.Context, tx *sql.Tx, tenant int64, of []cell) error {
	for _, c := range of {
		if _, err := tx.StmtContext(ctx, r.zero).ExecContext(ctx, tenant, c.unit, c.kind, c.start, c.key); err != nil {
			return err
		}
	}
	return nil
}

func (r *fileRows) bump(ctx context.Context, tx *sql.Tx, actors map[int64]tally) error {
	raise := tx.StmtContext(ctx, r.raise)
	for no, t := range actors {
		if _, err := raise.ExecContext(ctx, t.n, t.sample, no); err != nil {
			return err
		}
		if t.n > 0 {
			continue
		}
		r.actors.Clear() // a row may go
		if _, err := tx.StmtContext(ctx, r.drop).ExecContext(ctx, no); err != nil {
			return err
		}
	}
	return nil
}
