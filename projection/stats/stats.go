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
	"auditlog/projection/sqlbulk"
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

// Open opens the projection in its home.
func Open(ctx context.Context, home readmodel.Home, deps readmodel.Deps, names Names, log *slog.Logger) (*Projection, error) {
	live, err := readmodel.OpenLive(ctx, home, "stats", log, func(ctx context.Context, path string) (*file, error) {
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

	combos readmodel.Numbers[combo]
	actors readmodel.Numbers[actorKey]
}

// statements are prepared once on the writing connection.
type statements struct {
	combo, actor, zero, bump, drop *sql.Stmt
	entries, add                   *sqlbulk.Insert
}

func openFile(ctx context.Context, path string, deps readmodel.Deps) (*file, error) {
	db, err := sqlitedb.Open(ctx, path, sqlitedb.Options{CacheKiB: 16 << 10, Checkpoint: 4096, SecureDelete: true, Migrations: migrations.SQLite("stats")})
	if err != nil {
		return nil, err
	}
	f := &file{ring: deps.Opener.Ring}
	f.File = readmodel.NewFile(db, deps, f)
	if err := f.prepare(ctx); err != nil {
		return nil, errors.Join(sqlitedb.Classify(fmt.Errorf("prepare stats: %w", err)), db.Close())
	}
	return f, nil
}

func (f *file) prepare(ctx context.Context) (err error) {
	for _, s := range []struct {
		to    **sql.Stmt
		query string
	}{
		{&f.sql.combo, `INSERT INTO combos (action, severity, outcome, resource_type) VALUES (?, ?, ?, ?)
			ON CONFLICT DO UPDATE SET action = excluded.action RETURNING no`},
		{&f.sql.actor, `INSERT INTO actors (tenant, token, sample) VALUES (?, ?, ?)
			ON CONFLICT DO UPDATE SET sample = excluded.sample RETURNING no`},
		{&f.sql.zero, `DELETE FROM rollups WHERE tenant = ? AND unit = ? AND kind = ? AND start = ? AND key = ? AND n = 0`},
		{&f.sql.bump, `UPDATE actors SET entries = entries + ?, sample = max(sample, ?) WHERE no = ?`},
		{&f.sql.drop, `DELETE FROM actors WHERE no = ? AND entries = 0`},
	} {
		if *s.to, err = f.DB.Write.PrepareContext(ctx, s.query); err != nil {
			return err
		}
	}
	if f.sql.entries, err = sqlbulk.Prepare(ctx, f.DB.Write, `INSERT INTO entries (tenant, position, occurred, combo, actor)`, 5, ``); err != nil {
		return err
	}
	f.sql.add, err = sqlbulk.Prepare(ctx, f.DB.Write, `INSERT INTO rollups (tenant, unit, kind, start, key, n)`, 6,
		`ON CONFLICT DO UPDATE SET n = n + excluded.n`)
	return err
}

// Forget implements readmodel.Effect.
func (f *file) Forget() {
	f.combos.Clear()
	f.actors.Clear()
}

// Record implements readmodel.Effect.
func (f *file) Record(ctx context.Context, tx *sql.Tx, tenant int64, records []entry.Opened) error {
	had, err := countedBefore(ctx, tx, tenant, records)
	if err != nil {
		return err
	}
	d := newDelta(tenant)
	known := map[string]int64{} // actors of this call, all of one tenant
	rows := make([]any, 0, 5*len(records))
	for _, r := range records {
		if had[r.Position] {
			continue
		}
		had[r.Position] = true
		c, err := f.comboNo(ctx, tx, r)
		if err != nil {
			return err
		}
		a, err := f.actorNo(ctx, tx, known, tenant, r)
		if err != nil {
			return err
		}
		occurred := r.RecordedAt
		if r.Pub.OccurredAt != nil {
			occurred = *r.Pub.OccurredAt
		}
		rows = append(rows, tenant, int64(r.Position), int64(occurred), c, a)
		d.count(occurred, c, a, 1)
		d.seen(a, r.Position)
	}
	if err := f.sql.entries.Exec(ctx, tx, rows); err != nil {
		return fmt.Errorf("insert entries: %w", err)
	}
	return f.write(ctx, tx, d)
}

// countedBefore are the positions, about where the records are, whose entries are in the file.
func countedBefore(ctx context.Context, tx *sql.Tx, tenant int64, records []entry.Opened) (had map[eventstore.Position]bool, err error) {
	low, high := records[0].Position, records[0].Position
	for _, r := range records {
		low, high = min(low, r.Position), max(high, r.Position)
	}
	rows, err := tx.QueryContext(ctx, `SELECT position FROM entries WHERE tenant = ? AND position BETWEEN ? AND ?`, tenant, low, high)
	if err != nil {
		return nil, fmt.Errorf("counted entries: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	had = make(map[eventstore.Position]bool, len(records))
	for rows.Next() {
		var at eventstore.Position
		if err := rows.Scan(&at); err != nil {
			return nil, fmt.Errorf("counted entries: %w", err)
		}
		had[at] = true
	}
	return had, rows.Err()
}

// combo is what the public part says of an entry.
type combo struct{ action, severity, outcome, resourceType string }

func (f *file) comboNo(ctx context.Context, tx *sql.Tx, r entry.Opened) (no int64, err error) {
	c := combo{r.Pub.Action, r.Pub.Severity, r.Pub.Outcome, r.Pub.ResourceType}
	if no, ok := f.combos.Get(c); ok {
		return no, nil
	}
	if err := tx.StmtContext(ctx, f.sql.combo).QueryRowContext(ctx, c.action, c.severity, c.outcome, c.resourceType).Scan(&no); err != nil {
		return 0, fmt.Errorf("number of combination: %w", err)
	}
	f.combos.Put(c, no)
	return no, nil
}

// actorKey is an actor's token, with the number of its tenant.
type actorKey struct {
	tenant int64
	token  [32]byte
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
	key := actorKey{tenant, token}
	if no, ok := f.actors.Get(key); ok {
		known[r.Priv.Actor.ID] = no
		return no, nil
	}
	if err := tx.StmtContext(ctx, f.sql.actor).QueryRowContext(ctx, tenant, token[:], r.Position).Scan(&no); err != nil {
		return 0, fmt.Errorf("number of actor: %w", err)
	}
	f.actors.Put(key, no)
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
