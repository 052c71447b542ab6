package sqlitestate

import (
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"auditlog/eventstore"
	"auditlog/projection/search/opensearch"
)

// What becomes of an index.
const (
	statusKept = iota
	statusRetiring
	statusDropped
)

// Indices implements opensearch.State.
func (s *State) Indices(ctx context.Context, gen int) (out []string, err error) {
	err = s.each(ctx, "list indices", func(rows *sql.Rows) error {
		var name string
		err := rows.Scan(&name)
		out = append(out, name)
		return err
	}, `SELECT name FROM indices WHERE gen = ? AND status <> ? ORDER BY name`, gen, statusDropped)
	return out, err
}

// AddIndex implements opensearch.State.
func (s *State) AddIndex(ctx context.Context, gen int, name string) error {
	return s.write(ctx, "note index", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO indices (gen, name) SELECT gen, ?2 FROM generations WHERE gen = ?1 ON CONFLICT DO NOTHING`, gen, name)
		if err != nil {
			return err
		}
		var status int
		err = tx.QueryRowContext(ctx, `SELECT status FROM indices WHERE gen = ? AND name = ?`, gen, name).Scan(&status)
		if err == nil && status == statusDropped {
			return opensearch.ErrClosed
		}
		if errors.Is(err, sql.ErrNoRows) { // a generation that is gone
			return nil
		}
		return err
	})
}

// Retire implements opensearch.State.
func (s *State) Retire(ctx context.Context, gen int, index string) (token int64, err error) {
	err = s.db.Write.QueryRowContext(ctx, `UPDATE indices SET token = token + 1, status = ? WHERE gen = ? AND name = ? AND status <> ? RETURNING token`,
		statusRetiring, gen, index, statusDropped).Scan(&token)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("retire index: %w", err)
	}
	return token, nil
}

// Unretire implements opensearch.State.
func (s *State) Unretire(ctx context.Context, gen int, index string, token int64) error {
	return s.exec(ctx, "keep index", `UPDATE indices SET status = ? WHERE gen = ? AND name = ? AND token = ? AND status = ?`,
		statusKept, gen, index, token, statusRetiring)
}

// DropIndex implements opensearch.State.
func (s *State) DropIndex(ctx context.Context, gen int, index string, token int64) (dropped bool, err error) {
	err = s.write(ctx, "drop index", func(tx *sql.Tx) error {
		done, err := tx.ExecContext(ctx, `UPDATE indices SET status = ? WHERE gen = ? AND name = ? AND token = ? AND status = ?`,
			statusDropped, gen, index, token, statusRetiring)
		if err != nil {
			return err
		}
		n, err := done.RowsAffected()
		if dropped = n == 1; err != nil || !dropped {
			return err
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM scrubs WHERE gen = ? AND name = ?`, gen, index)
		return err
	})
	return dropped && err == nil, err
}

// Removals implements opensearch.State.
func (s *State) Removals(ctx context.Context, gen int, tenants []eventstore.TenantID) (opensearch.Removals, error) {
	out := opensearch.Removals{Purged: map[eventstore.TenantID]eventstore.Position{}, Retiring: map[string]bool{}, Dropped: map[string]bool{}}
	ids := make([]string, len(tenants))
	for i, t := range tenants {
		ids[i] = hex.EncodeToString(t[:])
	}
	wanted, err := json.Marshal(ids)
	if err != nil {
		return out, err
	}
	err = s.each(ctx, "load search removals", func(rows *sql.Rows) error {
		var raw []byte
		var last eventstore.Position
		var name string
		var status int
		if err := rows.Scan(&raw, &last, &name, &status); err != nil {
			return err
		}
		switch status {
		case statusRetiring:
			out.Retiring[name] = true
		case statusDropped:
			out.Dropped[name] = true
		default:
			out.Purged[eventstore.TenantID(raw)] = last
		}
		return nil
	}, `SELECT tenant, purged, '', 0 FROM tenants WHERE gen = ?1 AND tenant IN (SELECT unhex(value) FROM json_each(?2)) AND purged > 0
		UNION ALL SELECT zeroblob(16), 0, name, status FROM indices WHERE gen = ?1 AND status > 0`, gen, string(wanted))
	return out, err
}
