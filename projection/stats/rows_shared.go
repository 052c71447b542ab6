package stats

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"

	"auditlog/internal/entry"
	"auditlog/projection/readmodel"
	"auditlog/projection/sqlbulk"
)

// sharedRows are the rows on PostgreSQL. One statement takes any number of them, as arrays. Numbers of actors are not
// remembered: another process may drop their rows. Combinations stay for ever and belong to no shard: they are made
// outside of transactions, which otherwise would wait for each other's.
type sharedRows struct {
	db               *sql.DB
	entries, rollups *sqlbulk.Insert

	mu    sync.Mutex // guards known
	known readmodel.Numbers[combo]
}

func newSharedRows(ctx context.Context, db *readmodel.DB) (_ *sharedRows, err error) {
	r := &sharedRows{db: db.Write}
	if r.entries, err = insertEntries(ctx, db); err != nil {
		return nil, err
	}
	r.rollups, err = addToRollups(ctx, db)
	return r, err
}

// forget has nothing to do: what is remembered was committed, and stays.
func (r *sharedRows) forget() {}

// fill puts in the numbers that are remembered and gives the other combinations, as columns.
func (r *sharedRows) fill(wanted map[combo]int64) (missing []any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var columns [4][]string
	for c := range wanted {
		if no, ok := r.known.Get(c); ok {
			wanted[c] = no
			continue
		}
		for i, v := range []string{c.action, c.severity, c.outcome, c.resourceType} {
			columns[i] = append(columns[i], v)
		}
	}
	if columns[0] == nil {
		return nil
	}
	return []any{columns[0], columns[1], columns[2], columns[3]}
}

// prepare makes combinations in their order, so that processes that make the same ones do not wait crosswise. Their commit
// is on disk when it returns: a number that is remembered must not go with a crash of the server.
func (r *sharedRows) prepare(ctx context.Context, records []entry.Opened) error {
	missing := r.fill(combosOf(records))
	if missing == nil {
		return nil
	}
	tx, err := r.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("make combinations: %w", err)
	}
	if _, err = tx.ExecContext(ctx, `SET LOCAL synchronous_commit TO on`); err == nil {
		_, err = tx.ExecContext(ctx, `
			INSERT INTO combos (action, severity, outcome, resource_type)
			SELECT * FROM unnest(?::text[], ?::text[], ?::text[], ?::text[]) AS u (action, severity, outcome, resource_type)
			WHERE NOT EXISTS (SELECT FROM combos c WHERE (c.action, c.severity, c.outcome, c.resource_type) = (u.action, u.severity, u.outcome, u.resource_type))
			ORDER BY action, severity, outcome, resource_type ON CONFLICT DO NOTHING`, missing...)
	}
	if err == nil {
		err = tx.Commit()
	}
	if err != nil {
		_ = tx.Rollback() // it says the same, or that the commit ended it
		return fmt.Errorf("make combinations: %w", err)
	}
	return nil
}

func (r *sharedRows) numberCombos(ctx context.Context, tx *sql.Tx, wanted map[combo]int64) (err error) {
	missing := r.fill(wanted)
	if missing == nil {
		return nil
	}
	rows, err := tx.QueryContext(ctx, `
		SELECT c.no, c.action, c.severity, c.outcome, c.resource_type
		FROM unnest(?::text[], ?::text[], ?::text[], ?::text[]) AS u (action, severity, outcome, resource_type)
		JOIN combos c ON (c.action, c.severity, c.outcome, c.resource_type) = (u.action, u.severity, u.outcome, u.resource_type)`, missing...)
	if err != nil {
		return fmt.Errorf("numbers of combinations: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	r.mu.Lock()
	defer r.mu.Unlock()
	for rows.Next() {
		var no int64
		var c combo
		if err := rows.Scan(&no, &c.action, &c.severity, &c.outcome, &c.resourceType); err != nil {
			return fmt.Errorf("numbers of combinations: %w", err)
		}
		wanted[c] = no
		r.known.Put(c, no)
	}
	for c, no := range wanted {
		if no == 0 && rows.Err() == nil {
			return fmt.Errorf("combination %v was not made", c)
		}
	}
	return rows.Err()
}

func (r *sharedRows) numberActors(ctx context.Context, tx *sql.Tx, tenant int64, wanted []*actor) error {
	byToken := make(map[[32]byte]*actor, len(wanted))
	var list [][]byte
	for _, a := range wanted {
		byToken[a.token] = a
		list = append(list, a.token[:])
	}
	if len(list) == 0 {
		return nil
	}
	if err := numbersOf(ctx, tx, byToken, `SELECT no, token FROM actors WHERE tenant = ? AND token = ANY (?)`, tenant, list); err != nil {
		return err
	}
	list = nil
	var samples []int64
	for _, a := range wanted {
		if a.no == 0 {
			list, samples = append(list, a.token[:]), append(samples, int64(a.sample))
		}
	}
	if len(list) == 0 {
		return nil
	}
	return numbersOf(ctx, tx, byToken, `
		INSERT INTO actors (tenant, token, sample) SELECT ?::bigint, * FROM unnest(?::bytea[], ?::bigint[]) RETURNING no, token`,
		tenant, list, samples)
}

// numbersOf reads numbers and tokens of actors.
func numbersOf(ctx context.Context, tx *sql.Tx, into map[[32]byte]*actor, query string, args ...any) (err error) {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return fmt.Errorf("numbers of actors: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var no int64
		var token sql.RawBytes
		if err := rows.Scan(&no, &token); err != nil {
			return fmt.Errorf("numbers of actors: %w", err)
		}
		into[[32]byte(token)].no = no
	}
	return rows.Err()
}

func (r *sharedRows) insertEntries(ctx context.Context, tx *sql.Tx, values []any) error {
	return r.entries.Exec(ctx, tx, values)
}

func (r *sharedRows) add(ctx context.Context, tx *sql.Tx, values []any) error {
	return r.rollups.Exec(ctx, tx, values)
}

func (r *sharedRows) dropEmpty(ctx context.Context, tx *sql.Tx, tenant int64, of []cell) error {
	if len(of) == 0 {
		return nil
	}
	var unit, kind, start, key []int64
	for _, c := range of {
		unit, kind, start, key = append(unit, c.unit), append(kind, c.kind), append(start, c.start), append(key, c.key)
	}
	_, err := tx.ExecContext(ctx, `
		DELETE FROM rollups r USING unnest(?::bigint[], ?::bigint[], ?::bigint[], ?::bigint[]) AS u (unit, kind, start, key)
		WHERE r.tenant = ? AND r.unit = u.unit AND r.kind = u.kind AND r.start = u.start AND r.key = u.key AND r.n = 0`,
		unit, kind, start, key, tenant)
	return err
}

func (r *sharedRows) bump(ctx context.Context, tx *sql.Tx, actors map[int64]tally) error {
	if len(actors) == 0 {
		return nil
	}
	var no, n, sample, lowered []int64
	for a, t := range actors {
		no, n, sample = append(no, a), append(n, t.n), append(sample, int64(t.sample))
		if t.n < 0 {
			lowered = append(lowered, a)
		}
	}
	_, err := tx.ExecContext(ctx, `
		UPDATE actors a SET entries = a.entries + u.n, sample = greatest(a.sample, u.sample)
		FROM unnest(?::bigint[], ?::bigint[], ?::bigint[]) AS u (no, n, sample) WHERE a.no = u.no`, no, n, sample)
	if err == nil && lowered != nil {
		_, err = tx.ExecContext(ctx, `DELETE FROM actors WHERE no = ANY (?) AND entries = 0`, lowered)
	}
	return err
}
