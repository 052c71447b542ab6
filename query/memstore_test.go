package query_test

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"testing"

	"auditlog/eventstore"
	"auditlog/internal/fault"
)

// memStore is a strict event store of one shard in memory: it hides purged events, ends pages early, and fails the test
// on a call that no reader should make.
type memStore struct {
	tb     testing.TB
	mu     sync.Mutex // guards all below
	log    []eventstore.Event
	purges []eventstore.Purge
	page   int // events that a page ends after, as PageBytes would; 0: no bound
	before func(call string)
	calls  int
}

// enter begins a call: it runs the test's hook, which may change the log, before the call sees it.
func (s *memStore) enter(call string, tenant eventstore.TenantID) {
	if tenant.IsZero() {
		s.tb.Errorf("%s was called for no tenant", call)
	}
	if s.before != nil {
		s.before(call)
	}
	s.mu.Lock()
	s.calls++
}

// add appends an event and gives it its places.
func (s *memStore) add(ev eventstore.Event) eventstore.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	ev.Offset = eventstore.Offset(len(s.log) + 1)
	ev.Position = s.head(ev.Tenant).Position + 1
	ev.RecordedAt = startOfLog + eventstore.Micros(len(s.log))*1000
	s.log = append(s.log, ev)
	return ev
}

// after is the shard's log above an offset.
func (s *memStore) after(o eventstore.Offset) []eventstore.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.log[o:])
}

// purge hides everything up to last of the tenant, and keeps the rows.
func (s *memStore) purge(tenant eventstore.TenantID, certificate eventstore.Event, last eventstore.Position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.purges = append(s.purges, eventstore.Purge{
		ID: certificate.ID, Tenant: tenant, Position: certificate.Position, First: s.watermark(tenant) + 1, Last: last,
	})
}

func (s *memStore) watermark(tenant eventstore.TenantID) (mark eventstore.Position) {
	for _, p := range s.purges {
		if p.Tenant == tenant {
			mark = max(mark, p.Last)
		}
	}
	return mark
}

func (s *memStore) head(tenant eventstore.TenantID) (h eventstore.Head) {
	for i := range s.log {
		if ev := &s.log[i]; ev.Tenant == tenant {
			h.Position, h.Offset, h.RecordedAt = ev.Position, ev.Offset, ev.RecordedAt
		}
	}
	h.Purged = s.watermark(tenant)
	for i := range s.log {
		if ev := &s.log[i]; ev.Tenant == tenant && (ev.Type == eventstore.EntryErased || ev.Type == eventstore.LifecyclePurged) {
			h.Hidden = ev.Position
		}
	}
	return h
}

func (s *memStore) Head(ctx context.Context, tenant eventstore.TenantID) (eventstore.Head, error) {
	s.enter("Head", tenant)
	defer s.mu.Unlock()
	return s.head(tenant), ctx.Err()
}

func (s *memStore) PositionAt(_ context.Context, tenant eventstore.TenantID, o eventstore.Offset) (p eventstore.Position, at eventstore.Micros, err error) {
	s.enter("PositionAt", tenant)
	defer s.mu.Unlock()
	for i := range s.log {
		if ev := &s.log[i]; ev.Tenant == tenant && ev.Offset <= o {
			p, at = ev.Position, ev.RecordedAt
		}
	}
	return p, at, nil
}

func (s *memStore) Get(_ context.Context, tenant eventstore.TenantID, id eventstore.EventID) (eventstore.Event, error) {
	s.enter("Get", tenant)
	defer s.mu.Unlock()
	for _, ev := range s.log {
		if ev.Tenant != tenant || ev.ID != id {
			continue
		}
		if ev.Position <= s.watermark(tenant) {
			return eventstore.Event{}, fault.New(fault.Purged, "removed by retention")
		}
		return ev, nil
	}
	return eventstore.Event{}, fault.New(fault.NotFound, "there is no such event")
}

// readable are the tenant's events that are not purged and that want chooses.
func (s *memStore) readable(tenant eventstore.TenantID, want func(*eventstore.Event) bool) (out []eventstore.Event) {
	mark := s.watermark(tenant)
	for i := range s.log {
		if ev := &s.log[i]; ev.Tenant == tenant && ev.Position > mark && want(ev) {
			out = append(out, *ev)
		}
	}
	return out
}

func (s *memStore) cut(events []eventstore.Event, limit int) []eventstore.Event {
	if s.page > 0 {
		limit = min(limit, s.page)
	}
	return events[:min(limit, len(events))]
}

func (s *memStore) ReadTenant(_ context.Context, tenant eventstore.TenantID, after eventstore.Position, limit int) ([]eventstore.Event, error) {
	s.enter("ReadTenant", tenant)
	defer s.mu.Unlock()
	if limit < 1 || limit > 1000 {
		s.tb.Errorf("ReadTenant was asked for %d events", limit)
	}
	return s.cut(s.readable(tenant, func(ev *eventstore.Event) bool { return ev.Position > after }), limit), nil
}

func (s *memStore) ReadPositions(ctx context.Context, tenant eventstore.TenantID, at []eventstore.Position) ([]eventstore.Event, error) {
	s.enter("ReadPositions", tenant)
	defer s.mu.Unlock()
	if len(at) == 0 || len(at) > 1000 {
		s.tb.Errorf("ReadPositions was asked for %d events", len(at))
	}
	found := s.readable(tenant, func(ev *eventstore.Event) bool { return slices.Contains(at, ev.Position) })
	slices.SortFunc(found, func(a, b eventstore.Event) int {
		return cmp.Compare(slices.Index(at, a.Position), slices.Index(at, b.Position))
	})
	return s.cut(found, len(at)), ctx.Err()
}

func (s *memStore) About(_ context.Context, tenant eventstore.TenantID, entries []eventstore.EventID) ([]eventstore.Event, error) {
	s.enter("About", tenant)
	defer s.mu.Unlock()
	return s.readable(tenant, func(ev *eventstore.Event) bool {
		return !ev.EntryID.IsZero() && slices.Contains(entries, ev.EntryID)
	}), nil
}

func (s *memStore) Purges(_ context.Context, tenant eventstore.TenantID) (out []eventstore.Purge, err error) {
	s.enter("Purges", tenant)
	defer s.mu.Unlock()
	for _, p := range s.purges {
		if p.Tenant == tenant {
			out = append(out, p)
		}
	}
	return out, nil
}
