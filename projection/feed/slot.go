package feed

import (
	"context"
	"sync"
	"sync/atomic"

	"auditlog/eventstore"
	"auditlog/internal/entry"
	"auditlog/internal/fault"
	"auditlog/query"
)

// slot is one event and, once a reader met it, what readers see of it.
type slot struct {
	event   eventstore.Event
	size    int64                            // of the stored form
	erasure atomic.Pointer[eventstore.Event] // the erasure of its entry, once that passed
	purged  atomic.Bool

	plain   atomic.Int64 // bytes that item adds to the ring's count
	evicted atomic.Bool  // set before plain is taken off the count: what is opened later takes itself off

	mu   sync.Mutex // guards item; held while the event is opened, so that it is opened once
	item *query.StreamItem
}

const slotOverhead = 512 // bytes of a slot and its event beside the two parts

func newSlot(ev eventstore.Event) *slot {
	return &slot{event: ev, size: int64(len(ev.Public)+len(ev.Private)) + slotOverhead}
}

// drop forgets the opened item and tells the bytes that frees.
func (s *slot) drop() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.item = nil
	return s.plain.Swap(0)
}

// evict tells what the slot counts for in the ring, which it leaves.
func (s *slot) evict() int64 {
	s.evicted.Store(true)
	return s.size + s.plain.Swap(0)
}

// count adds what was opened to the ring's bytes, exactly as long as the slot is in the ring.
func (s *slot) count(r *ring, n int64) {
	s.plain.Store(n)
	r.bytes.Add(n)
	if s.evicted.Load() {
		r.bytes.Add(-s.plain.Swap(0))
	}
}

// open is what readers see of the slot; ok is false for an event whose content was purged. r, when not nil, is the ring
// that holds it.
func (f *Feed) open(ctx context.Context, s *slot, r *ring) (item query.StreamItem, ok bool, err error) {
	if s.purged.Load() {
		return item, false, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.item == nil {
		opened, err := f.read(ctx, s)
		if fault.Is(err, fault.Purged) {
			s.purged.Store(true)
			return item, false, nil
		}
		if err != nil {
			return item, false, err
		}
		if s.erasure.Load() != nil && opened.Entry.Erased == nil { // it passed meanwhile: this reader was in time, the next is not
			return opened, true, nil
		}
		s.item = &opened
		if r != nil {
			s.count(r, weight(&opened.Entry))
		}
	}
	return *s.item, true, nil
}

func (f *Feed) read(ctx context.Context, s *slot) (query.StreamItem, error) {
	ev := s.event
	switch ev.Type {
	case eventstore.EntryAmended, eventstore.EntryErased:
		e, err := f.fold(ctx, ev.Tenant, ev.EntryID)
		kind := query.ItemAmended
		if ev.Type == eventstore.EntryErased {
			kind = query.ItemErased
		}
		return query.StreamItem{Type: kind, Entry: e, Position: ev.Position}, err
	}
	item := query.StreamItem{Type: query.ItemEntry, Position: ev.Position}
	opened, err := f.opener.Open(ctx, ev)
	if err != nil {
		return item, err
	}
	var about []entry.Opened
	if e := s.erasure.Load(); e != nil {
		about = []entry.Opened{{Event: *e}}
	}
	item.Entry = entry.Fold(opened, about)
	return item, nil
}

// fold is an entry as it reads now.
func (f *Feed) fold(ctx context.Context, tenant eventstore.TenantID, id eventstore.EventID) (entry.Entry, error) {
	original, err := f.store.Get(ctx, tenant, id)
	if err != nil {
		return entry.Entry{}, err
	}
	about, err := f.store.About(ctx, tenant, []eventstore.EventID{id})
	if err != nil {
		return entry.Entry{}, err
	}
	opened := make([]entry.Opened, 1+len(about))
	for i, ev := range append([]eventstore.Event{original}, about...) {
		if opened[i], err = f.opener.Open(ctx, ev); err != nil {
			return entry.Entry{}, err
		}
	}
	return entry.Fold(opened[0], opened[1:]), nil
}

// weight is about how many bytes an entry takes.
func weight(e *entry.Entry) int64 {
	p := &e.Private
	n := 512 + len(p.Message) + len(p.Before) + len(p.After) + len(p.Metadata) + 16*(len(p.Related)+len(p.OnBehalfOf)+len(p.Subjects))
	for i := range e.Amendments {
		a := &e.Amendments[i]
		n += 128 + len(a.Message) + len(a.Metadata) + len(a.Reason)
	}
	return int64(n)
}
