// Package storetest holds the promises of package eventstore as cases that every driver passes, one case for each
// sentence of its documentation and of the same name. It imports no driver.
package storetest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"auditlog/eventstore"
	"auditlog/internal/fault"
)

// Harness adapts one driver to the suite.
type Harness struct {
	// New makes an empty store with this clock; it cleans up after tb.
	New func(tb testing.TB, now func() time.Time) eventstore.Store
	// Reopen opens the store's data again, as after a crash.
	Reopen func(tb testing.TB, s eventstore.Store, now func() time.Time) eventstore.Store
	// Lifecycle is the part of the driver that removes events.
	Lifecycle func(s eventstore.Store) eventstore.Lifecycle
	// Patience bounds a wait for something that must happen; default 30 s.
	Patience time.Duration
}

// Case is one promise.
type Case struct {
	Name string
	Run  func(tb testing.TB, h Harness)
}

// Cases are all promises, in the order of the package's documentation.
func Cases() []Case {
	return []Case{
		{"AppendIsAtomic", appendIsAtomic},
		{"AppendIsDurable", appendIsDurable},
		{"PositionsAreDense", positionsAreDense},
		{"ReadersMissNothing", readersMissNothing},
		{"KeysReplay", keysReplay},
		{"FlushesReplay", flushesReplay},
		{"TenantsNeverMeet", tenantsNeverMeet},
		{"TimeNeverStepsBack", timeNeverStepsBack},
		{"AppendOnly", appendOnly},
		{"PurgedIsHidden", purgedIsHidden},
		{"AboutIsExact", aboutIsExact},
	}
}

// Run runs every case against a driver.
func Run(t *testing.T, h Harness) {
	for _, c := range Cases() {
		t.Run(c.Name, func(t *testing.T) { c.Run(t, h) })
	}
}

// clock is a time that cases move by hand.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// bench is a store under test with what cases do to it all the time.
type bench struct {
	testing.TB
	eventstore.Store
	ctx   context.Context
	h     Harness
	clock *clock
}

func newBench(tb testing.TB, h Harness) *bench {
	c := newClock()
	if h.Patience == 0 {
		h.Patience = 30 * time.Second
	}
	return &bench{TB: tb, Store: h.New(tb, c.now), ctx: tb.Context(), h: h, clock: c}
}

func (b *bench) reopen() { b.Store = b.h.Reopen(b.TB, b.Store, b.clock.now) }

// tenant creates a tenant; its first event is at position 1.
func (b *bench) tenant() eventstore.TenantID {
	b.Helper()
	id := uuid.New()
	t := eventstore.Tenant{ID: eventstore.TenantID(id), Slug: "t-" + id.String(), Name: "Tenant", Status: "active", RetentionDays: 365}
	created := eventstore.Draft{ID: eventstore.NewEventID(), Type: eventstore.TenantCreated, Public: []byte(`{"v":1}`)}
	got, err := b.CreateTenant(b.ctx, t, created)
	if err != nil {
		b.Fatalf("CreateTenant: %v", err)
	}
	return got.ID
}

// append sends one flush and fails on an error.
func (b *bench) append(units ...eventstore.Unit) []eventstore.Outcome {
	b.Helper()
	return b.send(flush(units...))
}

func (b *bench) send(f eventstore.Flush) []eventstore.Outcome {
	b.Helper()
	got, err := b.Append(b.ctx, f)
	if err != nil {
		b.Fatalf("Append: %v", err)
	}
	if want := draftsOf(f); len(got) != want {
		b.Fatalf("Append answered %d drafts of %d", len(got), want)
	}
	return got
}

// log is a tenant's whole log as a reader sees it.
func (b *bench) log(tenant eventstore.TenantID) []eventstore.Event {
	b.Helper()
	var all []eventstore.Event
	for after := eventstore.Position(0); ; after = all[len(all)-1].Position {
		page, err := b.ReadTenant(b.ctx, tenant, after, 100)
		if err != nil {
			b.Fatalf("ReadTenant: %v", err)
		}
		if len(page) == 0 {
			return all
		}
		all = append(all, page...)
	}
}

// shardLog is a shard's whole log.
func (b *bench) shardLog(shard eventstore.Shard) []eventstore.Event {
	b.Helper()
	var all []eventstore.Event
	for after := eventstore.Offset(0); ; after = all[len(all)-1].Offset {
		page, err := b.ReadShard(b.ctx, shard, after, 100)
		if err != nil {
			b.Fatalf("ReadShard: %v", err)
		}
		if len(page) == 0 {
			return all
		}
		all = append(all, page...)
	}
}

func (b *bench) head(tenant eventstore.TenantID) eventstore.Head {
	b.Helper()
	h, err := b.Head(b.ctx, tenant)
	if err != nil {
		b.Fatalf("Head: %v", err)
	}
	return h
}

// wantKind fails unless err is of the kind.
func (b *bench) wantKind(what string, err error, kind fault.Kind) {
	b.Helper()
	if !fault.Is(err, kind) {
		b.Errorf("%s: got %v, want %v", what, err, kind)
	}
}

// wantStatuses fails unless the outcomes have these statuses.
func (b *bench) wantStatuses(what string, got []eventstore.Outcome, want ...eventstore.Status) {
	b.Helper()
	have := make([]eventstore.Status, len(got))
	for i := range got {
		have[i] = got[i].Status
	}
	if !slices.Equal(have, want) {
		b.Fatalf("%s: statuses %v, want %v", what, have, want)
	}
}

// wantIDs fails unless a tenant's log above position 1 is these events, dense from 2.
func (b *bench) wantIDs(what string, tenant eventstore.TenantID, want ...eventstore.EventID) {
	b.Helper()
	log := b.log(tenant)
	if len(log) == 0 {
		b.Fatalf("%s: the log is empty", what)
	}
	for i, e := range log {
		if e.Position != eventstore.Position(i+1) {
			b.Fatalf("%s: position %d at place %d", what, e.Position, i+1)
		}
	}
	got := make([]eventstore.EventID, 0, len(log)-1)
	for _, e := range log[1:] {
		got = append(got, e.ID)
	}
	if !slices.Equal(got, want) {
		b.Fatalf("%s: log is %v, want %v", what, got, want)
	}
}

func flush(units ...eventstore.Unit) eventstore.Flush {
	return eventstore.Flush{ID: eventstore.FlushID(uuid.New()), Units: units}
}

func unit(tenant eventstore.TenantID, drafts ...eventstore.Draft) eventstore.Unit {
	return eventstore.Unit{Tenant: tenant, Drafts: drafts}
}

func atomic(tenant eventstore.TenantID, drafts ...eventstore.Draft) eventstore.Unit {
	return eventstore.Unit{Tenant: tenant, Drafts: drafts, Atomic: true}
}

func draftsOf(f eventstore.Flush) (n int) {
	for _, u := range f.Units {
		n += len(u.Drafts)
	}
	return n
}

// entry is a draft of an entry whose bytes are its own.
func entry() eventstore.Draft { return draft(eventstore.EntryRecorded, eventstore.EventID{}) }

func amendment(of eventstore.EventID) eventstore.Draft { return draft(eventstore.EntryAmended, of) }
func erasure(of eventstore.EventID) eventstore.Draft   { return draft(eventstore.EntryErased, of) }

func draft(t eventstore.Type, about eventstore.EventID) eventstore.Draft {
	id := eventstore.NewEventID()
	return eventstore.Draft{
		ID: id, Type: t, EntryID: about,
		Public: fmt.Appendf(nil, "public of %v", id), Private: fmt.Appendf(nil, "private of %v", id),
		Key: eventstore.KeyRef{Epoch: 3, Index: uint32(id[15]) + 1<<30},
	}
}

func entries(n int) []eventstore.Draft {
	all := make([]eventstore.Draft, n)
	for i := range all {
		all[i] = entry()
	}
	return all
}

// keyed gives a draft an idempotency key and a body.
func keyed(d eventstore.Draft, key, body string) eventstore.Draft {
	k := &eventstore.Idempotency{}
	copy(k.Token[:], key)
	copy(k.Fingerprint[:], body)
	d.Idempotency = k
	return d
}

// sameEvent tells whether e is d as the outcome placed it.
func sameEvent(e eventstore.Event, tenant eventstore.TenantID, d eventstore.Draft, o eventstore.Outcome) bool {
	return e.Tenant == tenant && e.ID == d.ID && o.ID == d.ID && e.Type == d.Type && e.EntryID == d.EntryID && e.Key == d.Key &&
		bytes.Equal(e.Public, d.Public) && bytes.Equal(e.Private, d.Private) && e.Position == o.Position && e.RecordedAt == o.RecordedAt
}

// equalLogs compares events with everything that they hold.
func equalLogs(a, b []eventstore.Event) bool {
	return slices.EqualFunc(a, b, func(x, y eventstore.Event) bool {
		return bytes.Equal(x.Public, y.Public) && bytes.Equal(x.Private, y.Private) && x.Tenant == y.Tenant && x.Position == y.Position &&
			x.Shard == y.Shard && x.Offset == y.Offset && x.RecordedAt == y.RecordedAt && x.ID == y.ID && x.Type == y.Type &&
			x.EntryID == y.EntryID && x.Key == y.Key
	})
}
