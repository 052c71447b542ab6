package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"auditlog/eventstore"
)

// placeBelowSQL is the newest place of a tenant (?1) at or below a position (?2), among removed events too.
const placeBelowSQL = `
	SELECT position, "offset", recorded_at FROM (
		SELECT position, "offset", recorded_at FROM (
			SELECT position, "offset", recorded_at FROM events  WHERE tenant = ?1 AND position <= ?2 ORDER BY position DESC LIMIT 1)
		UNION ALL
		SELECT position, "offset", recorded_at FROM (
			SELECT position, "offset", recorded_at FROM removed WHERE tenant = ?1 AND position <= ?2 ORDER BY position DESC LIMIT 1)
	) ORDER BY position DESC LIMIT 1`

type placed struct {
	place
	at eventstore.Micros
}

// placeQuery asks placeBelowSQL of a connection or a pool.
type placeQuery func(ctx context.Context, tenant int64, p eventstore.Position) *sql.Row

// lastPlace is the newest place at or below p that holds; it must hold for a prefix of the log. Zero when none does.
// Positions are dense over events and removed together, so that a binary search needs no more than log2 n look-ups.
func lastPlace(ctx context.Context, q placeQuery, tenant int64, p eventstore.Position, holds func(placed) bool) (placed, error) {
	var best placed
	for lo, hi := eventstore.Position(1), p; lo <= hi; {
		mid := lo + (hi-lo)/2
		var m placed
		err := q(ctx, tenant, mid).Scan(&m.position, &m.offset, &m.at)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return placed{}, err
		}
		if err == nil && holds(m) {
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
	p, err := lastPlace(ctx, s.placeBelow, no, head.Position, func(m placed) bool { return m.offset <= o })
	return p.position, p.at, translate("find a position", err)
}

func (s *Store) placeBelow(ctx context.Context, tenant int64, p eventstore.Position) *sql.Row {
	return s.read.placeBelow.QueryRowContext(ctx, tenant, int64(p))
}
