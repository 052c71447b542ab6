package sim

import (
	"bytes"
	"errors"
	"slices"
	"sync"
	"time"

	"auditlog/eventstore"
)

const shards = 2

// store is the event store, with the promises of package eventstore. Its content survives every crash.
type store struct {
	*clock
	lie string

	mu      sync.Mutex // guards all; held for an instant
	logs    [shards][]row
	heads   map[eventstore.TenantID]eventstore.Position
	keys    map[keyName]int // places in rows
	rows    []row           // in order of commit
	drafts  int             // stored, or said to be
	ids     map[eventstore.EventID]bool
	flushes map[eventstore.FlushID][]eventstore.Outcome
	waiting [shards][]chan struct{}
	wakes   [shards]*stream
}

type keyName struct {
	tenant eventstore.TenantID
	token  [32]byte
}

// row is an event with what the checks ask of it.
type row struct {
	eventstore.Event
	key   *eventstore.Idempotency
	flush int
}

func newStore(c *clock, lie string) *store {
	s := &store{
		clock: c, lie: lie, heads: map[eventstore.TenantID]eventstore.Position{}, keys: map[keyName]int{},
		ids: map[eventstore.EventID]bool{}, flushes: map[eventstore.FlushID][]eventstore.Outcome{},
	}
	for i := range s.wakes {
		s.wakes[i] = c.stream("wake/%d", i)
	}
	return s
}

var errKnownID = errors.New("an event of this id is stored")

// commit is the effect of a flush, at one instant.
func (s *store) commit(f eventstore.Flush) ([]eventstore.Outcome, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if out, known := s.flushes[f.ID]; known && s.lie != "flush ids are not looked at" {
		s.sometimes("flush sent again after its effect")
		return slices.Clone(out), nil
	}
	for _, u := range f.Units {
		for _, d := range u.Drafts {
			if s.ids[d.ID] && s.lie != "flush ids are not looked at" {
				s.sometimes("draft sent in a second flush")
				return nil, errKnownID
			}
		}
	}
	var out []eventstore.Outcome
	for _, u := range f.Units {
		out = append(out, s.unit(f.Shard, u)...)
	}
	s.flushes[f.ID] = slices.Clone(out)
	s.note("store", "commit", int64(f.Shard), int64(len(f.Units)), int64(len(out)), int64(s.head(f.Shard)))
	s.wake(f.Shard)
	return out, nil
}

func (s *store) head(shard eventstore.Shard) eventstore.Offset {
	return eventstore.Offset(len(s.logs[shard]))
}

func (s *store) unit(shard eventstore.Shard, u eventstore.Unit) []eventstore.Outcome {
	out, twins, refused := make([]eventstore.Outcome, len(u.Drafts)), map[[32]byte]int{}, false
	for i, d := range u.Drafts {
		out[i] = s.known(u.Tenant, d)
		if d.Idempotency != nil && out[i].Status == 0 {
			if first, twin := twins[d.Idempotency.Token]; !twin {
				twins[d.Idempotency.Token] = i
			} else if u.Drafts[first].Idempotency.Fingerprint != d.Idempotency.Fingerprint {
				out[i].Status = eventstore.KeyReused
			}
		}
		refused = refused || out[i].Status == eventstore.KeyReused
	}
	for i, d := range u.Drafts {
		if out[i].Status == 0 && refused && u.Atomic {
			out[i].Status = eventstore.Aborted
		} else if out[i].Status == 0 {
			if out[i] = s.known(u.Tenant, d); out[i].Status == 0 { // unless its twin is stored by now
				out[i] = s.insert(shard, u.Tenant, d)
			}
		}
	}
	return out
}

// known is the answer to a draft whose key is known; Status 0 when it is not.
func (s *store) known(tenant eventstore.TenantID, d eventstore.Draft) eventstore.Outcome {
	if d.Idempotency == nil || s.lie == "keys are not looked at" {
		return eventstore.Outcome{}
	}
	at, known := s.keys[keyName{tenant, d.Idempotency.Token}]
	switch {
	case !known:
		return eventstore.Outcome{}
	case s.rows[at].key.Fingerprint != d.Idempotency.Fingerprint:
		return eventstore.Outcome{Status: eventstore.KeyReused}
	}
	r := s.rows[at]
	if s.lie == "a replay has an id of its own" {
		r.ID = d.ID
	}
	return eventstore.Outcome{Status: eventstore.Replayed, ID: r.ID, Position: r.Position, RecordedAt: r.RecordedAt}
}

func (s *store) insert(shard eventstore.Shard, tenant eventstore.TenantID, d eventstore.Draft) eventstore.Outcome {
	at := eventstore.MicrosOf(time.Now())
	s.heads[tenant]++
	position := s.heads[tenant]
	if s.lie == "positions are given twice" && position%40 == 0 {
		position--
	}
	r := row{key: d.Idempotency, flush: len(s.flushes), Event: eventstore.Event{
		Tenant: tenant, Position: position, Shard: shard, Offset: s.head(shard) + 1, RecordedAt: at,
		ID: d.ID, Type: d.Type, Public: d.Public, Private: d.Private, Key: d.Key,
	}}
	out := eventstore.Outcome{Status: eventstore.Stored, ID: d.ID, Position: position, RecordedAt: at}
	if s.drafts++; s.lie == "an acknowledged event is not kept" && s.drafts%50 == 0 {
		s.heads[tenant]--
		return out
	}
	if d.Idempotency != nil {
		s.keys[keyName{tenant, d.Idempotency.Token}] = len(s.rows)
	}
	s.ids[d.ID] = true
	s.rows = append(s.rows, r)
	s.logs[shard] = append(s.logs[shard], r)
	return out
}

// wake tells those who wait for appends, each at an instant of its own; a few are forgotten.
func (s *store) wake(shard eventstore.Shard) {
	for _, ch := range s.waiting[shard] {
		if !s.wakes[shard].one(5) {
			time.AfterFunc(s.wakes[shard].until(s.wakes[shard].between(0, 2*time.Millisecond)), func() { close(ch) })
		}
	}
	s.waiting[shard] = nil
}

func (s *store) appended(shard eventstore.Shard) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	ch := make(chan struct{})
	s.waiting[shard] = append(s.waiting[shard], ch)
	return ch
}

func (s *store) shardHead(shard eventstore.Shard) eventstore.ShardHead {
	s.mu.Lock()
	defer s.mu.Unlock()
	return eventstore.ShardHead{Offset: s.head(shard)}
}

// page is a page of the shard's log.
func (s *store) page(shard eventstore.Shard, after eventstore.Offset, limit int) []eventstore.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	var page []eventstore.Event
	for _, r := range s.logs[shard][min(int(after), len(s.logs[shard])):] {
		if s.lie == "a reader skips an event" && r.Offset%50 == 0 {
			continue
		}
		if len(page) < limit {
			page = append(page, r.Event)
		}
	}
	return page
}

// same tells whether the events are those of the range, all of them and byte by byte.
func (s *store) same(shard eventstore.Shard, from, to eventstore.Offset, events []eventstore.Event) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if to > s.head(shard) || int(to-from) != len(events) {
		return false
	}
	return slices.EqualFunc(s.logs[shard][from:to], events, func(r row, e eventstore.Event) bool {
		return r.ID == e.ID && r.Tenant == e.Tenant && r.Position == e.Position && r.Offset == e.Offset &&
			r.RecordedAt == e.RecordedAt && bytes.Equal(r.Public, e.Public) && bytes.Equal(r.Private, e.Private)
	})
}
