package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"auditlog/eventstore"
)

// The newest place of a tenant at or below a position, among events and among removed ones.
const (
	eventBelowSQL   = `SELECT position, "offset", recorded_at FROM events  WHERE tenant = ? AND position <= ? ORDER BY position DESC LIMIT 1`
	removedBelowSQL = `SELECT position, "offset", recorded_at FROM removed WHERE tenant = ? AND position <= ? ORDER BY position DESC LIMIT 1`
)

type placed struct {
	place
	at eventstore.Micros
}

// places looks up single places, on the pool or on the writing connection.
type places struct {
	event, removed func(ctx context.Context, args ...any) *sql.Row
}

// below is the newest place at or below p; zero when there is none. A purge removes from the oldest on, so what was
// removed lies below every event that is left.
func (q places) below(ctx context.Context, tenant int64, p eventstore.Position) (m placed, err error) {
	err = q.event(ctx, tenant, int64(p)).Scan(&m.position, &m.offset, &m.at)
	if errors.Is(err, sql.ErrNoRows) {
		err = q.removed(ctx, tenant, int64(p)).Scan(&m.position, &m.offset, &m.at)
	}
	if errors.Is(err, sql.ErrNoRows) {
		return placed{}, nil
	}
	return m, err
}

// last is the newest place at or below p that holds, which must hold for a prefix of the log; zero when none does. It
// goes back from p in growing steps, since what is looked for is mostly near the head, and halves the last step.
func (q places) last(ctx context.Context, tenant int64, p eventstore.Position, holds func(placed) bool) (placed, error) {
	var best placed
	lo, hi := eventstore.Position(1), p // best is below lo, and what holds is not above hi
	for step := eventstore.Position(1); lo <= hi; {
		mid := lo + (hi-lo)/2
		if best.position == 0 {
			mid = max(mid, p-step)
			step *= 2
		}
		m, err := q.below(ctx, tenant, mid)
		if err != nil {
			return placed{}, err
		}
		if m.position > 0 && holds(m) {
			best, lo = m, mid+1
		} else {
			hi = mid - 1
		}
	}
	return best, nil
}

// PositionAt is the tenant's newest position whose offset is not above o.
func (s *Store) PositionAt(ctx context.Context, tenant eventstore.TenantID, o eventstore.Offset) (eventstore.Position, eventstore.Micros, error) {
	head, err := s.Head(ctx, tenant)
	if err != nil {
		return 0, 0, err
	}
	if head.Offset <= o {
		return head.Position, head.RecordedAt, nil
	}
	no, err := s.tenantNo(ctx, tenant)
	if err != nil {
		return 0, 0, err
	}
	p, err := s.places().last(ctx, no, head.Position, func(m placed) bool { return m.offset <= o })
	return p.position, p.at, translate("find a position", err)
}

func (s *Store) places() places {
	return places{s.read.eventBelow.QueryRowContext, s.read.removedBelow.QueryRowContext}
}

func (w *writer) places() places {
	ask := func(query string) func(context.Context, ...any) *sql.Row {
		return func(ctx context.Context, args ...any) *sql.Row { return w.conn.QueryRowContext(ctx, query, args...) }
	}
	return places{ask(eventBelowSQL), ask(removedBelowSQL)}
}
