package sqlitestate

import (
	"context"
	"database/sql"
	"fmt"

	"auditlog/eventstore"
	"auditlog/projection/search/opensearch"
)

// Live implements opensearch.State.
func (s *State) Live(ctx context.Context) (g opensearch.Generation, err error) {
	err = s.db.Read.QueryRowContext(ctx, `SELECT gen, shut_until FROM generations WHERE live = 1`).Scan(&g.N, &g.ShutUntil)
	if err != nil {
		return g, fmt.Errorf("load search generation: %w", err)
	}
	return g, nil
}

// Build implements opensearch.State. Numbers are used once: an unfinished generation's writers must not meet the next.
func (s *State) Build(ctx context.Context) (gen int, err error) {
	err = s.write(ctx, "begin search generation", func(tx *sql.Tx) error {
		if err := tx.QueryRowContext(ctx, `SELECT max(gen) + 1 FROM generations`).Scan(&gen); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM generations WHERE live = 0`); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO generations (gen, live) VALUES (?, 0)`, gen)
		return err
	})
	return gen, err
}

// Shut implements opensearch.State.
func (s *State) Shut(ctx context.Context, gen int, until eventstore.Micros) error {
	return s.exec(ctx, "shut search generation", `UPDATE generations SET shut_until = ? WHERE gen = ? AND live = 1`, until, gen)
}

// Reopen implements opensearch.State.
func (s *State) Reopen(ctx context.Context, gen int) error {
	return s.exec(ctx, "reopen search generation", `UPDATE generations SET shut_until = 0 WHERE gen = ? AND live = 1`, gen)
}

// Promote implements opensearch.State.
func (s *State) Promote(ctx context.Context, gen int) error {
	return s.write(ctx, "promote search generation", func(tx *sql.Tx) error {
		done, err := tx.ExecContext(ctx, `UPDATE generations SET live = 1 WHERE gen = ?`, gen)
		if err != nil {
			return err
		}
		if n, err := done.RowsAffected(); err != nil || n == 0 {
			return fmt.Errorf("generation %d is not being built: %w", gen, opensearch.ErrClosed)
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM generations WHERE gen <> ?`, gen)
		return err
	})
}
