package timescale

import (
	"context"
	"errors"
	"slices"

	"github.com/jackc/pgx/v5"

	"auditlog/eventstore"
)

// ReadPositions are events by position. Their bytes are not bounded by a page: the caller chose their number.
func (s *Store) ReadPositions(ctx context.Context, id eventstore.TenantID, at []eventstore.Position) ([]eventstore.Event, error) {
	t, err := s.tenant(ctx, id)
	if err != nil || len(at) == 0 {
		return nil, err
	}
	asc := make([]int64, 0, len(at))
	for _, p := range at {
		if p > 0 {
			asc = append(asc, int64(p))
		}
	}
	slices.Sort(asc)
	asc = slices.Compact(asc)
	var p page
	for len(asc) > 0 && err == nil {
		asc, err = s.positionsFrom(ctx, t, asc, &p)
	}
	if err != nil {
		return nil, s.failed("read events by position", err)
	}
	found := make(map[eventstore.Position]int, len(p.events))
	for i := range p.events {
		p.events[i].Tenant = id
		found[p.events[i].Position] = i
	}
	out := make([]eventstore.Event, 0, len(at))
	for _, pos := range at {
		if i, ok := found[pos]; ok {
			out = append(out, p.events[i])
		}
	}
	return out, nil
}

// positionsFrom reads ascending positions as far as one page of marks tells their chunks: a statement for each chunk, all
// in one round trip. It gives the positions that are left.
func (s *Store) positionsFrom(ctx context.Context, t tenant, asc []int64, p *page) ([]int64, error) {
	marks, err := s.marks(ctx, tenantMarksSQL, t.no, asc[0])
	if err != nil || len(marks) == 0 {
		return nil, err
	}
	var b pgx.Batch
	for i := range marks {
		n := len(asc)
		if i+1 < len(marks) {
			n, _ = slices.BinarySearch(asc, marks[i+1].first)
		} else if len(marks) == maxMarks && i > 0 {
			break // what the last mark covers is not known yet
		}
		if n > 0 {
			b.Queue(readPositionsSQL, t.no, asc[:n], marks[i].at, s.binEnd(marks[i].at), t.shard, asc[0], asc[n-1])
			asc = asc[n:]
		}
	}
	sent := s.pool.SendBatch(ctx, &b)
	for range b.Len() {
		rows, err := sent.Query()
		if err := p.add(rows, err, 0); err != nil {
			return nil, errors.Join(err, sent.Close())
		}
	}
	return asc, sent.Close()
}
