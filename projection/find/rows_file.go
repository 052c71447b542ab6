package find

import (
	"context"
	"database/sql"
	"fmt"

	"auditlog/projection/readmodel"
)

// fileRows are the rows of a file: a statement for each token and row, and numbers are remembered.
type fileRows struct {
	token   *sql.Stmt // prepared on the writing connection
	numbers readmodel.Numbers[tokenKey]
}

// tokenKey is a token of a tenant, by its number in the file.
type tokenKey struct {
	tenant int64
	label  string
	value  [32]byte
}

func newFileRows(ctx context.Context, db *readmodel.DB) (_ *fileRows, err error) {
	r := &fileRows{}
	r.token, err = db.Write.PrepareContext(ctx, `
		INSERT INTO tokens (tenant, label, token) VALUES (?, ?, ?)
		ON CONFLICT DO UPDATE SET label = excluded.label RETURNING no`)
	return r, err
}

func (r *fileRows) forget() { r.numbers.Clear() }

func (r *fileRows) number(ctx context.Context, tx *sql.Tx, tenant int64, wanted []*token) error {
	for _, t := range wanted {
		key := tokenKey{tenant, t.label, t.value}
		var ok bool
		if t.no, ok = r.numbers.Get(key); ok {
			continue
		}
		if err := tx.StmtContext(ctx, r.token).QueryRowContext(ctx, tenant, t.label, t.value[:]).Scan(&t.no); err != nil {
			return err
		}
		r.numbers.Put(key, t.no)
	}
	return nil
}

func (r *fileRows) remove(ctx context.Context, tx *sql.Tx, tenant int64, doomed []row) error {
	r.numbers.Clear()
	tokens := map[int64]bool{}
	for _, d := range doomed {
		tokens[d.token] = true
		if _, err := tx.ExecContext(ctx, `DELETE FROM hits WHERE token = ? AND position = ?`, d.token, d.at); err != nil {
			return fmt.Errorf("delete hit: %w", err)
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM entries WHERE tenant = ? AND position = ? AND token = ?`, tenant, d.at, d.token); err != nil {
			return fmt.Errorf("delete entry of hit: %w", err)
		}
	}
	for t := range tokens {
		_, err := tx.ExecContext(ctx, `DELETE FROM tokens WHERE no = ? AND NOT EXISTS (SELECT 1 FROM hits WHERE token = tokens.no)`, t)
		if err != nil {
			return fmt.Errorf("delete token: %w", err)
		}
	}
	return nil
}
