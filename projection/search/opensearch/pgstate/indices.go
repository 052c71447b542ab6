package pgstate

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// Indices implements opensearch.State.
func (s *State) Indices(ctx context.Context, gen int) ([]string, error) {
	return collect(ctx, s, "list indices", pgx.RowTo[string], `SELECT name FROM auditlog_search.indices WHERE gen = $1 ORDER BY name`, gen)
}

// AddIndex implements opensearch.State.
func (s *State) AddIndex(ctx context.Context, gen int, name string) error {
	_, err := s.exec(ctx, "note index", `
		WITH kept AS (
			SELECT gen FROM auditlog_search.generations WHERE gen = $1 FOR SHARE
		)
		INSERT INTO auditlog_search.indices (gen, name) SELECT gen, $2 FROM kept ON CONFLICT (gen, name) DO NOTHING`, gen, name)
	return err
}

// Scrub implements opensearch.State.
func (s *State) Scrub(ctx context.Context, gen int, index string) error {
	_, err := s.exec(ctx, "ask for a scrub", `
		WITH kept AS (
			SELECT gen FROM auditlog_search.generations WHERE gen = $1 FOR SHARE
		)
		INSERT INTO auditlog_search.scrubs (gen, name, token) SELECT gen, $2, nextval('auditlog_search.scrub_tokens') FROM kept
		ON CONFLICT (gen, name) DO UPDATE SET token = nextval('auditlog_search.scrub_tokens')`, gen, index)
	return err
}

// Scrubs implements opensearch.State.
func (s *State) Scrubs(ctx context.Context, gen int) (map[string]int64, error) {
	type asked struct {
		Index string
		Token int64
	}
	rows, err := collect(ctx, s, "list scrubs", pgx.RowToStructByPos[asked], `SELECT name, token FROM auditlog_search.scrubs WHERE gen = $1`, gen)
	out := map[string]int64{}
	for _, a := range rows {
		out[a.Index] = a.Token
	}
	return out, err
}

// Scrubbed implements opensearch.State.
func (s *State) Scrubbed(ctx context.Context, gen int, index string, token int64) error {
	_, err := s.exec(ctx, "tick off a scrub", `DELETE FROM auditlog_search.scrubs WHERE gen = $1 AND name = $2 AND token = $3`, gen, index, token)
	return err
}
