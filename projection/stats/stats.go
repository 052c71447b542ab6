// Package stats counts entries: rollups per tenant and minute, hour and day of occurred_at, by action, severity, outcome,
// resource type and actor.
//
// Its tables hold public values and keyed tokens of actors, no plaintext; a name in an answer is read from the event store
// through find. An erasure moves the entry's count to "erased", a purge takes its counts away; both are exact, in
// whatever order and however often events come, since there is a row per entry. Answers are exact for any borders: whole
// days, hours and minutes come from rollups, cut minutes, and what is asked of an actor and other fields at once, from
// the rows. An answer is of one state of the tables, in files as on PostgreSQL.
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
	"auditlog/projection/find"
	"auditlog/projection/readmodel"
)

// Projection is the projector "stats" and answers query.Rollups.
type Projection struct {
	*readmodel.Live[*tables]
	names Names
	ring  tokens
}

// tokens makes the keyed tokens of actors (keyring.Ring).
type tokens interface {
	Token(ctx context.Context, tenant [16]byte, label string, value []byte) ([32]byte, error)
}

// Open opens the projection in its home.
func Open(ctx context.Context, home readmodel.Home, deps readmodel.Deps, names Names, log *slog.Logger) (*Projection, error) {
	live, err := readmodel.OpenLive(ctx, home, "stats", log, func(ctx context.Context, at readmodel.Place) (*tables, error) {
		return openTables(ctx, at, deps)
	})
	if err != nil {
		return nil, err
	}
	return &Projection{Live: live, names: names, ring: deps.Opener.Ring}, nil
}

// Dump writes all counts and rows in a canonical order; it is equal for the live generation and a rebuilt one.
func (p *Projection) Dump(ctx context.Context, w io.Writer) error {
	return p.Print(ctx, w, func(live *tables, w io.Writer) error { return live.dump(ctx, w) })
}

// tables are one generation.
type tables struct {
	*readmodel.Tables
	ring tokens
	rows rows
}

// rows is what differs between the homes: how keys get their numbers, and how many rows go in at once.
type rows interface {
	// prepare makes combinations that are new, ahead of a transaction.
	prepare(ctx context.Context, records []entry.Opened) error
	// numberCombos fills in the numbers of combinations, which it makes when they are new.
	numberCombos(ctx context.Context, tx *sql.Tx, wanted map[combo]int64) error
	// numberActors fills in the numbers of a tenant's actors, which it makes when they are new.
	numberActors(ctx context.Context, tx *sql.Tx, tenant int64, wanted []*actor) error
	// insertEntries takes tenant, position, occurred, combo and actor of each row.
	insertEntries(ctx context.Context, tx *sql.Tx, values []any) error
	// add takes tenant, unit, kind, start, key and what to add to each rollup.
	add(ctx context.Context, tx *sql.Tx, values []any) error
	// dropEmpty drops those of a tenant's rollups that count nothing.
	dropEmpty(ctx context.Context, tx *sql.Tx, tenant int64, of []cell) error
	// bump adds to actors and drops those of them that are left without entries.
	bump(ctx context.Context, tx *sql.Tx, actors map[int64]tally) error
	// forget drops what is remembered of rows.
	forget()
}

// actor is one of a tenant's.
type actor struct {
	token  [32]byte
	sample eventstore.Position // of one of its entries
	no     int64
}

func openTables(ctx context.Context, at readmodel.Place, deps readmodel.Deps) (*tables, error) {
	db, err := at.Open(ctx, sqlitedb.Options{CacheKiB: 16 << 10, Checkpoint: 4096, SecureDelete: true})
	if err != nil {
		return nil, err
	}
	t := &tables{ring: deps.Opener.Ring}
	t.Tables = readmodel.NewTables(db, deps, t)
	if db.Shared() {
		t.rows, err = newSharedRows(ctx, db)
	} else {
		t.rows, err = newFileRows(ctx, db)
	}
	if err != nil {
		return nil, errors.Join(sqlitedb.Classify(fmt.Errorf("prepare stats: %w", err)), db.Close())
	}
	return t, nil
}

// Prepare implements readmodel.Effect.
func (f *tables) Prepare(ctx context.Context, records []entry.Opened) error {
	return f.rows.prepare(ctx, records)
}

// Forget implements readmodel.Effect.
func (f *tables) Forget() { f.rows.forget() }

// Record implements readmodel.Effect.
func (f *tables) Record(ctx context.Context, tx *sql.Tx, tenant int64, records []entry.Opened) error {
	records, err := uncounted(ctx, tx, tenant, records)
	if err != nil || len(records) == 0 {
		return err
	}
	combos := combosOf(records)
	if err := f.rows.numberCombos(ctx, tx, combos); err != nil {
		return err
	}
	actors, err := f.actors(ctx, tx, tenant, records)
	if err != nil {
		return err
	}
	d := newDelta(tenant)
	values := make([]any, 0, 5*len(records))
	for _, r := range records {
		c, a := combos[comboOf(r)], int64(0)
		if r.Priv != nil {
			a = actors[r.Priv.Actor.ID].no
		}
		occurred := r.RecordedAt
		if r.Pub.OccurredAt != nil {
			occurred = *r.Pub.OccurredAt
		}
		values = append(values, tenant, int64(r.Position), int64(occurred), c, a)
		d.count(occurred, c, a, 1)
		d.seen(a, r.Position)
	}
	if err := f.rows.insertEntries(ctx, tx, values); err != nil {
		return fmt.Errorf("insert entries: %w", err)
	}
	return f.write(ctx, tx, d)
}

// uncounted are the records without those that are counted already, each once.
func uncounted(ctx context.Context, tx *sql.Tx, tenant int64, records []entry.Opened) ([]entry.Opened, error) {
	had, err := countedBefore(ctx, tx, tenant, records)
	if err != nil {
		return nil, err
	}
	out := make([]entry.Opened, 0, len(records))
	for _, r := range records {
		if !had[r.Position] {
			had[r.Position] = true
			out = append(out, r)
		}
	}
	return out, nil
}

// actors are those of the records, all of one tenant, by their ids, with their numbers.
func (f *tables) actors(ctx context.Context, tx *sql.Tx, tenant int64, records []entry.Opened) (map[string]*actor, error) {
	byID := map[string]*actor{}
	var all []*actor
	for _, r := range records {
		if r.Priv == nil || byID[r.Priv.Actor.ID] != nil {
			continue
		}
		token, err := f.ring.Token(ctx, r.Tenant, find.Actor, []byte(r.Priv.Actor.ID))
		if err != nil {
			return nil, fmt.Errorf("token of actor: %w", err)
		}
		a := &actor{token: token, sample: r.Position}
		byID[r.Priv.Actor.ID] = a
		all = append(all, a)
	}
	return byID, f.rows.numberActors(ctx, tx, tenant, all)
}

// countedBefore are the positions, about where the records are, whose entries are counted.
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

// combosOf are the combinations of records, none with its number.
func combosOf(records []entry.Opened) map[combo]int64 {
	all := map[combo]int64{}
	for _, r := range records {
		all[comboOf(r)] = 0
	}
	return all
}

func comboOf(r entry.Opened) combo {
	return combo{r.Pub.Action, r.Pub.Severity, r.Pub.Outcome, r.Pub.ResourceType}
}

// Erase implements readmodel.Effect.
func (f *tables) Erase(ctx context.Context, tx *sql.Tx, tenant int64, at eventstore.Position) error {
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
func (f *tables) Purge(ctx context.Context, tx *sql.Tx, tenant int64, last eventstore.Position, limit int) (more bool, err error) {
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
