package find

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// sharedRows are the rows on PostgreSQL. One statement takes any number of them, as arrays. Nothing is remembered: another
// process may drop tokens.
type sharedRows struct{}

func (sharedRows) forget() {}

func (sharedRows) number(ctx context.Context, tx *sql.Tx, tenant int64, wanted []*token) error {
	err := numbersOf(ctx, tx, wanted, `
		SELECT t.no, t.label, t.token FROM tokens t
		JOIN unnest(?::text[], ?::bytea[]) AS u (label, token) ON (t.label, t.token) = (u.label, u.token) WHERE t.tenant = ?`, tenant)
	if err != nil {
		return err
	}
	return numbersOf(ctx, tx, wanted, `
		INSERT INTO tokens (label, token, tenant) SELECT u.*, t FROM unnest(?::text[], ?::bytea[]) u, (VALUES (?::bigint)) AS v (t) RETURNING no, label, token`, tenant)
}

// numbersOf reads the numbers of those tokens that have none yet.
func numbersOf(ctx context.Context, tx *sql.Tx, wanted []*token, query string, tenant int64) (err error) {
	type key struct {
		label string
		value [32]byte
	}
	missing := map[key]*token{}
	var labels []string
	var values [][]byte
	for _, t := range wanted {
		if t.no == 0 {
			missing[key{t.label, t.value}] = t
			labels, values = append(labels, t.label), append(values, t.value[:])
		}
	}
	if len(labels) == 0 {
		return nil
	}
	rows, err := tx.QueryContext(ctx, query, labels, values, tenant)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var no int64
		var label string
		var value sql.RawBytes
		if err := rows.Scan(&no, &label, &value); err != nil {
			return err
		}
		missing[key{label, [32]byte(value)}].no = no
	}
	return rows.Err()
}

func (sharedRows) remove(ctx context.Context, tx *sql.Tx, tenant int64, doomed []row) error {
	var at, token []int64
	for _, d := range doomed {
		at, token = append(at, int64(d.at)), append(token, d.token)
	}
	if len(at) == 0 {
		return nil
	}
	if _, err := tx.ExecContext(ctx, `
		DELETE FROM hits h USING unnest(?::bigint[], ?::bigint[]) AS u (token, position)
		WHERE h.token = u.token AND h.position = u.position`, token, at); err != nil {
		return fmt.Errorf("delete hits: %w", err)
	}
	if _, err := tx.ExecContext(ctx, `
		DELETE FROM entries e USING unnest(?::bigint[], ?::bigint[]) AS u (token, position)
		WHERE e.tenant = ? AND e.position = u.position AND e.token = u.token`, token, at, tenant); err != nil {
		return fmt.Errorf("delete entries of hits: %w", err)
	}
	_, err := tx.ExecContext(ctx, `
		DELETE FROM tokens t WHERE t.no = ANY (?) AND NOT EXISTS (SELECT FROM hits h WHERE h.token = t.no)`, token)
	if err != nil {
		return fmt.Errorf("delete tokens: %w", err)
	}
	return nil
}
