package readmodel

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"auditlog/eventstore"
	"auditlog/internal/entry"
)

// tenantNo gives the tenant's number in the file, made when it has none, and its watermark.
func tenantNo(ctx context.Context, tx *sql.Tx, id eventstore.TenantID) (no int64, purged eventstore.Position, err error) {
	err = tx.QueryRowContext(ctx, `SELECT no, purged FROM tenants WHERE id = ?`, id[:]).Scan(&no, &purged)
	if errors.Is(err, sql.ErrNoRows) {
		err = tx.QueryRowContext(ctx, `INSERT INTO tenants (id, purged) VALUES (?, 0) RETURNING no`, id[:]).Scan(&no)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("number of tenant: %w", err)
	}
	return no, purged, nil
}

// LookUp is the tenant's number in the file for a reader; 0 when nothing of it was applied.
func LookUp(ctx context.Context, q interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}, id eventstore.TenantID) (no int64, err error) {
	err = q.QueryRowContext(ctx, `SELECT no FROM tenants WHERE id = ?`, id[:]).Scan(&no)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("number of tenant: %w", err)
	}
	return no, nil
}

// standing leaves out what was purged and takes the private part from what was erased, before or in the store already.
func standing(ctx context.Context, tx *sql.Tx, no int64, purged eventstore.Position, records []entry.Opened) ([]entry.Opened, error) {
	out := make([]entry.Opened, 0, len(records))
	for _, r := range records {
		if r.Position > purged {
			out = append(out, r)
		}
	}
	if len(out) == 0 {
		return nil, nil
	}
	low, high := out[0].Position, out[0].Position
	for _, r := range out {
		low, high = min(low, r.Position), max(high, r.Position)
	}
	rows, err := tx.QueryContext(ctx, `SELECT position FROM erased WHERE tenant = ? AND position BETWEEN ? AND ?`, no, low, high)
	if err != nil {
		return nil, fmt.Errorf("erased entries: %w", err)
	}
	defer rows.Close()
	erased := map[eventstore.Position]bool{}
	for rows.Next() {
		var p eventstore.Position
		if err := rows.Scan(&p); err != nil {
			return nil, fmt.Errorf("erased entries: %w", err)
		}
		erased[p] = true
	}
	for i := range out {
		if erased[out[i].Position] {
			out[i].Priv = nil
		}
	}
	return out, rows.Err()
}
