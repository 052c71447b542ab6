package pgstate

import (
	"context"

	"github.com/jackc/pgx/v5"

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
func (s *State) Indices(ctx context.Context, gen int) ([]string, error) {
	return collect(ctx, s, "list indices", pgx.RowTo[string],
		`SELECT name FROM auditlog_search.indices WHERE gen = $1 AND status <> $2 ORDER BY name`, gen, statusDropped)
}

// AddIndex implements opensearch.State. The row of one that is there is written as it is, so that it tells what another
// process just made of it.
func (s *State) AddIndex(ctx context.Context, gen int, name string) error {
	status, err := collect(ctx, s, "note index", pgx.RowTo[int], `
		WITH kept AS (
			SELECT gen FROM auditlog_search.generations WHERE gen = $1 FOR SHARE
		)
		INSERT INTO auditlog_search.indices AS i (gen, name) SELECT gen, $2 FROM kept
		ON CONFLICT (gen, name) DO UPDATE SET status = i.status RETURNING status`, gen, name)
	if err == nil && len(status) == 1 && status[0] == statusDropped {
		return opensearch.ErrClosed
	}
	return err
}

// Retire implements opensearch.State.
func (s *State) Retire(ctx context.Context, gen int, index string) (int64, error) {
	token, err := collect(ctx, s, "retire index", pgx.RowTo[int64], `
		UPDATE auditlog_search.indices SET token = token + 1, status = $3 WHERE gen = $1 AND name = $2 AND status <> $4 RETURNING token`,
		gen, index, statusRetiring, statusDropped)
	if err != nil || len(token) == 0 {
		return 0, err
	}
	return token[0], nil
}

// Unretire implements opensearch.State.
func (s *State) Unretire(ctx context.Context, gen int, index string, token int64) error {
	_, err := s.exec(ctx, "keep index", `
		UPDATE auditlog_search.indices SET status = $4 WHERE gen = $1 AND name = $2 AND token = $3 AND status = $5`,
		gen, index, token, statusKept, statusRetiring)
	return err
}

// DropIndex implements opensearch.State.
func (s *State) DropIndex(ctx context.Context, gen int, index string, token int64) (dropped bool, err error) {
	n, err := s.exec(ctx, "drop index", `
		WITH dropped AS (
			UPDATE auditlog_search.indices SET status = $4 WHERE gen = $1 AND name = $2 AND token = $3 AND status = $5 RETURNING gen, name
		), scrubs AS (
			DELETE FROM auditlog_search.scrubs s USING dropped d WHERE s.gen = d.gen AND s.name = d.name
		)
		SELECT FROM dropped`, gen, index, token, statusDropped, statusRetiring)
	return n == 1, err
}

// Removals implements opensearch.State: one statement sees one moment.
func (s *State) Removals(ctx context.Context, gen int, tenants []eventstore.TenantID) (opensearch.Removals, error) {
	type row struct {
		Tenant eventstore.TenantID
		Last   eventstore.Position
		Index  string
		Status int
	}
	out := opensearch.Removals{Purged: map[eventstore.TenantID]eventstore.Position{}, Retiring: map[string]bool{}, Dropped: map[string]bool{}}
	rows, err := collect(ctx, s, "load search removals", pgx.RowToStructByPos[row], `
		SELECT tenant, purged, '', 0 FROM auditlog_search.tenants WHERE gen = $1 AND tenant = ANY ($2) AND purged > 0
		UNION ALL
		SELECT '00000000-0000-0000-0000-000000000000', 0, name, status FROM auditlog_search.indices WHERE gen = $1 AND status <> $3`,
		gen, tenants, statusKept)
	for _, r := range rows {
		switch r.Status {
		case statusRetiring:
			out.Retiring[r.Index] = true
		case statusDropped:
			out.Dropped[r.Index] = true
		default:
			out.Purged[r.Tenant] = r.Last
		}
	}
	return out, err
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

// Scrubs implements opensearch.State. Another process may have asked while the index was dropped.
func (s *State) Scrubs(ctx context.Context, gen int) (map[string]int64, error) {
	type asked struct {
		Index string
		Token int64
	}
	rows, err := collect(ctx, s, "list scrubs", pgx.RowToStructByPos[asked], `
		SELECT s.name, s.token FROM auditlog_search.scrubs s LEFT JOIN auditlog_search.indices i USING (gen, name)
		WHERE gen = $1 AND i.status IS DISTINCT FROM $2`, gen, statusDropped)
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
