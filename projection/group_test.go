package projection_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"auditlog/eventstore"
	"auditlog/projection"
	"auditlog/projection/projtest"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// crowd hands envelopes to a runner while it is at work on the one before them, and then lets it go on.
type crowd struct {
	m       *projtest.Memory
	c       *projtest.Counter
	parking *memoryParking
	r       *projection.Runner
	mu      sync.Mutex // guards applied
	applied []projection.Range
}

// newCrowd makes a log of n events. check decides about each envelope that is applied.
func newCrowd(n int, check func(projection.Envelope) error) *crowd {
	w := &crowd{m: projtest.NewMemory(), c: &projtest.Counter{}, parking: &memoryParking{}}
	w.m.Append(n)
	w.c.Before = check
	w.c.After = func(env projection.Envelope) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.applied = append(w.applied, projection.Range{From: env.From, To: env.To})
		return nil
	}
	w.r = projection.NewRunner(w.c, w.m, w.parking, projection.RunnerOptions{Log: quiet})
	return w
}

func (w *crowd) envelope(t *testing.T, from, to eventstore.Offset) projection.Envelope {
	t.Helper()
	env, err := projection.ReadEnvelope(t.Context(), w.m, 0, projection.Range{From: from, To: to}, int(to))
	if err != nil {
		t.Fatal(err)
	}
	return env
}

// handle applies (0, first] and, once all others wait behind it, those. It gives the error of each of them.
func (w *crowd) handle(t *testing.T, first eventstore.Offset, others ...projection.Envelope) []error {
	t.Helper()
	check, started, release := w.c.Before, make(chan struct{}), make(chan struct{})
	var once sync.Once
	w.c.Before = func(env projection.Envelope) error {
		once.Do(func() { close(started); <-release })
		if check != nil {
			return check(env)
		}
		return nil
	}
	var all sync.WaitGroup
	all.Go(func() {
		if err := w.r.Handle(t.Context(), w.envelope(t, 0, first)); err != nil {
			t.Errorf("the first: %v", err)
		}
	})
	<-started
	errs := make([]error, len(others))
	for i, env := range others {
		all.Go(func() { errs[i] = w.r.Handle(t.Context(), env) })
		for deadline := time.Now().Add(10 * time.Second); w.r.Waiting() <= i; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%d envelopes wait", w.r.Waiting())
			}
		}
	}
	close(release)
	all.Wait()
	if n := w.r.Waiting(); n != 0 {
		t.Errorf("%d envelopes were left behind", n)
	}
	return errs
}

// times checks that every event of (0, last] but those in missing took effect once.
func (w *crowd) times(t *testing.T, last eventstore.Offset, missing ...eventstore.Offset) {
	t.Helper()
	for o := eventstore.Offset(1); o <= last; o++ {
		want := 1
		if slices.Contains(missing, o) {
			want = 0
		}
		if w.c.Times(o) != want {
			t.Errorf("event %d took effect %d times, want %d", o, w.c.Times(o), want)
		}
	}
}

// What waits goes together: adjoining, overlapping, nested and repeated envelopes at once, those apart or of another
// epoch by themselves.
func TestWaitingEnvelopesGoTogether(t *testing.T) {
	w := newCrowd(60, nil)
	whole := w.envelope(t, 20, 30)
	w.m.Remove(func(o eventstore.Offset) bool { return o == 25 }) // between two reads
	newer := w.envelope(t, 30, 40)
	newer.Epoch = 7
	errs := w.handle(t, 10, w.envelope(t, 10, 12), whole, w.envelope(t, 10, 20), w.envelope(t, 15, 27), w.envelope(t, 10, 20),
		w.envelope(t, 22, 24), w.envelope(t, 50, 60), newer)
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	w.times(t, 40)
	slices.SortFunc(w.applied, func(a, b projection.Range) int { return int(a.From - b.From) })
	if want := []projection.Range{{From: 0, To: 10}, {From: 10, To: 30}, {From: 30, To: 40}, {From: 50, To: 60}}; !slices.Equal(w.applied, want) {
		t.Errorf("applied %v, want %v", w.applied, want)
	}
}

func TestGroupsAreBounded(t *testing.T) {
	w := newCrowd(10_001, func(env projection.Envelope) error {
		if len(env.Events) > 4096 {
			return errors.New("too many events at once")
		}
		return nil
	})
	var others []projection.Envelope
	for at := eventstore.Offset(1); at < 10_001; at += 1000 {
		others = append(others, w.envelope(t, at, at+1000))
	}
	if err := errors.Join(w.handle(t, 1, others...)...); err != nil {
		t.Fatal(err)
	}
	w.times(t, 10_001)
	if n := len(w.applied); n > 6 {
		t.Errorf("%d transactions", n)
	}
}

// A bad event in a group is parked, it alone, and all others take effect once.
func TestPoisonInAGroup(t *testing.T) {
	w := newCrowd(50, poisonous(map[eventstore.Offset]bool{26: true}))
	errs := w.handle(t, 10, w.envelope(t, 10, 20), w.envelope(t, 20, 30), w.envelope(t, 30, 40), w.envelope(t, 40, 50))
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	w.times(t, 50, 26)
	if p := w.parking.parked; len(p) != 1 || p[0].Range != (projection.Range{From: 25, To: 26}) {
		t.Errorf("parked %+v", p)
	}
}

// A failure that may pass is told to the envelope that meets it when alone, and to no other of its group.
func TestFailureInAGroup(t *testing.T) {
	w := newCrowd(40, func(env projection.Envelope) error {
		if env.From < 25 && env.To >= 25 {
			return errors.New("disk is away")
		}
		return nil
	})
	errs := w.handle(t, 10, w.envelope(t, 10, 20), w.envelope(t, 20, 30), w.envelope(t, 30, 40))
	if errs[0] != nil || errs[1] == nil || errs[2] != nil || len(w.parking.parked) != 0 {
		t.Errorf("errors %v, parked %v", errs, w.parking.parked)
	}
	done, _ := w.c.Progress(t.Context(), 0)
	if want := (projection.Ranges{{From: 0, To: 20}, {From: 30, To: 40}}); !slices.Equal(done, want) {
		t.Errorf("progress %v, want %v", done, want)
	}
}

// A caller whose time is up fails by itself: the others of its group go on.
func TestEndedCallerInAGroup(t *testing.T) {
	w := newCrowd(30, nil)
	ended, cancel := context.WithCancel(t.Context())
	p := &impatient{Counter: w.c}
	w.r = projection.NewRunner(p, w.m, w.parking, projection.RunnerOptions{Log: quiet})
	release := make(chan struct{})
	p.before = func() { <-release }
	var all sync.WaitGroup
	errs := make([]error, 4)
	for i, ctx := range []context.Context{t.Context(), ended, ended, t.Context()} {
		from := eventstore.Offset(i * 5)
		env := w.envelope(t, from, from+5)
		all.Go(func() { errs[i] = w.r.Handle(ctx, env) })
	}
	for deadline := time.Now().Add(10 * time.Second); w.r.Waiting() < 3; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the envelopes do not wait")
		}
	}
	cancel()
	close(release)
	all.Wait()
	if errs[0] != nil || errs[3] != nil {
		t.Errorf("callers with time left: %v", errs)
	}
	done, _ := w.c.Progress(t.Context(), 0)
	for i, err := range errs {
		if from := eventstore.Offset(i * 5); err == nil && !done.Covers(projection.Range{From: from, To: from + 5}) {
			t.Errorf("(%d, %d] was acknowledged and is not applied", from, from+5)
		}
	}
}

// impatient fails when its context has ended.
type impatient struct {
	*projtest.Counter
	before func()
}

func (p *impatient) Apply(ctx context.Context, env projection.Envelope) error {
	p.before()
	if err := ctx.Err(); err != nil {
		return err
	}
	return p.Counter.Apply(ctx, env)
}

// Many callers with envelopes of any cut, in any order and repeated: what was acknowledged is applied, every event once,
// and a sweep brings the rest.
func TestConcurrentHandle(t *testing.T) {
	for seed := range uint64(30) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		m, c := projtest.NewMemory(), &projtest.Counter{}
		m.Append(400)
		bad := map[eventstore.Offset]bool{eventstore.Offset(1 + rnd.IntN(400)): true}
		calls, every := 0, 3+rnd.IntN(9)
		poison := poisonous(bad)
		c.Before = func(env projection.Envelope) error {
			if calls++; calls%every == 0 {
				return errors.New("now and then")
			}
			return poison(env)
		}
		parking := &memoryParking{}
		r := projection.NewRunner(c, m, parking, projection.RunnerOptions{Log: quiet})
		sent := slices.Concat(envelopes(m, 1+rnd.IntN(40)), envelopes(m, 1+rnd.IntN(40)))
		rnd.Shuffle(len(sent), func(i, j int) { sent[i], sent[j] = sent[j], sent[i] })
		var all sync.WaitGroup
		for n := range 8 {
			all.Go(func() {
				for i := n; i < len(sent); i += 8 {
					err := r.Handle(t.Context(), sent[i])
					done, _ := c.Progress(t.Context(), 0)
					if err == nil && !done.Covers(projection.Range{From: sent[i].From, To: sent[i].To}) {
						t.Errorf("seed %d: (%d, %d] was acknowledged and is not applied", seed, sent[i].From, sent[i].To)
					}
				}
			})
		}
		all.Wait()
		every = 1 << 30 // sound again
		if err := r.Sweep(t.Context(), 0); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for o := eventstore.Offset(1); o <= 400; o++ {
			want := 1
			if bad[o] {
				want = 0
			}
			if c.Times(o) != want {
				t.Errorf("seed %d: event %d took effect %d times, want %d", seed, o, c.Times(o), want)
			}
		}
		if len(parking.parked) != 1 {
			t.Errorf("seed %d: parked %+v", seed, parking.parked)
		}
	}
}
