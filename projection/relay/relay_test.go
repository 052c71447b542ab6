package relay_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"auditlog/eventstore"
	"auditlog/projection"
	"auditlog/projection/projtest"
	"auditlog/projection/relay"
)

// bus keeps what was published and fails as told.
type bus struct {
	mu   sync.Mutex // guards took
	took map[string][]projection.Envelope
	fail func(destination string, n int) error // n: envelopes taken so far
}

func (b *bus) Publish(ctx context.Context, destination string, env projection.Envelope) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fail != nil {
		if err := b.fail(destination, len(b.took[destination])); err != nil {
			return err
		}
	}
	if b.took == nil {
		b.took = map[string][]projection.Envelope{}
	}
	b.took[destination] = append(b.took[destination], env)
	return nil
}

func (b *bus) of(destination string) []projection.Envelope {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.took[destination])
}

// cursors in memory, for tests in virtual time.
type cursors struct {
	mu sync.Mutex // guards at
	at map[string]eventstore.Offset
}

func (c *cursors) Load(_ context.Context, _ eventstore.Shard, d string) (eventstore.Offset, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at[d], nil
}

func (c *cursors) Save(_ context.Context, _ eventstore.Shard, d string, _ uint64, o eventstore.Offset) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.at == nil {
		c.at = map[string]eventstore.Offset{}
	}
	c.at[d] = o
	return nil
}

// tiles fails unless the envelopes tile (from, to] and hold the offsets.
func tiles(t *testing.T, envs []projection.Envelope, from, to eventstore.Offset, offsets []eventstore.Offset) {
	t.Helper()
	var got []eventstore.Offset
	for _, env := range envs {
		if env.From != from || env.To <= env.From || env.Epoch != 1 {
			t.Fatalf("envelope (%d, %d], epoch %d, does not follow %d", env.From, env.To, env.Epoch, from)
		}
		from = env.To
		for _, e := range env.Events {
			got = append(got, e.Offset)
		}
	}
	if from != to || !slices.Equal(got, offsets) {
		t.Fatalf("envelopes end at %d with %d events, want %d with %d", from, len(got), to, len(offsets))
	}
}

func start(t *testing.T, r *relay.Relay) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	return func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	}
}

func TestTilesExactly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, b, c := projtest.NewMemory(), &bus{}, &cursors{}
		m.Append(1000)
		m.Remove(func(o eventstore.Offset) bool { return o%7 == 0 || o > 990 })
		defer start(t, relay.New(m, b, c, []string{"a", "b"}, relay.Options{Page: 64}))()
		time.Sleep(time.Second)
		for _, d := range []string{"a", "b"} {
			tiles(t, b.of(d), 0, 1000, m.Offsets())
		}
		for range 50 {
			m.Append(3)
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Second)
		tiles(t, b.of("a"), 0, 1150, m.Offsets())
	})
}

// Lanes that are as far as each other read the store once.
func TestLanesShareReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, b := projtest.NewMemory(), &bus{}
		var reads atomic.Int64
		m.Fail = func() error { reads.Add(1); return nil }
		defer start(t, relay.New(m, b, &cursors{}, []string{"a", "b", "c", "d"}, relay.Options{}))()
		for range 50 {
			m.Append(100)
			time.Sleep(time.Second)
		}
		for _, d := range []string{"a", "b", "c", "d"} {
			tiles(t, b.of(d), 0, 5000, m.Offsets())
		}
		if n := reads.Load(); n > 50 { // each alone would read 200 times
			t.Errorf("%d reads for 50 pages", n)
		}
	})
}

// A destination that wants few events gets those, in envelopes that tile the shard like the others'.
func TestWants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, b := projtest.NewMemory(), &bus{}
		m.Append(300)
		few := func(eventstore.Type) bool { return false }
		defer start(t, relay.New(m, b, &cursors{}, []string{"all", "few"}, relay.Options{Page: 64, Wants: map[string]func(eventstore.Type) bool{"few": few}}))()
		time.Sleep(time.Second)
		tiles(t, b.of("all"), 0, 300, m.Offsets())
		tiles(t, b.of("few"), 0, 300, nil)
	})
}

// A destination that fails is tried again from where it was and holds up no other.
func TestBrokenDestinationBlocksNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, c := projtest.NewMemory(), &cursors{}
		healed := make(chan struct{})
		b := &bus{fail: func(d string, n int) error {
			select {
			case <-healed:
				return nil
			default:
			}
			if d == "bad" && n == 2 {
				return errors.New("queue is down")
			}
			return nil
		}}
		m.Append(100)
		var failures atomic.Int64
		r := relay.New(m, b, c, []string{"bad", "good"}, relay.Options{Page: 10, Failed: func(string, error) { failures.Add(1) }})
		defer start(t, r)()
		time.Sleep(time.Minute)
		tiles(t, b.of("good"), 0, 100, m.Offsets())
		tiles(t, b.of("bad"), 0, 20, m.Offsets()[:20])
		if at, _ := c.Load(t.Context(), 0, "bad"); at != 20 {
			t.Errorf("cursor of the broken destination is %d, want 20", at)
		}
		if n := failures.Load(); n < 10 || n > 100 {
			t.Errorf("%d tries in a minute", n)
		}
		close(healed)
		time.Sleep(10 * time.Second)
		tiles(t, b.of("bad"), 0, 100, m.Offsets())
	})
}

// An idle lane publishes at once; a busy one gathers, never longer than the linger.
func TestLinger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, b := projtest.NewMemory(), &bus{}
		defer start(t, relay.New(m, b, &cursors{}, []string{"a"}, relay.Options{Linger: 50 * time.Millisecond}))()
		synctest.Wait()
		began := time.Now()
		m.Append(1)
		synctest.Wait()
		if len(b.of("a")) != 1 || time.Since(began) != 0 {
			t.Fatalf("idle: %d envelopes after %v", len(b.of("a")), time.Since(began))
		}
		for range 100 {
			m.Append(1)
			time.Sleep(time.Millisecond)
		}
		time.Sleep(50 * time.Millisecond)
		synctest.Wait()
		if n := len(b.of("a")); n < 3 || n > 5 {
			t.Errorf("100 events in 100 ms made %d envelopes, want about 3", n-1)
		}
		tiles(t, b.of("a"), 0, 101, m.Offsets())
	})
}

// After a restart the relay goes on where the bus took the last envelope.
func TestCursorsSurvive(t *testing.T) {
	path := filepath.Join(t.TempDir(), "relay.db")
	m := projtest.NewMemory()
	var before eventstore.Offset
	for range 3 {
		m.Append(40)
		db, err := relay.Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		b := &bus{}
		stop := start(t, relay.New(m, b, db, []string{"a"}, relay.Options{Page: 16}))
		deadline := time.Now().Add(10 * time.Second)
		for {
			at, err := db.Load(t.Context(), 0, "a")
			if err != nil {
				t.Fatal(err)
			}
			if at == before+40 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("the cursor stays at %d", at)
			}
			time.Sleep(time.Millisecond)
		}
		stop()
		tiles(t, b.of("a"), before, before+40, m.Offsets()[before:])
		before += 40
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestParkingSurvives(t *testing.T) {
	path := filepath.Join(t.TempDir(), "relay.db")
	p := projection.Parked{Destination: "search", Range: projection.Range{From: 4, To: 5}, Reason: "first", At: 1}
	other := projection.Parked{Destination: "stats", Range: projection.Range{From: 1, To: 2}, Reason: "x", At: 1}
	for i := range 2 {
		db, err := relay.Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			for _, q := range []projection.Parked{p, other, {Destination: "search", Range: p.Range, Reason: "again", At: 2}} {
				if err := db.Park(t.Context(), q); err != nil {
					t.Fatal(err)
				}
			}
		}
		got, err := db.Parked(t.Context(), "search")
		if err != nil || len(got) != 1 || got[0].Reason != "again" || got[0].Range != p.Range || got[0].At != 2 {
			t.Fatalf("parked %+v, %v", got, err)
		}
		if i == 1 {
			if err := db.Unpark(t.Context(), p); err != nil {
				t.Fatal(err)
			}
			if got, err := db.Parked(t.Context(), "search"); err != nil || len(got) != 0 {
				t.Fatalf("after unparking: %+v, %v", got, err)
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
