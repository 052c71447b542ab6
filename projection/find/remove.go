package find

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"

	"auditlog/eventstore"
	"auditlog/projection/readmodel"
)

// row is a row of entries.
type row struct {
	at    eventstore.Position
	token int64
}

// Erase implements readmodel.Effect.
func (f *tables) Erase(ctx context.Context, tx *sql.Tx, tenant int64, at eventstore.Position) error {
	rows, err := stored(ctx, tx, `SELECT position, token FROM entries WHERE tenant = ? AND position = ?`, tenant, at)
	if err != nil {
		return err
	}
	return f.rows.remove(ctx, tx, tenant, rows)
}

// Purge implements readmodel.Effect.
func (f *tables) Purge(ctx context.Context, tx *sql.Tx, tenant int64, last eventstore.Position, limit int) (more bool, err error) {
	rows, err := stored(ctx, tx, `
		SELECT position, token FROM entries WHERE tenant = ? AND position <= ? ORDER BY position LIMIT ?`, tenant, last, limit)
	if err != nil {
		return false, err
	}
	return len(rows) == limit, f.rows.remove(ctx, tx, tenant, rows)
}

func stored(ctx context.Context, tx *sql.Tx, query string, args ...any) (out []row, err error) {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("rows to remove: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var r row
		if err := rows.Scan(&r.at, &r.token); err != nil {
			return nil, fmt.Errorf("rows to remove: %w", err)
		}
		out = append(out, r)
	}
	return out, rows.Err()
}

func (f *tables) positions(ctx context.Context, tenant eventstore.TenantID, label string, token [32]byte, after eventstore.Position, limit int) (out []eventstore.Position, err error) {
	no, err := readmodel.LookUp(ctx, f.DB.Read, tenant)
	if err != nil || no == 0 {
		return nil, err
	}
	rows, err := f.DB.Read.QueryContext(ctx, `
		SELECT h.position FROM hits h JOIN tokens t ON t.no = h.token
		WHERE t.tenant = ? AND t.label = ? AND t.token = ? AND h.position > ?
		ORDER BY h.position LIMIT ?`, no, label, token[:], after, limit)
	if err != nil {
		return nil, fmt.Errorf("find positions: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var at eventstore.Position
		if err := rows.Scan(&at); err != nil {
			return nil, fmt.Errorf("find positions: %w", err)
		}
		out = append(out, at)
	}
	return out, rows.Err()
}

// Digest implements readmodel.Model: a line for each row, each watermark and each erased entry.
func (f *tables) Digest(ctx context.Context, w io.Writer) error {
	return readmodel.Dump(ctx, f.DB.Read, w,
		`SELECT 'hit', hex(n.id), t.label, hex(t.token), h.position FROM hits h JOIN tokens t ON t.no = h.token JOIN tenants n ON n.no = t.tenant
		 ORDER BY n.id, t.label, t.token, h.position`,
		`SELECT 'entry', hex(n.id), e.position, t.label, hex(t.token) FROM entries e JOIN tokens t ON t.no = e.token JOIN tenants n ON n.no = e.tenant
		 ORDER BY n.id, e.position, t.label, t.token`,
		`SELECT 'token', hex(n.id), t.label, hex(t.token) FROM tokens t JOIN tenants n ON n.no = t.tenant ORDER BY n.id, t.label, t.token`,
		readmodel.DumpMarks)
}
