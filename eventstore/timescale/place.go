package timescale

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"auditlog/eventstore"
)

// place is where an event of a tenant lies.
type place struct {
	position eventstore.Position
	offset   eventstore.Offset
	at       eventstore.Micros
}

// prefix is a condition that holds for the events of a tenant up to some position and for none above it.
type prefix struct{ marks, places string }

// upToOffset holds up to a limit of the offset, before below a limit of the time.
var (
	upToOffset = newPrefix(`"offset" <= `)
	before     = newPrefix(`recorded_at < `)
)

func newPrefix(holds string) prefix {
	return prefix{
		// The mark of the last chunk in which it holds for some event, and the next mark.
		marks: `
			SELECT m.first, m.recorded_at FROM auditlog.tenant_marks m
			WHERE m.tenant = $1 AND m.first >= (SELECT max(c.first) FROM auditlog.tenant_marks c WHERE c.tenant = $1 AND c.` + holds + `$2)
			ORDER BY m.first LIMIT 2`,
		// Halving within that chunk. There is a place for each position: an event, or what a purge left of one.
		places: `
			WITH RECURSIVE step (lo, hi) AS (
				SELECT $2::bigint, $3::bigint
				UNION ALL
				SELECT CASE WHEN at.holds THEN at.mid ELSE step.lo END, CASE WHEN at.holds THEN step.hi ELSE at.mid - 1 END
				FROM step CROSS JOIN LATERAL (
					SELECT m.mid, (SELECT x.` + holds + `$6 FROM (` + placeSQL(`m.mid`) + `) x) AS holds
					FROM (SELECT (step.lo + step.hi + 1) / 2 AS mid) m
				) at
				WHERE step.lo < step.hi
			)
			SELECT x.position, x."offset", x.recorded_at
			FROM step CROSS JOIN LATERAL (` + placeSQL(`step.lo`) + `) x
			WHERE step.lo = step.hi`,
	}
}

// placeSQL is the place at a position of tenant $1 of shard $7, whose time is in $4..$5.
func placeSQL(position string) string {
	return `
		SELECT e.position, e."offset", e.recorded_at FROM auditlog.events e
		WHERE e.shard = $7 AND e.tenant = $1 AND e.position = ` + position + ` AND e.recorded_at >= $4 AND e.recorded_at < $5
		UNION ALL
		SELECT r.position, r."offset", r.recorded_at FROM auditlog.removed r WHERE r.tenant = $1 AND r.position = ` + position
}

// last is the newest place up to a position for which the condition holds against the limit; zero when there is none.
func (b *base) last(ctx context.Context, q querier, c prefix, t tenant, upTo eventstore.Position, limit any) (place, error) {
	rows, err := q.Query(ctx, c.marks, t.no, limit)
	if err != nil {
		return place{}, err
	}
	marks, err := collectMarks(rows)
	if err != nil || len(marks) == 0 {
		return place{}, err
	}
	hi := int64(upTo)
	if len(marks) > 1 {
		hi = min(hi, marks[1].first-1)
	}
	var p place
	var at time.Time
	err = q.QueryRow(ctx, c.places, t.no, marks[0].first, hi, marks[0].at, b.binEnd(marks[0].at), limit, t.shard).Scan(&p.position, &p.offset, &at)
	if errors.Is(err, pgx.ErrNoRows) {
		return place{}, nil
	}
	p.at = eventstore.MicrosOf(at)
	return p, err
}

// PositionAt is the tenant's newest position whose offset is not above o.
func (s *Store) PositionAt(ctx context.Context, id eventstore.TenantID, o eventstore.Offset) (eventstore.Position, eventstore.Micros, error) {
	t, err := s.tenant(ctx, id)
	if err != nil {
		return 0, 0, err
	}
	head, err := s.head(ctx, s.pool, t)
	if err != nil || head.Offset <= o {
		return head.Position, head.RecordedAt, err
	}
	p, err := s.last(ctx, s.pool, upToOffset, t, head.Position, o)
	return p.position, p.at, s.failed("find a position", err)
}
