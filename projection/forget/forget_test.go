package forget_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"auditlog/eventstore"
	"auditlog/eventstore/format"
	"auditlog/internal/fault"
	"auditlog/internal/pgdb/pgtest"
	"auditlog/keyring"
	"auditlog/projection"
	"auditlog/projection/forget"
	"auditlog/projection/projtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// readable tells whether an event's private part can be opened.
func readable(t *testing.T, w *projtest.World, ev eventstore.Event) bool {
	t.Helper()
	o, err := w.Opener.Open(t.Context(), ev)
	if err != nil {
		t.Fatal(err)
	}
	return o.Priv != nil
}

func events(w *projtest.World) map[eventstore.EventID]eventstore.Event {
	out := map[eventstore.EventID]eventstore.Event{}
	for _, ev := range w.Events() {
		out[ev.ID] = ev
	}
	return out
}

func all(w *projtest.World) projection.Envelope {
	evs := w.Events()
	return projection.Envelope{To: evs[len(evs)-1].Offset, Events: evs}
}

// breaking is a ring whose punctures fail as told, before or after their effect.
type breaking struct {
	forget.Keys
	before, after func() error
}

func (b *breaking) Puncture(ctx context.Context, tenant [16]byte, refs []keyring.Ref) error {
	if b.before != nil {
		if err := b.before(); err != nil {
			return err
		}
	}
	if err := b.Keys.Puncture(ctx, tenant, refs); err != nil {
		return err
	}
	if b.after != nil {
		return b.after()
	}
	return nil
}

// An erasure takes the entry and its amendments, leaves all others and itself, and finishes after failures at any step.
func TestErasureDestroysItsKeysAlone(t *testing.T) {
	projtest.Homes(t, testErasureDestroysItsKeysAlone)
}

func testErasureDestroysItsKeysAlone(t *testing.T, homes projtest.Maker) {
	w := projtest.New(t)
	tenant, other := w.Tenant("acme"), w.Tenant("other")
	a := w.Record(tenant, projtest.Entry{Message: "a"})
	b := w.Record(tenant, projtest.Entry{Message: "b"})
	c := w.Record(other, projtest.Entry{Message: "c"})
	m1, m2 := w.Amend(tenant, a.ID, "one"), w.Amend(tenant, a.ID, "two")
	mb := w.Amend(tenant, b.ID, "kept")
	erasure := w.Erase(tenant, a.ID)

	home := homes.New(t)
	step := 0
	failing := func() error {
		if step++; step <= 2 {
			return errors.New("keyring is away")
		}
		return nil
	}
	keys := &breaking{Keys: w.Ring, before: failing, after: failing}
	for try := range 4 {
		p, err := forget.Open(t.Context(), home, w.Store, keys, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = p.Apply(t.Context(), all(w))
		done, perr := p.Progress(t.Context(), 0)
		if perr != nil {
			t.Fatal(perr)
		}
		if err != nil && done.Cursor() != 0 {
			t.Fatalf("try %d failed and is recorded", try)
		}
		if err == nil && done.Cursor() != all(w).To {
			t.Fatalf("try %d: progress %v", try, done)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if step < 3 {
		t.Fatalf("only %d punctures were tried", step)
	}
	byID := events(w)
	for id, want := range map[eventstore.EventID]bool{
		a.ID: false, m1.ID: false, m2.ID: false, b.ID: true, mb.ID: true, c.ID: true, erasure.ID: true,
	} {
		if got := readable(t, w, byID[id]); got != want {
			t.Errorf("event at position %d readable: %v, want %v", byID[id].Position, got, want)
		}
	}
}

// flaky is a lifecycle whose Remove fails as told, before or after its effect.
type flaky struct {
	eventstore.Lifecycle
	fail func() (before, after bool)
}

func (f *flaky) Remove(ctx context.Context, p eventstore.Purge, last eventstore.Position, leaves []eventstore.Leaf, done bool) error {
	before, after := f.fail()
	if before {
		return errors.New("killed before")
	}
	if err := f.Lifecycle.Remove(ctx, p, last, leaves, done); err != nil {
		return err
	}
	if after {
		return errors.New("killed after")
	}
	return nil
}

// A purge is carried out to the end in spite of crashes at every step: rows and keys at or below the watermark go, leaf
// hashes stay, and nothing above is touched.
func TestJanitorFinishesPurges(t *testing.T) {
	w := projtest.New(t)
	tenant, other := w.Tenant("acme"), w.Tenant("other")
	w.RecordMany(tenant, 45)
	w.RecordMany(other, 5)
	w.Tick()
	border := w.Now()
	w.RecordMany(tenant, 7)
	before := events(w)
	purge := w.Purge(tenant, border)
	if purge.Last != 46 {
		t.Fatalf("purge %+v", purge)
	}
	n := 0
	crash := func() (bool, bool) { n++; return n%3 == 1, n%3 == 2 }
	punctures := 0
	keys := &breaking{Keys: w.Ring, after: func() error {
		if punctures++; punctures%4 == 1 {
			return errors.New("killed after the puncture")
		}
		return nil
	}}
	for tries := 0; ; tries++ {
		j := forget.NewJanitor(w.Store, &flaky{w.Store, crash}, keys, forget.JanitorOptions{Page: 10})
		if err := j.Sweep(t.Context()); err == nil {
			break
		}
		if tries > 50 {
			t.Fatal("the purge does not end")
		}
	}
	purges, err := w.Store.Purges(t.Context(), tenant)
	if err != nil || len(purges) != 1 || purges[0].Status != eventstore.PurgeDone || purges[0].Removed != 46 {
		t.Fatalf("purges %+v, %v", purges, err)
	}
	after := events(w)
	for id, ev := range before {
		doomed := ev.Tenant == tenant && ev.Position <= purge.Last
		if _, there := after[id]; there == doomed {
			t.Errorf("tenant %s, position %d: there %v", ev.Tenant, ev.Position, there)
		}
		if got := readable(t, w, ev); got == doomed {
			t.Errorf("tenant %s, position %d: key there %v", ev.Tenant, ev.Position, got)
		}
		if !doomed {
			continue
		}
		plain, err := format.Unpack(nil, ev.Public)
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := w.Store.RemovedLeaf(t.Context(), tenant, id)
		if err != nil || leaf.Position != ev.Position || leaf.Hash != format.LeafHash(tenant, ev.Position, ev.RecordedAt, plain) {
			t.Errorf("leaf of position %d: %+v, %v", ev.Position, leaf, err)
		}
	}
}

// An erasure whose entry was purged meanwhile has nothing to do, and does not get stuck.
func TestErasureOfAPurgedEntry(t *testing.T) { projtest.Homes(t, testErasureOfAPurgedEntry) }

func testErasureOfAPurgedEntry(t *testing.T, homes projtest.Maker) {
	w := projtest.New(t)
	tenant := w.Tenant("acme")
	a := w.Record(tenant, projtest.Entry{})
	erasure := w.Erase(tenant, a.ID)
	w.Tick()
	w.Purge(tenant, w.Now())
	if err := forget.NewJanitor(w.Store, w.Store, w.Ring, forget.JanitorOptions{}).Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Store.Get(t.Context(), tenant, a.ID); !fault.Is(err, fault.Purged) {
		t.Fatalf("the entry: %v", err)
	}
	p, err := forget.Open(t.Context(), homes.New(t), w.Store, w.Ring, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	late := projtest.Single(eventstore.Event{Tenant: tenant, ID: erasure.ID, EntryID: a.ID, Type: eventstore.EntryErased, Offset: 3})
	if err := p.Apply(t.Context(), late); err != nil {
		t.Error(err)
	}
}

// The janitor works at start and when woken.
func TestJanitorRuns(t *testing.T) {
	w := projtest.New(t)
	tenant := w.Tenant("acme")
	removed := make(chan int, 10)
	j := forget.NewJanitor(w.Store, w.Store, w.Ring, forget.JanitorOptions{Period: time.Hour, Removed: func(n int) { removed <- n }})
	w.Record(tenant, projtest.Entry{})
	w.Tick()
	w.Purge(tenant, w.Now())
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- j.Run(ctx) }()
	expect := func(want int) {
		t.Helper()
		select {
		case n := <-removed:
			if n != want {
				t.Errorf("removed %d, want %d", n, want)
			}
		case <-time.After(20 * time.Second):
			t.Fatal(fmt.Errorf("nothing was removed"))
		}
	}
	expect(2)
	w.Record(tenant, projtest.Entry{})
	w.Tick()
	w.Purge(tenant, w.Now())
	expect(2)
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Run: %v", err)
	}
}
