package projection_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"auditlog/eventstore"
	"auditlog/projection"
	"auditlog/projection/projtest"
	"auditlog/projection/relay"
)

// memoryParking keeps parked ranges in memory.
type memoryParking struct{ parked []projection.Parked }

func (m *memoryParking) Park(ctx context.Context, p projection.Parked) error {
	_ = m.Unpark(ctx, p)
	m.parked = append(m.parked, p)
	return nil
}

func (m *memoryParking) Parked(_ context.Context, destination string) (out []projection.Parked, err error) {
	for _, p := range m.parked {
		if p.Destination == destination {
			out = append(out, p)
		}
	}
	return out, nil
}

func (m *memoryParking) Unpark(_ context.Context, p projection.Parked) error {
	m.parked = slices.DeleteFunc(m.parked, func(q projection.Parked) bool { return p.Range == q.Range && p.Destination == q.Destination })
	return nil
}

func envelopes(m *projtest.Memory, size int) (out []projection.Envelope) {
	head, _ := m.ShardHead(context.Background(), 0)
	for at := eventstore.Offset(0); at < head.Offset; {
		env, err := projection.ReadEnvelope(context.Background(), m, 0, projection.Range{From: at, To: head.Offset}, size)
		if err != nil {
			panic(err)
		}
		out, at = append(out, env), env.To
	}
	return out
}

// Whatever a bus drops, repeats and swaps, and wherever a crash falls between effect and range: after one sweep nothing
// is missing and every event that is not removed took effect.
func TestChaoticBusConverges(t *testing.T) {
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		m := projtest.NewMemory()
		m.Append(1 + rnd.IntN(60))
		m.Remove(func(eventstore.Offset) bool { return rnd.IntN(5) == 0 })
		c := &projtest.Counter{}
		c.After = func(projection.Envelope) error {
			if rnd.IntN(6) == 0 {
				return errors.New("crash between effect and range")
			}
			return nil
		}
		r := projection.NewRunner(c, m, &memoryParking{}, projection.RunnerOptions{Page: 1 + rnd.IntN(9)})
		var sent []projection.Envelope
		for _, env := range envelopes(m, 1+rnd.IntN(7)) {
			for range rnd.IntN(3) { // 0: dropped, 2: repeated
				if rnd.IntN(3) == 0 {
					env.Pointer, env.Events = true, nil
				}
				sent = append(sent, env)
			}
		}
		rnd.Shuffle(len(sent), func(i, j int) { sent[i], sent[j] = sent[j], sent[i] })
		for _, env := range sent {
			if err := r.Handle(t.Context(), env); err != nil && rnd.IntN(2) == 0 {
				_ = r.Handle(t.Context(), env) // delivered again; what fails is left to the sweeper
			}
		}
		for tries := 0; r.Sweep(t.Context(), 0) != nil; tries++ {
			if tries > 100 {
				t.Fatalf("seed %d: sweeps keep failing", seed)
			}
		}
		head, _ := m.ShardHead(t.Context(), 0)
		if done, _ := c.Progress(t.Context(), 0); done.Cursor() != head.Offset || len(done) != 1 {
			t.Fatalf("seed %d: progress %v, head %d", seed, done, head.Offset)
		}
		for _, o := range m.Offsets() {
			if c.Times(o) == 0 {
				t.Fatalf("seed %d: event %d never took effect", seed, o)
			}
		}
	}
}

// The sweeper fills everything at start, then what the bus lost within Sweep and Settle, and leaves what the bus is
// delivering alone.
func TestSweeperTiming(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, c := projtest.NewMemory(), &projtest.Counter{}
		m.Append(10)
		var swept int
		r := projection.NewRunner(c, m, &memoryParking{}, projection.RunnerOptions{Hooks: projection.Hooks{
			Swept: func(_ string, events int) { swept += events },
		}})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- r.Run(ctx) }()
		synctest.Wait()
		if swept != 10 {
			t.Fatalf("at start the sweeper brought %d events, want 10", swept)
		}
		m.Append(10)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if swept != 20 {
			t.Fatalf("with a silent bus the sweeper brought %d events within 10 s, want 20", swept)
		}
		m.Append(200)
		for _, env := range envelopes(m, 1)[20:] {
			if env.To != 100 { // one is lost
				if err := r.Handle(ctx, env); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if swept != 21 {
			t.Errorf("beside a bus that lost one event the sweeper brought %d, want 1", swept-20)
		}
		stop()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	})
}

// poisonous fails for the offsets in bad, half of them by a panic.
func poisonous(bad map[eventstore.Offset]bool) func(projection.Envelope) error {
	return func(env projection.Envelope) error {
		for _, e := range env.Events {
			if bad[e.Offset] {
				if e.Offset%2 == 0 {
					panic("bad event")
				}
				return &projection.Poison{Err: errors.New("bad event")}
			}
		}
		return nil
	}
}

func TestPoisonIsParkedAndStopsNothing(t *testing.T) {
	ctx := t.Context()
	m := projtest.NewMemory()
	m.Append(300)
	bad := map[eventstore.Offset]bool{7: true, 8: true, 100: true, 300: true}
	c := &projtest.Counter{Before: poisonous(bad)}
	db, err := relay.Open(ctx, filepath.Join(t.TempDir(), "relay.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	r := projection.NewRunner(c, m, db, projection.RunnerOptions{})
	for _, env := range envelopes(m, 64) {
		if err := r.Handle(ctx, env); err != nil {
			t.Fatal(err)
		}
	}
	done, _ := c.Progress(ctx, 0)
	if done.Cursor() != 300 {
		t.Fatalf("progress %v", done)
	}
	for o := eventstore.Offset(1); o <= 300; o++ {
		want := 1
		if bad[o] {
			want = 0
		}
		if c.Times(o) != want {
			t.Errorf("event %d took effect %d times, want %d", o, c.Times(o), want)
		}
	}
	parked, err := r.Parked(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var at []eventstore.Offset
	for _, p := range parked {
		at = append(at, p.Range.To)
		if p.Reason == "" || p.Range.To-p.Range.From != 1 {
			t.Errorf("parked %+v", p)
		}
	}
	if !slices.Equal(at, []eventstore.Offset{7, 8, 100, 300}) {
		t.Fatalf("parked %v", at)
	}
	delete(bad, 8)
	delete(bad, 100)
	delete(bad, 300)
	if n, err := r.Replay(ctx); n != 3 || err == nil {
		t.Errorf("replay with one still bad: %d, %v", n, err)
	}
	delete(bad, 7)
	if n, err := r.Replay(ctx); n != 1 || err != nil {
		t.Errorf("replay: %d, %v", n, err)
	}
	if parked, _ := r.Parked(ctx); len(parked) != 0 || c.Times(7) != 1 || c.Times(8) != 1 {
		t.Errorf("after the replay: parked %v, effects %d, %d", parked, c.Times(7), c.Times(8))
	}
}

// A transient failure parks nothing.
func TestTransientFailureIsNotParked(t *testing.T) {
	m := projtest.NewMemory()
	m.Append(4)
	fails := 1
	c := &projtest.Counter{Before: func(projection.Envelope) error {
		if fails--; fails >= 0 {
			return errors.New("disk is away")
		}
		return nil
	}}
	parking := &memoryParking{}
	r := projection.NewRunner(c, m, parking, projection.RunnerOptions{})
	env := envelopes(m, 10)[0]
	if err := r.Handle(t.Context(), env); err == nil {
		t.Fatal("the failure is not reported")
	}
	if err := r.Handle(t.Context(), env); err != nil || len(parking.parked) != 0 {
		t.Fatalf("second try: %v, parked %v", err, parking.parked)
	}
}

func TestHandleRefusesForeignShards(t *testing.T) {
	r := projection.NewRunner(&projtest.Counter{}, projtest.NewMemory(), &memoryParking{}, projection.RunnerOptions{})
	for _, env := range []projection.Envelope{{Shard: 1, To: 1}, {From: 2, To: 1}} {
		var poison *projection.Poison
		if err := r.Handle(t.Context(), env); !errors.As(err, &poison) {
			t.Errorf("envelope %+v: %v, want poison", env, err)
		}
	}
}
