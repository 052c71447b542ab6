package search

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"auditlog/eventstore"
	"auditlog/internal/criteria"
	"auditlog/query"
)

// Find gives the keys of at most q.Limit matching entries in order; fewer mean that there are no more.
func (x *Index) Find(ctx context.Context, q query.IndexQuery) (keys []query.Key, err error) {
	err = x.read(ctx, q, func(s *search) error {
		if q.Sort.Occurred {
			keys, err = s.byOccurred()
		} else {
			keys, err = s.byPosition()
		}
		return err
	})
	return keys, err
}

// Count counts matches of q up to limit; exact when the answer is at most limit. After is not regarded.
func (x *Index) Count(ctx context.Context, q query.IndexQuery, limit int) (n int, err error) {
	q.After, q.Sort = nil, query.Sort{}
	err = x.read(ctx, q, func(s *search) error {
		n, err = s.count(limit)
		return err
	})
	return n, err
}

// read runs f in one read transaction over what q bounds; f is not called when nothing can match.
func (x *Index) read(ctx context.Context, q query.IndexQuery, f func(*search) error) error {
	return x.use(ctx, func(live *file) (err error) {
		tx, err := live.Read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
		if err != nil {
			return fmt.Errorf("search: %w", err)
		}
		defer func() { err = errors.Join(err, tx.Rollback()) }()
		s := &search{ctx: ctx, tx: tx, q: q}
		if s.tenant, err = live.tenant(ctx, tx, q.Tenant); err != nil || s.tenant == 0 {
			return err
		}
		possible, err := s.bound()
		if err == nil && possible {
			err = f(s)
		}
		if err != nil {
			return fmt.Errorf("search: %w", err)
		}
		return nil
	})
}

// search is one question within one read transaction.
type search struct {
	ctx    context.Context
	tx     *sql.Tx
	q      query.IndexQuery
	tenant int64
	kinds  []int64

	above, below eventstore.Position // exclusive bounds
	lowID, topID int64               // the same as document ids, inclusive
	time         *span               // of occurred_at; nil: any
}

// maxPosition is above every position.
const maxPosition = eventstore.Position(1)<<62 - 1

// bound turns all that limits positions and times into bounds, cut to what the tenant has.
func (s *search) bound() (possible bool, err error) {
	switch s.q.Criteria.Kind {
	case "", criteria.Entries:
		s.kinds = []int64{kindEntries}
	case criteria.Access:
		s.kinds = []int64{kindAccess}
	default:
		s.kinds = []int64{kindEntries, kindAccess}
	}
	s.above, s.below = s.q.Floor, maxPosition
	if s.q.Bound > 0 {
		s.below = s.q.Bound + 1
	}
	if after := s.q.After; after != nil && !s.q.Sort.Occurred {
		if s.q.Sort.Ascending {
			s.above = max(s.above, after.Position)
		} else {
			s.below = min(s.below, after.Position)
		}
	}
	c := &s.q.Criteria
	if c.RecordedTime {
		err = s.boundRecorded(c.From, c.To)
	} else {
		possible, err = s.boundOccurred(c.From, c.To)
		if err == nil && !possible {
			return false, nil
		}
	}
	if err != nil || s.above+1 >= s.below {
		return false, err
	}
	if s.lowID, err = s.edge(`SELECT id FROM docs WHERE tenant = ? AND kind = ? AND position > ? ORDER BY position LIMIT 1`, s.above, false); err != nil {
		return false, err
	}
	s.topID, err = s.edge(`SELECT id FROM docs WHERE tenant = ? AND kind = ? AND position < ? ORDER BY position DESC LIMIT 1`, s.below, true)
	return s.lowID >= 0 && s.lowID <= s.topID, err
}

// edge is the lowest or highest document id that the statement gives for the kinds; -1 for none.
func (s *search) edge(statement string, at eventstore.Position, highest bool) (int64, error) {
	edge := int64(-1)
	for _, kind := range s.kinds {
		var id int64
		err := s.tx.QueryRowContext(s.ctx, statement, s.tenant, kind, at).Scan(&id)
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err != nil {
			return 0, err
		}
		if edge < 0 || (id > edge) == highest {
			edge = id
		}
	}
	return edge, nil
}

// boundRecorded turns a range of recorded_at into positions, along which it never decreases.
func (s *search) boundRecorded(from, to *eventstore.Micros) error {
	if from != nil {
		first, err := s.firstRecorded(*from)
		if err != nil {
			return err
		}
		s.above = max(s.above, first-1)
	}
	if to != nil {
		first, err := s.firstRecorded(*to)
		if err != nil {
			return err
		}
		s.below = min(s.below, first)
	}
	return nil
}

// firstRecorded is a position from which on everything was recorded at or after a time, and below which nothing was: by
// bisection, since an index of its own would cost every write.
func (s *search) firstRecorded(at eventstore.Micros) (eventstore.Position, error) {
	low, high := s.above, s.below // everything at or below low is earlier; everything from high on is not
	if high == maxPosition {
		newest, err := s.newest()
		if err != nil {
			return 0, err
		}
		high = newest + 1
	}
	for low+1 < high {
		mid := low + (high-low)/2
		position, recorded, err := s.firstFrom(mid, high)
		switch {
		case err != nil:
			return 0, err
		case position == 0: // no document from mid up to high
			high = mid
		case recorded < at:
			low = position
		default:
			high = mid
		}
	}
	return high, nil
}

// newest is the highest position of a document of the kinds; 0 for none.
func (s *search) newest() (newest eventstore.Position, err error) {
	for _, kind := range s.kinds {
		var p eventstore.Position
		err := s.tx.QueryRowContext(s.ctx, `SELECT ifnull(max(position), 0) FROM docs WHERE tenant = ? AND kind = ?`, s.tenant, kind).Scan(&p)
		if err != nil {
			return 0, err
		}
		newest = max(newest, p)
	}
	return newest, nil
}

// firstFrom is the first document of the kinds at or above a position and below another; 0 for none.
func (s *search) firstFrom(from, below eventstore.Position) (first eventstore.Position, at eventstore.Micros, err error) {
	for _, kind := range s.kinds {
		var p eventstore.Position
		var recorded eventstore.Micros
		err := s.tx.QueryRowContext(s.ctx, `SELECT position, recorded_at FROM docs WHERE tenant = ? AND kind = ? AND position >= ? AND position < ?
			ORDER BY position LIMIT 1`, s.tenant, kind, from, below).Scan(&p, &recorded)
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err != nil {
			return 0, 0, err
		}
		if first == 0 || p < first {
			first, at = p, recorded
		}
	}
	return first, at, nil
}

// boundOccurred cuts a range of occurred_at to what the tenant has; a range that holds all of it restricts nothing.
func (s *search) boundOccurred(from, to *eventstore.Micros) (possible bool, err error) {
	if from == nil && to == nil {
		return true, nil
	}
	all, err := s.occurredSpan()
	if err != nil || all == nil {
		return false, err
	}
	cut := *all
	if from != nil {
		cut.from = max(cut.from, *from)
	}
	if to != nil {
		cut.to = min(cut.to, *to)
	}
	if cut != *all {
		s.time = &cut
	}
	return cut.from < cut.to, nil
}

// occurredSpan is the narrowest span of all documents of the kinds; nil for none.
func (s *search) occurredSpan() (all *span, err error) {
	for _, kind := range s.kinds {
		var first, last sql.NullInt64
		err := s.tx.QueryRowContext(s.ctx, `SELECT (SELECT min(occurred_at) FROM docs WHERE tenant = ?1 AND kind = ?2),
			(SELECT max(occurred_at) FROM docs WHERE tenant = ?1 AND kind = ?2)`, s.tenant, kind).Scan(&first, &last)
		if err != nil {
			return nil, err
		}
		if !first.Valid {
			continue
		}
		one := span{eventstore.Micros(first.Int64), eventstore.Micros(last.Int64) + 1}
		if all != nil {
			one = span{min(one.from, all.from), max(one.to, all.to)}
		}
		all = &one
	}
	return all, nil
}
