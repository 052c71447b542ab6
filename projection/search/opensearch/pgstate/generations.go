package pgstate

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"auditlog/eventstore"
	"auditlog/internal/pgdb"
	"auditlog/projection/search/opensearch"
)

// Live implements opensearch.State.
func (s *State) Live(ctx context.Context) (opensearch.Generation, error) {
	live, err := collect(ctx, s, "load search generation", pgx.RowToStructByPos[opensearch.Generation],
		`SELECT gen, shut_until FROM auditlog_search.generations WHERE live`)
	if err != nil {
		return opensearch.Generation{}, err
	}
	if len(live) != 1 {
		return opensearch.Generation{}, fmt.Errorf("load search generation: %d are live", len(live))
	}
	return live[0], nil
}

// change runs a change of generations. The lock of the table waits in line with the shared row locks of writers, which
// would let each other pass it for ever if it waited at the row.
func (s *State) change(ctx context.Context, doing string, do func(pgx.Tx) error) error {
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `LOCK TABLE auditlog_search.generations IN EXCLUSIVE MODE`); err != nil {
			return err
		}
		return do(tx)
	})
	return pgdb.Translate(doing, err)
}

// Build implements opensearch.State.
func (s *State) Build(ctx context.Context) (gen int, err error) {
	err = s.change(ctx, "begin search generation", func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `DELETE FROM auditlog_search.generations WHERE NOT live`); err != nil {
			return err
		}
		return tx.QueryRow(ctx, `
			WITH next AS (UPDATE auditlog_search.last_generation SET gen = gen + 1 RETURNING gen)
			INSERT INTO auditlog_search.generations (gen, live) SELECT gen, false FROM next RETURNING gen`).Scan(&gen)
	})
	return gen, err
}

// Shut implements opensearch.State.
func (s *State) Shut(ctx context.Context, gen int, until eventstore.Micros) error {
	return s.change(ctx, "shut search generation", func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE auditlog_search.generations SET shut_until = $2 WHERE gen = $1 AND live`, gen, int64(until))
		return err
	})
}

// Reopen implements opensearch.State.
func (s *State) Reopen(ctx context.Context, gen int) error {
	return s.change(ctx, "reopen search generation", func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE auditlog_search.generations SET shut_until = 0 WHERE gen = $1 AND live`, gen)
		return err
	})
}

// Promote implements opensearch.State.
func (s *State) Promote(ctx context.Context, gen int) error {
	return s.change(ctx, "promote search generation", func(tx pgx.Tx) error {
		var there bool
		err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM auditlog_search.generations WHERE gen = $1)`, gen).Scan(&there)
		if err != nil {
			return err
		}
		if !there {
			return fmt.Errorf("generation %d is not being built: %w", gen, opensearch.ErrClosed)
		}
		if _, err := tx.Exec(ctx, `DELETE FROM auditlog_search.generations WHERE gen <> $1`, gen); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE auditlog_search.generations SET live = true WHERE gen = $1 AND NOT live`, gen)
		return err
	})
}
