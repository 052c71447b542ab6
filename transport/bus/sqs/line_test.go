package sqs_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
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
	"auditlog/transport/bus/sqs"
	"auditlog/transport/bus/sqs/sqstest"
)

// unruly is a bus that sends everything twice and out of order, on purpose: of each envelope the later half first, then
// the whole, then an earlier envelope again; and it hands each delivery on twice, with a former one in between.
type unruly struct {
	*sqs.Bus

	mu     sync.Mutex // guards the fields below
	rnd    *rand.Rand
	sent   map[string][]projection.Envelope
	extras int // envelopes beyond those of the relay

	delivered atomic.Int64 // messages taken by a handler
}

func (u *unruly) Publish(ctx context.Context, destination string, env projection.Envelope) error {
	u.mu.Lock()
	all := []projection.Envelope{env}
	if n := len(env.Events); n > 1 {
		late := env
		late.From, late.Events = env.Events[n/2-1].Offset, env.Events[n/2:]
		all = []projection.Envelope{late, env}
	}
	if old := u.sent[destination]; len(old) > 0 {
		all = append(all, old[u.rnd.IntN(len(old))])
	}
	u.sent[destination] = append(u.sent[destination], env)
	u.extras += len(all) - 1
	u.mu.Unlock()
	for _, env := range all {
		if err := u.Bus.Publish(ctx, destination, env); err != nil {
			return err
		}
	}
	return nil
}

func (u *unruly) Subscribe(destination string, handle handler) {
	var mu sync.Mutex // guards former
	var former []projection.Envelope
	u.Bus.Subscribe(destination, func(ctx context.Context, env projection.Envelope) error {
		mu.Lock()
		all := []projection.Envelope{env}
		if len(former) > 0 {
			all = append(all, former[len(former)/2])
		}
		former = append(former, env)
		mu.Unlock()
		for _, env := range append(all, env) {
			if err := handle(ctx, env); err != nil {
				return err
			}
		}
		u.delivered.Add(1)
		return nil
	})
}

// line is store, relay, bus and three real projections with their runners.
type line struct {
	stats  *stats.Projection
	find   *find.Projection
	forget *forget.Projection
	relay  *relay.DB
	bus    *unruly
	swept  func() int
	cancel context.CancelFunc
	parts  sync.WaitGroup
}

func (l *line) projectors() []projection.Projector {
	return []projection.Projector{l.stats, l.find, l.forget}
}

func startLine(t *testing.T, w *projtest.World, dir string, cfg sqs.Config, sweep time.Duration) *line {
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
	inner, err := sqs.New(cfg, bus.RouterOptions{Log: quiet})
	check()
	l.bus = &unruly{Bus: inner, rnd: rand.New(rand.NewPCG(1, 2)), sent: map[string][]projection.Envelope{}}
	var mu sync.Mutex // guards swept
	swept := 0
	l.swept = func() int {
		mu.Lock()
		defer mu.Unlock()
		return swept
	}
	hooks := projection.Hooks{Swept: func(_ string, events int) {
		mu.Lock()
		defer mu.Unlock()
		swept += events
	}}
	var names []string
	for _, p := range l.projectors() {
		r := projection.NewRunner(p, w.Store, l.relay, projection.RunnerOptions{Sweep: sweep, Settle: sweep / 2, Log: quiet, Hooks: hooks})
		l.bus.Subscribe(p.Name(), r.Handle)
		names = append(names, p.Name())
		l.parts.Go(func() { _ = r.Run(ctx) })
	}
	ensure(t, cfg, names...)
	l.parts.Go(func() {
		if err := l.bus.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("bus: %v", err)
		}
	})
	<-l.bus.Running()
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
	for _, p := range l.projectors() {
		eventually(t, fmt.Sprintf("%s at %d", p.Name(), head), func() bool {
			done, err := p.Progress(t.Context(), 0)
			if err != nil {
				t.Fatal(err)
			}
			return done.Cursor() >= head
		})
	}
}

// work records entries, amendments and erasures.
func work(w *projtest.World, rnd *rand.Rand, tenants []eventstore.TenantID, rounds int) {
	for i := range rounds {
		tenant := tenants[rnd.IntN(len(tenants))]
		a := w.Record(tenant, projtest.Entry{Actor: fmt.Sprintf("actor-%d", rnd.IntN(5)), Subjects: []string{"s"}})
		w.RecordMany(tenant, rnd.IntN(30))
		switch i % 5 {
		case 1:
			w.Amend(tenant, a.ID, "more")
		case 2:
			w.Erase(tenant, a.ID)
		}
		w.Tick()
	}
}

// equalsLog fails when a read model is not what one pass over the log makes.
func (l *line) equalsLog(t *testing.T, w *projtest.World) {
	t.Helper()
	events, clean := w.Events(), t.TempDir()
	head := events[len(events)-1].Offset
	l.await(t, head)
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
	for _, c := range []struct{ once, line projtest.Dumper }{{s, l.stats}, {f, l.find}} {
		if err := c.once.Apply(t.Context(), projection.Envelope{To: head, Events: events}); err != nil {
			t.Fatal(err)
		}
		if projtest.Dump(t, c.once) != projtest.Dump(t, c.line) {
			t.Errorf("%s differs from what the log says", c.line.Name())
		}
	}
}

// Delivered twice and out of order, by the bus alone: the sweeper comes too late to help.
func TestTwiceAndOutOfOrder(t *testing.T) {
	t.Parallel()
	w := projtest.New(t)
	tenants := []eventstore.TenantID{w.Tenant("acme"), w.Tenant("other")}
	l := startLine(t, w, t.TempDir(), sqstest.Config(t), time.Hour)
	defer l.stop(t)
	work(w, rand.New(rand.NewPCG(5, 6)), tenants, 60)
	l.equalsLog(t, w)
	l.bus.mu.Lock()
	defer l.bus.mu.Unlock()
	if events := len(w.Events()); l.bus.extras < 20 || l.swept() > events/10 { // some at the start, before the bus runs
		t.Errorf("%d envelopes too many, %d of 3 × %d events swept: the test tests nothing", l.bus.extras, l.swept(), events)
	}
}

// Cut off again and again, the line ends with what the log says.
func TestLineSurvivesBeingCutOff(t *testing.T) {
	t.Parallel()
	w := projtest.New(t)
	tenants := []eventstore.TenantID{w.Tenant("acme"), w.Tenant("other")}
	rnd, dir, cfg := rand.New(rand.NewPCG(7, 8)), t.TempDir(), sqstest.Config(t)
	for range 4 {
		l := startLine(t, w, dir, cfg, time.Second)
		work(w, rnd, tenants, 12)
		l.stop(t)
	}
	l := startLine(t, w, dir, cfg, time.Second)
	defer l.stop(t)
	l.equalsLog(t, w)
}

// outliveCrashes makes queues that a crash of the server does not take with it, as those of the real service: ElasticMQ writes
// a new queue some time after it answered.
func outliveCrashes(t *testing.T, server *sqstest.Server, cfg sqs.Config, destinations ...string) {
	t.Helper()
	for range 10 {
		q := ensure(t, cfg, destinations...)
		if err := errors.Join(server.Kill(), server.Restart()); err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(destinations, func(d string) bool { return show(t, q, d).Missing }) {
			return
		}
	}
	t.Fatal("the server forgets its queues in every crash")
}

// The queue server dies in the middle and comes back: appends go on, and the lag goes away without a hand.
func TestQueueServerDies(t *testing.T) {
	t.Parallel()
	server, err := sqstest.Own()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	}()
	w := projtest.New(t)
	tenants := []eventstore.TenantID{w.Tenant("acme"), w.Tenant("other")}
	rnd := rand.New(rand.NewPCG(9, 10))
	cfg := server.Config()
	outliveCrashes(t, server, cfg, "stats", "find", "forget")
	l := startLine(t, w, t.TempDir(), cfg, time.Second)
	defer l.stop(t)
	work(w, rnd, tenants, 10)
	eventually(t, "messages on their way", func() bool { return l.bus.delivered.Load() > 3 })
	work(w, rnd, tenants, 10)
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	before := l.bus.delivered.Load()
	work(w, rnd, tenants, 10) // appends need no queue
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	l.equalsLog(t, w)
	events := w.Events()
	for _, p := range l.projectors() { // not the sweeper alone: the queues are there again, and take what waited
		eventually(t, "the relay of "+p.Name()+" at the head", func() bool {
			at, err := l.relay.Load(t.Context(), 0, p.Name())
			if err != nil {
				t.Fatal(err)
			}
			return at == events[len(events)-1].Offset
		})
	}
	eventually(t, "messages again", func() bool { return l.bus.delivered.Load() > before+3 })
}
