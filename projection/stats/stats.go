// Package stats counts entries: rollups per tenant and minute, hour and day of occurred_at, by action, severity, outcome,
// resource type and actor.
//
// The file stats-<n>.db holds public values and keyed tokens of actors, no plaintext; a name in an answer is read from
// the event store through find. An erasure moves the entry's count to "erased", a purge takes its counts away; both are
// exact, in whatever order and however often events come, since the file keeps a row per entry. Answers are exact for
// any borders: whole days, hours and minutes come from rollups, cut minutes, and what is asked of
// an actor and other fields at once, from the rows.
package stats

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"auditlog/eventstore"
	"auditlog/internal/entry"
	"auditlog/internal/sqlitedb"
	"auditlog/migrations"
	"auditlog/projection/find"
	"auditlog/projection/readmodel"
)

// Projection is the projector "stats" and answers query.Rollups.
type Projection struct {
	*readmodel.Live[*file]
	names Names
	ring  tokens
}

// tokens makes the keyed tokens of actors (keyring.Ring).
type tokens interface {
	Token(ctx context.Context, tenant [16]byte, label string, value []byte) ([32]byte, error)
}

// Open opens the projection in the folder dir.
func Open(ctx context.Context, dir string, deps readmodel.Deps, names Names, log *slog.Logger) (*Projection, error) {
	live, err := readmodel.OpenLive(ctx, dir, "stats", log, func(ctx context.Context, path string) (*file, error) {
		return openFile(ctx, path, deps)
	})
	if err != nil {
		return nil, err
	}
	return &Projection{Live: live, names: names, ring: deps.Opener.Ring}, nil
}

// Dump writes all counts and rows in a canonical order; it is equal for the live file and a rebuilt one.
func (p *Projection) Dump(ctx context.Context, w io.Writer) error {
	return p.Use(func(live *file) error { return live.dump(ctx, w) })
}

// file is one generation.
type file struct {
	*readmodel.File
	ring tokens
	sql  statements
}

// statements are prepared once on the writing connection.
type statements struct{ combo, actor, entry, add, zero, bump, drop *sql.Stmt }

func openFile(ctx context.Context, path string, deps readmodel.Deps) (*file, error) {
	db, err := sqlitedb.Open(ctx, path, sqlitedb.Options{SecureDelete: true, Migrations: migrations.SQLite("stats")})
	if err != nil {
		return nil, err
	}
	f := &file{ring: deps.Opener.Ring}
	f.File = readmodel.NewFile(db, deps, f)
	for _, s := range []struct {
		to    **sql.Stmt
		query string
	}{
		{&f.sql.combo, `INSERT INTO combos (action, severity, outcome, resource_type) VALUES (?, ?, ?, ?)
			ON CONFLICT DO UPDATE SET action = excluded.action RETURNING no`},
		{&f.sql.actor, `INSERT INTO actors (tenant, token, sample) VALUES (?, ?, ?)
			ON CONFLICT DO UPDATE SET sample = excluded.sample RETURNING no`},
		{&f.sql.entry, `INSERT OR IGNORE INTO entries (tenant, position, occurred, combo, actor) VALUES (?, ?, ?, ?, ?)`},
		{&f.sql.add, `INSERT INTO rollups (tenant, unit, kind, start, key, n) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT DO UPDATE SET n = n + excluded.n`},
		{&f.sql.zero, `DELETE FROM rollups WHERE tenant = ? AND unit = ? AND kind = ? AND start = ? AND key = ? AND n = 0`},
		{&f.sql.bump, `UPDATE actors SET entries = entries + ? WHERE no = ?`},
		{&f.sql.drop, `DELETE FROM actors WHERE no = ? AND entries = 0`},
	} {
		if *s.to, err = db.Write.PrepareContext(ctx, s.query); err != nil {
			return nil, errors.Join(sqlitedb.Classify(fmt.Errorf("prepare stats: %w", err)), db.Close())
		}
	}
	return f, nil
}

// Record implements readmodel.Effect.
func (f *file) Record(ctx context.Context, tx *sql.Tx, tenant int64, records []entry.Opened) error {
	d := newDelta(tenant)
	combos, actors := map[combo]int64{}, map[string]int64{}
	insert := tx.StmtContext(ctx, f.sql.entry)
	for _, r := range records {
		c, err := f.comboNo(ctx, tx, combos, r)
		if err != nil {
			return err
		}
		a, err := f.actorNo(ctx, tx, actors, tenant, r)
		if err != nil {
			return err
		}
		occurred := r.RecordedAt
		if r.Pub.OccurredAt != nil {
			occurred = *r.Pub.OccurredAt
		}
		done, err := insert.ExecContext(ctx, tenant, r.Position, occurred, c, a)
		if err != nil {
			return fmt.Errorf("insert entry: %w", err)
		}
		d.touch(a)
		if n, err := done.RowsAffected(); err != nil || n == 0 { // counted before
			continue
		}
		d.count(occurred, c, a, 1)
	}
	return f.write(ctx, tx, d)
}

// combo is what the public part says of an entry.
type combo struct{ action, severity, outcome, resourceType string }

func (f *file) comboNo(ctx context.Context, tx *sql.Tx, known map[combo]int64, r entry.Opened) (no int64, err error) {
	c := combo{r.Pub.Action, r.Pub.Severity, r.Pub.Outcome, r.Pub.ResourceType}
	if no, ok := known[c]; ok {
		return no, nil
	}
	if err := tx.StmtContext(ctx, f.sql.combo).QueryRowContext(ctx, c.action, c.severity, c.outcome, c.resourceType).Scan(&no); err != nil {
		return 0, fmt.Errorf("number of combination: %w", err)
	}
	known[c] = no
	return no, nil
}

// actorNo is the actor's number: 0 for one that is erased.
func (f *file) actorNo(ctx context.Context, tx *sql.Tx, known map[string]int64, tenant int64, r entry.Opened) (no int64, err error) {
	if r.Priv == nil {
		return 0, nil
	}
	if no, ok := known[r.Priv.Actor.ID]; ok {
		return no, nil
	}
	token, err := f.ring.Token(ctx, r.Tenant, find.Actor, []byte(r.Priv.Actor.ID))
	if err != nil {
		return 0, fmt.Errorf("token of actor: %w", err)
	}
	if err := tx.StmtContext(ctx, f.sql.actor).QueryRowContext(ctx, tenant, token[:], r.Position).Scan(&no); err != nil {
		return 0, fmt.Errorf("number of actor: %w", err)
	}
	known[r.Priv.Actor.ID] = no
	return no, nil
}

// Erase implements readmodel.Effect.
func (f *file) Erase(ctx context.Context, tx *sql.Tx, tenant int64, at eventstore.Position) error {
	var e counted
	err := tx.QueryRowContext(ctx, `SELECT occurred, combo, actor FROM entries WHERE tenant = ? AND position = ?`, tenant, at).
		Scan(&e.occurred, &e.combo, &e.actor)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil
	case err != nil:
		return fmt.Errorf("entry to erase: %w", err)
	case e.actor == 0:
		return nil
	}
	if _, err := tx.ExecContext(ctx, `UPDATE entries SET actor = 0 WHERE tenant = ? AND position = ?`, tenant, at); err != nil {
		return fmt.Errorf("erase actor: %w", err)
	}
	d := newDelta(tenant)
	d.count(e.occurred, e.combo, e.actor, -1)
	d.count(e.occurred, e.combo, 0, 1)
	return f.write(ctx, tx, d)
}

// Purge implements readmodel.Effect.
func (f *file) Purge(ctx context.Context, tx *sql.Tx, tenant int64, last eventstore.Position, limit int) (more bool, err error) {
	d := newDelta(tenant)
	n, end, err := d.uncount(ctx, tx, tenant, last, limit)
	if err != nil || n == 0 {
		return false, err
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM entries WHERE tenant = ? AND position <= ?`, tenant, end); err != nil {
		return false, fmt.Errorf("delete purged entries: %w", err)
	}
	return n == limit, f.write(ctx, tx, d)
}
