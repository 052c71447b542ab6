package pgstate

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"auditlog/eventstore"
	"auditlog/projection"
	"auditlog/projection/search/opensearch"
)

// Ranges implements opensearch.State.
func (s *State) Ranges(ctx context.Context, gen int, shard eventstore.Shard) (projection.Ranges, error) {
	return collect(ctx, s, "load search progress", pgx.RowToStructByPos[projection.Range], `
		SELECT lower(r) - 1, upper(r) - 1
		FROM auditlog_search.ranges, unnest(applied) r WHERE gen = $1 AND shard = $2 ORDER BY lower(r)`, gen, int32(shard))
}

// Cursors implements opensearch.State.
func (s *State) Cursors(ctx context.Context, gen int) (map[eventstore.Shard]eventstore.Offset, error) {
	return s.byShard(ctx, "load search progress", `
		SELECT shard, upper(r) - 1 FROM auditlog_search.ranges, unnest(applied) r WHERE gen = $1 AND lower(r) = 1`, gen)
}

// Add implements opensearch.State.
func (s *State) Add(ctx context.Context, gen int, shard eventstore.Shard, r projection.Range) error {
	if r.To <= r.From {
		return nil
	}
	n, err := s.exec(ctx, "record search progress", `
		WITH open AS (
			SELECT gen FROM auditlog_search.generations WHERE gen = $1 AND shut_until = 0 FOR SHARE
		)
		INSERT INTO auditlog_search.ranges AS r (gen, shard, applied)
		SELECT gen, $2, int8multirange(int8range($3, $4, '(]')) FROM open
		ON CONFLICT (gen, shard) DO UPDATE SET applied = r.applied + excluded.applied`, gen, int32(shard), int64(r.From), int64(r.To))
	if err == nil && n == 0 {
		return opensearch.ErrClosed
	}
	return err
}

// Visible implements opensearch.State.
func (s *State) Visible(ctx context.Context, gen int) (map[eventstore.Shard]eventstore.Offset, error) {
	return s.byShard(ctx, "load search marks", `SELECT shard, "offset" FROM auditlog_search.visible WHERE gen = $1`, gen)
}

func (s *State) byShard(ctx context.Context, what, query string, gen int) (map[eventstore.Shard]eventstore.Offset, error) {
	type mark struct {
		Shard eventstore.Shard
		At    eventstore.Offset
	}
	marks, err := collect(ctx, s, what, pgx.RowToStructByPos[mark], query, gen)
	out := map[eventstore.Shard]eventstore.Offset{}
	for _, m := range marks {
		out[m.Shard] = m.At
	}
	return out, err
}

// SetVisible implements opensearch.State. Marks are raised in the order of shards, so that two processes wait for each
// other at most once.
func (s *State) SetVisible(ctx context.Context, gen int, marks map[eventstore.Shard]eventstore.Offset) error {
	var shards []int32
	for shard := range marks {
		shards = append(shards, int32(shard))
	}
	slices.Sort(shards)
	offsets := make([]int64, len(shards))
	for i, shard := range shards {
		offsets[i] = int64(marks[eventstore.Shard(shard)])
	}
	_, err := s.exec(ctx, "save search marks", `
		WITH kept AS (
			SELECT gen FROM auditlog_search.generations WHERE gen = $1 FOR SHARE
		)
		INSERT INTO auditlog_search.visible AS v (gen, shard, "offset")
		SELECT gen, shard, "offset" FROM kept, unnest($2::int[], $3::bigint[]) m (shard, "offset") ORDER BY shard
		ON CONFLICT (gen, shard) DO UPDATE SET "offset" = excluded."offset" WHERE v."offset" < excluded."offset"`, gen, shards, offsets)
	return err
}

// Purge implements opensearch.State.
func (s *State) Purge(ctx context.Context, gen int, tenant eventstore.TenantID, last eventstore.Position) error {
	_, err := s.exec(ctx, "raise search watermark", `
		WITH kept AS (
			SELECT gen FROM auditlog_search.generations WHERE gen = $1 FOR SHARE
		)
		INSERT INTO auditlog_search.tenants AS t (gen, tenant, purged) SELECT gen, $2, $3 FROM kept
		ON CONFLICT (gen, tenant) DO UPDATE SET purged = excluded.purged WHERE t.purged < excluded.purged`, gen, tenant, int64(last))
	return err
}

// Place implements opensearch.State. The row is written, with what it holds, even when the place is kept: so it tells the
// place that another process gave at the same time.
func (s *State) Place(ctx context.Context, gen int, tenant eventstore.TenantID, group string) (string, error) {
	kept, err := collect(ctx, s, "place tenant in search", pgx.RowTo[string], `
		WITH kept AS (
			SELECT gen FROM auditlog_search.generations WHERE gen = $1 FOR SHARE
		)
		INSERT INTO auditlog_search.tenants AS t (gen, tenant, "group") SELECT gen, $2, $3 FROM kept
		ON CONFLICT (gen, tenant) DO UPDATE SET "group" = CASE t."group" WHEN '' THEN excluded."group" ELSE t."group" END
		RETURNING "group"`, gen, tenant, group)
	switch {
	case err != nil:
		return "", err
	case len(kept) == 0:
		return "", opensearch.ErrClosed
	}
	return kept[0], nil
}
