package feed

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"

	"auditlog/eventstore"
)

// ring holds the newest events of a shard: all with floor < offset ≤ last that are not removed.
type ring struct {
	maxEvents int
	maxBytes  int64
	bytes     atomic.Int64

	mu     sync.Mutex // guards the fields below; no slot's lock is taken under it
	slots  []*slot    // ascending by offset
	last   eventstore.Offset
	topics map[eventstore.TenantID]*topic
	joined chan struct{} // closed by the first reader; nil while there are some
	rested bool          // the shard was not followed: what came after last is not known
}

// topic is a tenant that has readers. Its ring guards it.
type topic struct {
	readers int
	slots   []*slot           // those of the ring that are the tenant's
	evicted eventstore.Offset // all of the tenant's events above it, up to the ring's last, are in slots
	wake    chan struct{}     // closed and replaced when slots grows or loses what readers may hold

	// dropped grows when an erasure or purge passed: what readers hold unread is then void.
	dropped atomic.Uint64
}

type purge struct {
	tenant eventstore.TenantID
	last   eventstore.Position
}

func newRing(maxEvents int, maxBytes int64) *ring {
	return &ring{maxEvents: maxEvents, maxBytes: maxBytes, topics: map[eventstore.TenantID]*topic{}}
}

func (r *ring) newest() eventstore.Offset {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}

// rest empties the ring when nobody reads, since erasures pass it by from then on, and gives what the first reader closes;
// nil while there are readers.
func (r *ring) rest() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.topics) > 0 {
		return nil
	}
	r.clear()
	r.rested = true
	if r.joined == nil {
		r.joined = make(chan struct{})
	}
	return r.joined
}

func (r *ring) clear() {
	for _, s := range r.slots {
		r.bytes.Add(-s.evict())
	}
	r.slots = nil
}

// jump empties the ring and goes to head when nobody reads or did, or when head is further than the ring is long.
func (r *ring) jump(head eventstore.Offset) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.topics) > 0 && !r.rested && int64(head-r.last) <= int64(r.maxEvents) {
		return false
	}
	r.clear()
	r.last, r.rested = head, false
	for _, t := range r.topics {
		t.slots, t.evicted = nil, head
		t.dropped.Add(1) // an erasure may have been jumped over
		t.rouse()
	}
	return true
}

func (t *topic) rouse() {
	close(t.wake)
	t.wake = make(chan struct{})
}

// add takes the page that follows last; with an empty one all up to head is removed.
func (r *ring) add(events []eventstore.Event, purged []purge, head eventstore.Offset) {
	dropped := r.addLocked(events, purged, head)
	for _, s := range dropped {
		r.bytes.Add(-s.drop())
	}
}

// addLocked gives the slots whose plaintext must go, for which the slots' own locks are needed.
func (r *ring) addLocked(events []eventstore.Event, purged []purge, head eventstore.Offset) (dropped []*slot) {
	r.mu.Lock()
	defer r.mu.Unlock()
	roused := map[*topic]bool{}
	for _, ev := range events {
		s := newSlot(ev)
		if ev.Type == eventstore.EntryErased {
			dropped = append(dropped, r.erase(ev, roused)...)
		}
		r.slots = append(r.slots, s)
		r.bytes.Add(s.size)
		if t := r.topics[ev.Tenant]; t != nil {
			t.slots = append(t.slots, s)
			roused[t] = true
		}
		r.last = ev.Offset
	}
	if len(events) == 0 {
		r.last = max(r.last, head)
	}
	for _, p := range purged {
		dropped = append(dropped, r.purge(p, roused)...)
	}
	r.trim()
	for t := range roused {
		t.rouse()
	}
	return dropped
}

// erase marks the slots of an entry and its amendments.
func (r *ring) erase(ev eventstore.Event, roused map[*topic]bool) (marked []*slot) {
	for _, s := range r.slots {
		if s.event.Tenant == ev.Tenant && (s.event.ID == ev.EntryID || s.event.EntryID == ev.EntryID) {
			s.erasure.Store(&ev)
			marked = append(marked, s)
		}
	}
	r.void(ev.Tenant, roused)
	return marked
}

// purge marks the slots at or below a purge's end.
func (r *ring) purge(p purge, roused map[*topic]bool) (marked []*slot) {
	for _, s := range r.slots {
		if s.event.Tenant == p.tenant && s.event.Position <= p.last {
			s.purged.Store(true)
			marked = append(marked, s)
		}
	}
	r.void(p.tenant, roused)
	return marked
}

func (r *ring) void(tenant eventstore.TenantID, roused map[*topic]bool) {
	if t := r.topics[tenant]; t != nil {
		t.dropped.Add(1)
		roused[t] = true
	}
}

// trim evicts the oldest until the ring keeps its bounds.
func (r *ring) trim() {
	n := 0
	for n < len(r.slots) && (len(r.slots)-n > r.maxEvents || r.bytes.Load() > r.maxBytes) {
		s := r.slots[n]
		r.bytes.Add(-s.evict())
		if t := r.topics[s.event.Tenant]; t != nil {
			t.evicted = s.event.Offset
			t.slots = t.slots[1:]
		}
		r.slots[n] = nil
		n++
	}
	r.slots = r.slots[n:]
}

// grew counts what opening a slot added.
func (r *ring) grew() {
	if r.bytes.Load() > r.maxBytes {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.trim()
	}
}

// join adds a reader of the tenant.
func (r *ring) join(tenant eventstore.TenantID) *topic {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.joined != nil {
		close(r.joined)
		r.joined = nil
	}
	t := r.topics[tenant]
	if t == nil {
		t = &topic{wake: make(chan struct{}), evicted: r.last}
		if len(r.slots) > 0 {
			t.evicted = r.slots[0].event.Offset - 1
		}
		for _, s := range r.slots {
			if s.event.Tenant == tenant {
				t.slots = append(t.slots, s)
			}
		}
		r.topics[tenant] = t
	}
	t.readers++
	return t
}

func (r *ring) leave(tenant eventstore.TenantID, t *topic) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t.readers--; t.readers == 0 {
		delete(r.topics, tenant)
	}
}

// after gives at most page slots above a position, of a reader for whom nothing is left at or below the offset o. behind
// tells that the ring no longer has what follows. wake is closed when there is more. last is the ring's newest offset.
func (r *ring) after(t *topic, p eventstore.Position, o eventstore.Offset) (slots []*slot, behind bool, last eventstore.Offset, wake <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if o < t.evicted {
		return nil, true, r.last, t.wake
	}
	i, _ := slices.BinarySearchFunc(t.slots, p+1, func(s *slot, p eventstore.Position) int { return cmp.Compare(s.event.Position, p) })
	n := min(len(t.slots)-i, page)
	return slices.Clone(t.slots[i : i+n]), false, r.last, t.wake
}
