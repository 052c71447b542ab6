package query_test

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"testing"

	"auditlog/eventstore"
	"auditlog/internal/entry"
	"auditlog/query"
)

// memIndex is a strict index in memory that lags as far as the test wants: catchUp applies what the store holds.
type memIndex struct {
	w       *world
	log     func(after eventstore.Offset) []eventstore.Event
	mu      sync.Mutex // guards all below
	applied eventstore.Offset
	opened  map[eventstore.EventID][]entry.Opened // by entry: the original first
	changed chan struct{}
	before  func(ctx context.Context, q query.IndexQuery) error
}

func newMemIndex(w *world) *memIndex {
	return &memIndex{w: w, log: w.store.after, opened: map[eventstore.EventID][]entry.Opened{}, changed: make(chan struct{})}
}

// catchUp applies all events of the store.
func (x *memIndex) catchUp() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, ev := range x.log(x.applied) {
		opened, err := x.w.opener.Open(context.Background(), ev)
		if err != nil {
			x.w.tb.Error(err)
		}
		id := ev.ID
		if !ev.EntryID.IsZero() {
			id = ev.EntryID
		}
		x.opened[id] = append(x.opened[id], opened)
		x.applied = ev.Offset
	}
	close(x.changed)
	x.changed = make(chan struct{})
}

// matches are the documents that q finds, in order.
func (x *memIndex) matches(q query.IndexQuery) []query.Key {
	var keys []query.Key
	for _, opened := range x.opened {
		e := entry.Fold(opened[0], opened[1:])
		k := query.Key{Position: e.Position}
		if q.Sort.Occurred {
			k.Occurred = e.OccurredAt
		}
		if e.Tenant == q.Tenant && e.Position > q.Floor && e.Position <= q.Bound && q.Criteria.Match(&e) &&
			(q.After == nil || compareKeys(q.Sort, k, *q.After) > 0) {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, func(a, b query.Key) int { return compareKeys(q.Sort, a, b) })
	return keys
}

func compareKeys(s query.Sort, a, b query.Key) int {
	c := cmp.Compare(a.Position, b.Position)
	if s.Occurred {
		c = cmp.Or(cmp.Compare(a.Occurred, b.Occurred), c)
	}
	if !s.Ascending {
		c = -c
	}
	return c
}

func (x *memIndex) check(q query.IndexQuery) {
	if q.Tenant.IsZero() || q.Bound <= q.Floor {
		x.w.tb.Errorf("the index was asked for tenant %s from %d to %d", q.Tenant, q.Floor, q.Bound)
	}
}

func (x *memIndex) Find(ctx context.Context, q query.IndexQuery) ([]query.Key, error) {
	if x.before != nil {
		if err := x.before(ctx, q); err != nil {
			return nil, err
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.check(q)
	if q.Limit < 1 || q.Limit > 1000 {
		x.w.tb.Errorf("the index was asked for %d keys", q.Limit)
	}
	keys := x.matches(q)
	return keys[:min(q.Limit, len(keys))], ctx.Err()
}

func (x *memIndex) Count(ctx context.Context, q query.IndexQuery, most int) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.check(q)
	if q.After != nil {
		x.w.tb.Error("a total must not depend on the page")
	}
	return min(most, len(x.matches(q))), ctx.Err()
}

func (x *memIndex) Visible(context.Context, eventstore.Shard) (eventstore.Offset, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.applied, nil
}

func (x *memIndex) Changed() <-chan struct{} {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.changed
}

// memRollups remembers what it was asked.
type memRollups struct {
	tb      testing.TB
	asked   []query.StatsQuery
	answer  query.Stats
	visible eventstore.Offset
	before  func()
}

func (r *memRollups) Stats(ctx context.Context, q query.StatsQuery) (query.Stats, error) {
	if q.Tenant.IsZero() || q.From >= q.To || q.Interval == "" {
		r.tb.Errorf("rollups were asked %+v", q)
	}
	if r.before != nil {
		r.before()
	}
	r.asked = append(r.asked, q)
	return r.answer, ctx.Err()
}

func (r *memRollups) Visible(context.Context, eventstore.Shard) (eventstore.Offset, error) {
	return r.visible, nil
}

// memFeed gives the items that the test puts in.
type memFeed struct {
	tb    testing.TB
	items chan query.StreamItem
	lag   *query.LaggedError
	after eventstore.Position
	open  int
}

func (f *memFeed) Subscribe(_ context.Context, tenant eventstore.TenantID, after eventstore.Position) (query.Subscription, error) {
	if tenant.IsZero() {
		f.tb.Error("a subscription for no tenant")
	}
	f.after = after
	f.open++
	return &memSubscription{f}, nil
}

type memSubscription struct{ f *memFeed }

func (s *memSubscription) Next(ctx context.Context) (query.StreamItem, error) {
	select {
	case item, more := <-s.f.items:
		if !more {
			return query.StreamItem{}, s.f.lag
		}
		return item, nil
	case <-ctx.Done():
		return query.StreamItem{}, ctx.Err()
	}
}

func (s *memSubscription) Close() { s.f.open-- }
