package search

import (
	"context"
	"database/sql"
	"errors"

	"auditlog/eventstore"
)

// purgeStep bounds the documents that one transaction removes, so that appliers behind it wait a moment only.
const purgeStep = 500

// purge raises watermarks first, so that no late document comes back, and removes what lies at or below them. Cut off
// half way it is begun again, since the purge event's range is not recorded yet.
func (f *file) purge(ctx context.Context, watermarks map[eventstore.TenantID]eventstore.Position) error {
	for tenant, last := range watermarks {
		err := f.write(ctx, func(w *writer) error {
			t, err := w.tenant(tenant)
			if err != nil || last <= t.purged {
				return err
			}
			_, err = w.tx.ExecContext(ctx, `UPDATE tenants SET purged = ? WHERE num = ?`, last, t.num)
			return err
		})
		if err != nil {
			return err
		}
		for kind := int64(kindEntries); kind <= kindAccess; kind++ {
			if err := f.purgeKind(ctx, tenant, kind, last); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *file) purgeKind(ctx context.Context, tenant eventstore.TenantID, kind int64, last eventstore.Position) error {
	for more := true; more; {
		err := f.write(ctx, func(w *writer) error {
			t, err := w.tenant(tenant)
			if err != nil {
				return err
			}
			ids, err := ints(w.tx.QueryContext(ctx, `SELECT id FROM docs WHERE tenant = ? AND kind = ? AND position <= ? ORDER BY position LIMIT ?`,
				t.num, kind, last, purgeStep))
			if err != nil {
				return err
			}
			w.scrub = len(ids) > 0
			for _, id := range ids {
				if err := w.remove(id); err != nil {
					return err
				}
			}
			more = len(ids) == purgeStep
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// ints reads rows of one integer.
func ints(rows *sql.Rows, err error) (out []int64, _ error) {
	if err != nil {
		return nil, err
	}
	for rows.Next() {
		var n int64
		if err := rows.Scan(&n); err != nil {
			return nil, errors.Join(err, rows.Close())
		}
		out = append(out, n)
	}
	return out, rows.Err()
}
