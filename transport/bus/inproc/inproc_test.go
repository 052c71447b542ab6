package inproc_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"auditlog/eventstore"
	"auditlog/projection"
	"auditlog/projection/projtest"
	"auditlog/projection/relay"
	"auditlog/transport/bus"
	"auditlog/transport/bus/inproc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// taker keeps the envelopes that it took.
type taker struct {
	mu   sync.Mutex // guards all
	took []projection.Envelope
	fail func(n int) error // n: calls so far
	n    int
}

func (k *taker) take(_ context.Context, env projection.Envelope) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.n++
	if k.fail != nil {
		if err := k.fail(k.n); err != nil {
			return err
		}
	}
	k.took = append(k.took, env)
	return nil
}

func (k *taker) events() (n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, env := range k.took {
		n += len(env.Events)
	}
	return n
}

// start runs a bus with the takers; stop ends it.
func start(t *testing.T, o bus.RouterOptions, takers map[string]*taker) (b *inproc.Bus, stop func()) {
	t.Helper()
	o.Log, o.Backoff = quiet, time.Millisecond
	b, err := inproc.New(o)
	if err != nil {
		t.Fatal(err)
	}
	for d, k := range takers {
		b.Subscribe(d, k.take)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	<-b.Running()
	return b, func() {
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
		for range 2 {
			if err := b.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		}
	}
}

func envelope(m *projtest.Memory, t *testing.T, from, to eventstore.Offset) projection.Envelope {
	t.Helper()
	env, err := projection.ReadEnvelope(t.Context(), m, 0, projection.Range{From: from, To: to}, int(to))
	if err != nil {
		t.Fatal(err)
	}
	return env
}

func TestPublishWaitsUntilTaken(t *testing.T) {
	m := projtest.NewMemory()
	m.Append(300)
	a := &taker{fail: func(n int) error {
		if n < 3 {
			return errors.New("not yet")
		}
		return nil
	}}
	b, stop := start(t, bus.RouterOptions{}, map[string]*taker{"a": a})
	defer stop()
	if err := b.Publish(t.Context(), "a", envelope(m, t, 0, 300)); err != nil {
		t.Fatal(err)
	}
	if a.events() != 300 {
		t.Fatalf("%d events were taken when Publish returned", a.events())
	}
	if err := b.Publish(t.Context(), "nobody", envelope(m, t, 0, 300)); !errors.Is(err, inproc.ErrNotTaken) {
		t.Errorf("without a handler: %v", err)
	}
}

func TestBrokenHandlerBlocksNoOther(t *testing.T) {
	m := projtest.NewMemory()
	m.Append(1)
	bad, good := &taker{fail: func(int) error { return errors.New("down") }}, &taker{}
	b, stop := start(t, bus.RouterOptions{Retries: 2}, map[string]*taker{"bad": bad, "good": good})
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() { failed <- b.Publish(ctx, "bad", envelope(m, t, 0, 1)) }()
	for range 10 {
		if err := b.Publish(t.Context(), "good", envelope(m, t, 0, 1)); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("publish to the broken one: %v", err)
	}
	stop()
	if err := b.Publish(t.Context(), "good", envelope(m, t, 0, 1)); err == nil {
		t.Error("a closed bus took an envelope")
	}
}

// Poison goes to the poison queue at once and the next message flows; a panic is an error like others.
func TestPoisonQueue(t *testing.T) {
	m := projtest.NewMemory()
	m.Append(2)
	var mu sync.Mutex
	var reasons []string
	k := &taker{fail: func(n int) error {
		switch n {
		case 1:
			return &projection.Poison{Err: errors.New("cannot be")}
		case 2:
			panic("once")
		}
		return nil
	}}
	b, stop := start(t, bus.RouterOptions{OnPoison: func(_ context.Context, d, reason string, payload []byte) {
		mu.Lock()
		defer mu.Unlock()
		reasons = append(reasons, d+": "+reason)
		if _, err := bus.Decode(payload); err != nil {
			t.Errorf("the payload is not the message's: %v", err)
		}
	}}, map[string]*taker{"a": k})
	defer stop()
	for range 2 {
		if err := b.Publish(t.Context(), "a", envelope(m, t, 0, 2)); err != nil {
			t.Fatal(err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(reasons) != 1 || reasons[0] != "a: poison: cannot be" {
		t.Errorf("poison queue: %q", reasons)
	}
	if k.events() != 2 {
		t.Errorf("%d events of the good message were taken", k.events())
	}
}

// noise does not shrink.
func noise(n int) []byte {
	out, seed := make([]byte, n), uint32(1)
	for i := range out {
		seed = seed*1664525 + 1013904223
		out[i] = byte(seed >> 24)
	}
	return out
}

// The shards of a destination are in work together, as many as there are lanes, and each Publish waits for its own.
func TestLanes(t *testing.T) {
	full, release := make(chan struct{}), make(chan struct{})
	var working atomic.Int64
	b, err := inproc.New(bus.RouterOptions{Log: quiet, Retries: 1})
	if err != nil {
		t.Fatal(err)
	}
	b.Subscribe("a", func(context.Context, projection.Envelope) error {
		if working.Add(1) == inproc.Lanes {
			close(full)
		}
		<-release
		return nil
	})
	ended := make(chan error, 1)
	go func() { ended <- b.Run(context.Background()) }()
	<-b.Running()
	published := make(chan error, inproc.Lanes)
	for shard := range eventstore.Shard(inproc.Lanes) {
		go func() { published <- b.Publish(t.Context(), "a", projection.Envelope{Shard: shard, To: 1}) }()
	}
	select {
	case <-full:
	case <-time.After(10 * time.Second):
		t.Error("the messages are not in work together")
	}
	select {
	case err := <-published:
		t.Errorf("Publish returned %v with its message in work", err)
	default:
	}
	close(release)
	for range inproc.Lanes {
		if err := <-published; err != nil {
			t.Error(err)
		}
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// What is too large for a message arrives as a pointer.
func TestPointer(t *testing.T) {
	m := projtest.NewMemory()
	m.Append(3)
	m.Change(2, func(e *eventstore.Event) { e.Private = noise(100 << 10) })
	k := &taker{}
	b, stop := start(t, bus.RouterOptions{}, map[string]*taker{"a": k})
	defer stop()
	if err := b.Publish(t.Context(), "a", envelope(m, t, 0, 3)); err != nil {
		t.Fatal(err)
	}
	if want := []projection.Envelope{{To: 3, Pointer: true}}; !reflect.DeepEqual(k.took, want) {
		t.Errorf("took %+v, want %+v", k.took, want)
	}
}

// Store, relay, bus and runner together: everything arrives once, also with handlers that fail now and then.
func TestLine(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	m := projtest.NewMemory()
	db, err := relay.Open(ctx, t.TempDir()+"/relay.db")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	calls := 0
	c := &projtest.Counter{Before: func(projection.Envelope) error {
		if calls++; calls%5 == 0 {
			return errors.New("now and then")
		}
		return nil
	}}
	runner := projection.NewRunner(c, m, db, projection.RunnerOptions{Log: quiet})
	b, err := inproc.New(bus.RouterOptions{Log: quiet, Backoff: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	b.Subscribe(runner.Name(), runner.Handle)
	var parts sync.WaitGroup
	for _, run := range []func(context.Context) error{b.Run, relay.New(m, b, db, []string{runner.Name()}, relay.Options{Page: 50, Log: quiet}).Run} {
		parts.Go(func() { _ = run(ctx) })
	}
	for range 40 {
		m.Append(25)
		time.Sleep(time.Millisecond)
	}
	deadline := time.Now().Add(20 * time.Second)
	for {
		done, err := c.Progress(ctx, 0)
		if err != nil {
			t.Fatal(err)
		}
		if done.Cursor() == 1000 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("progress %v", done)
		}
		time.Sleep(time.Millisecond)
	}
	for o := eventstore.Offset(1); o <= 1000; o++ {
		if c.Times(o) != 1 {
			t.Fatalf("event %d took effect %d times", o, c.Times(o))
		}
	}
	cancel()
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	parts.Wait()
}
