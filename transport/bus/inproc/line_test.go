package inproc_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"auditlog/eventstore"
	"auditlog/projection"
	"auditlog/projection/find"
	"auditlog/projection/forget"
	"auditlog/projection/projtest"
	"auditlog/projection/readmodel"
	"auditlog/projection/relay"
	"auditlog/projection/stats"
	"auditlog/transport/bus"
	"auditlog/transport/bus/inproc"
)

// line is the embedded line on real files: store, relay, bus, and three projections with their runners.
type line struct {
	stats  *stats.Projection
	find   *find.Projection
	forget *forget.Projection
	relay  *relay.DB
	bus    *inproc.Bus
	cancel context.CancelFunc
	parts  sync.WaitGroup
}

func (l *line) projectors() []projection.Projector {
	return []projection.Projector{l.stats, l.find, l.forget}
}

func startLine(t *testing.T, w *projtest.World, dir string) *line {
	t.Helper()
	l := &line{}
	deps := readmodel.Deps{Store: w.Store, Opener: w.Opener}
	var err error
	check := func() {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	l.find, err = find.Open(ctx, readmodel.Folder(dir), deps, quiet)
	check()
	l.stats, err = stats.Open(ctx, readmodel.Folder(dir), deps, stats.StoreNames{Find: l.find, Store: w.Store, Opener: w.Opener}, quiet)
	check()
	l.forget, err = forget.Open(ctx, readmodel.Folder(dir), w.Store, w.Ring, quiet)
	check()
	l.relay, err = relay.Open(ctx, filepath.Join(dir, "relay.db"))
	check()
	l.bus, err = inproc.New(bus.RouterOptions{Log: quiet})
	check()
	var names []string
	for _, p := range l.projectors() {
		r := projection.NewRunner(p, w.Store, l.relay, projection.RunnerOptions{Sweep: 300 * time.Millisecond, Settle: 100 * time.Millisecond, Log: quiet})
		l.bus.Subscribe(p.Name(), r.Handle)
		names = append(names, p.Name())
		l.parts.Go(func() { _ = r.Run(ctx) })
	}
	l.parts.Go(func() { _ = l.bus.Run(ctx) })
	l.parts.Go(func() { _ = relay.New(w.Store, l.bus, l.relay, names, relay.Options{Page: 40, Log: quiet}).Run(ctx) })
	return l
}

// stop cuts everything off wherever it is.
func (l *line) stop(t *testing.T) {
	t.Helper()
	l.cancel()
	err := l.bus.Close()
	l.parts.Wait()
	for _, e := range []error{err, l.stats.Close(), l.find.Close(), l.forget.Close(), l.relay.Close()} {
		if e != nil {
			t.Error(e)
		}
	}
}

func (l *line) await(t *testing.T, head eventstore.Offset) {
	t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for _, p := range l.projectors() {
		for {
			done, err := p.Progress(t.Context(), 0)
			if err != nil {
				t.Fatal(err)
			}
			if done.Cursor() >= head {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s stays at %v, head %d", p.Name(), done, head)
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
}

// Cut off again and again while entries, amendments, erasures and a purge come in, the line ends with what a projection
// makes of the log in one go.
func TestLineSurvivesBeingCutOff(t *testing.T) {
	w := projtest.New(t)
	tenants := []eventstore.TenantID{w.Tenant("acme"), w.Tenant("other")}
	rnd := rand.New(rand.NewPCG(5, 6))
	dir := t.TempDir()
	var erased []eventstore.EventID
	for round := range 6 {
		l := startLine(t, w, dir)
		for i := range 15 {
			tenant := tenants[rnd.IntN(2)]
			a := w.Record(tenant, projtest.Entry{Actor: fmt.Sprintf("actor-%d", rnd.IntN(5)), Subjects: []string{"s"}})
			w.RecordMany(tenant, rnd.IntN(30))
			switch i % 5 {
			case 1:
				w.Amend(tenant, a.ID, "more")
			case 2:
				w.Erase(tenant, a.ID)
				erased = append(erased, a.ID)
			}
		}
		if round == 3 {
			w.Purge(tenants[0], w.Now())
		}
		w.Tick()
		l.stop(t)
	}
	l := startLine(t, w, dir)
	defer l.stop(t)
	events := w.Events()
	head := events[len(events)-1].Offset
	l.await(t, head)
	for _, ev := range events {
		for _, id := range erased {
			if ev.ID != id {
				continue
			}
			if o, err := w.Opener.Open(t.Context(), ev); err != nil || o.Priv != nil {
				t.Errorf("the key of erased position %d is there, %v", ev.Position, err)
			}
		}
	}
	clean := t.TempDir()
	deps := readmodel.Deps{Store: w.Store, Opener: w.Opener}
	f, err := find.Open(t.Context(), readmodel.Folder(clean), deps, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s, err := stats.Open(t.Context(), readmodel.Folder(clean), deps, nil, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, c := range []struct{ once, cut projtest.Dumper }{{s, l.stats}, {f, l.find}} {
		if err := c.once.Apply(t.Context(), projection.Envelope{To: head, Events: events}); err != nil {
			t.Fatal(err)
		}
		if projtest.Dump(t, c.once) != projtest.Dump(t, c.cut) {
			t.Errorf("%s differs from what the log says", c.cut.Name())
		}
	}
}
