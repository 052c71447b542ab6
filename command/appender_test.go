package command_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"auditlog/command"
	"auditlog/eventstore"
	"auditlog/internal/fault"
)

// strictLog is a store that complains about misuse and fails on order: before the effect, or after it, its answer lost.
type strictLog struct {
	mu      sync.Mutex
	flushes map[eventstore.FlushID][]eventstore.Outcome
	events  map[eventstore.EventID]eventstore.Position
	keys    map[[32]byte]eventstore.Outcome
	sizes   []int // drafts of each stored flush
	last    eventstore.Position
	flying  atomic.Int32
	misuse  []string
	refuse  eventstore.EventID                   // a draft that breaks every flush it is in
	fail    func(call int) (before, after error) // nil: never
	calls   int
	entered chan struct{} // when set, told of each call
	proceed chan struct{} // when set, each call waits for it
}

func newStrictLog() *strictLog {
	return &strictLog{flushes: map[eventstore.FlushID][]eventstore.Outcome{}, events: map[eventstore.EventID]eventstore.Position{}, keys: map[[32]byte]eventstore.Outcome{}}
}

func (l *strictLog) Append(ctx context.Context, f eventstore.Flush) ([]eventstore.Outcome, error) {
	if l.flying.Add(1) > 1 {
		l.complain("two flushes are in flight")
	}
	defer l.flying.Add(-1)
	if l.entered != nil {
		l.entered <- struct{}{}
	}
	if l.proceed != nil {
		select {
		case <-l.proceed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls++
	var before, after error
	if l.fail != nil {
		before, after = l.fail(l.calls)
	}
	if before != nil {
		return nil, before
	}
	out, known := l.flushes[f.ID]
	if !known {
		var err error
		if out, err = l.store(f); err != nil {
			return nil, err
		}
	}
	return out, after
}

func (l *strictLog) complain(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.misuse = append(l.misuse, what)
}

func (l *strictLog) store(f eventstore.Flush) ([]eventstore.Outcome, error) {
	for _, u := range f.Units {
		for _, d := range u.Drafts {
			if d.ID == l.refuse {
				return nil, errors.New("constraint failed")
			}
		}
	}
	var out []eventstore.Outcome
	for _, u := range f.Units {
		for _, d := range u.Drafts {
			out = append(out, l.draft(d))
		}
	}
	l.flushes[f.ID] = out
	l.sizes = append(l.sizes, len(out))
	return out, nil
}

func (l *strictLog) draft(d eventstore.Draft) eventstore.Outcome {
	if d.Idempotency != nil {
		if first, known := l.keys[d.Idempotency.Token]; known {
			first.Status = eventstore.Replayed
			return first
		}
	}
	if _, twice := l.events[d.ID]; twice {
		l.misuse = append(l.misuse, fmt.Sprintf("event %s was sent in two flushes", d.ID))
	}
	l.last++
	l.events[d.ID] = l.last
	o := eventstore.Outcome{Status: eventstore.Stored, ID: d.ID, Position: l.last}
	if d.Idempotency != nil {
		l.keys[d.Idempotency.Token] = o
	}
	return o
}

func (l *strictLog) check(t interface{ Errorf(string, ...any) }) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.misuse) > 0 {
		t.Errorf("the store was misused: %s", strings.Join(l.misuse, "; "))
	}
}

func unit(drafts int) eventstore.Unit {
	u := eventstore.Unit{Tenant: eventstore.TenantID{1}, Drafts: make([]eventstore.Draft, drafts)}
	for i := range u.Drafts {
		u.Drafts[i] = eventstore.Draft{ID: eventstore.NewEventID(), Type: eventstore.EntryRecorded, Public: make([]byte, 100), Private: make([]byte, 300)}
	}
	return u
}

var quick = command.AppenderOptions{Backoff: time.Microsecond}

func closed(t *testing.T, a *command.Appender) {
	t.Helper()
	if err := a.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

// A caller alone is flushed by its own goroutine: no other one exists when the store is called.
func TestAloneIsFlushedAtOnce(t *testing.T) {
	log := newStrictLog()
	a := command.NewAppender(log, 1, quick)
	defer closed(t, a)
	for i := range 3 {
		u := unit(1)
		out, err := a.Submit(context.Background(), 0, u)
		if err != nil || len(out) != 1 || out[0].ID != u.Drafts[0].ID || out[0].Position != eventstore.Position(i+1) {
			t.Errorf("got %+v, %v", out, err)
		}
	}
	if !slices.Equal(log.sizes, []int{1, 1, 1}) {
		t.Errorf("flushes of %v", log.sizes)
	}
	log.check(t)
}

// What arrives during a flush makes up the next ones, in order of arrival, within the caps; a unit is never split.
func TestCollectsDuringAFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newStrictLog()
		log.proceed = make(chan struct{})
		a := command.NewAppender(log, 1, command.AppenderOptions{FlushEntries: 4, Wait: time.Hour, FlushTimeout: time.Hour})
		positions := make([]eventstore.Position, 7)
		for i, n := range []int{1, 1, 2, 2, 9, 1, 1} {
			go func() {
				out, err := a.Submit(context.Background(), 0, unit(n))
				if err != nil {
					t.Error(err)
					return
				}
				positions[i] = out[0].Position
			}()
			synctest.Wait()
		}
		close(log.proceed)
		synctest.Wait()
		if want := []int{1, 3, 2, 9, 2}; !slices.Equal(log.sizes, want) {
			t.Errorf("flushes of %v, want %v", log.sizes, want)
		}
		if want := []eventstore.Position{1, 2, 3, 5, 7, 16, 17}; !slices.Equal(positions, want) {
			t.Errorf("positions %v, want %v", positions, want)
		}
		closed(t, a)
		log.check(t)
	})
}

func TestFlushBytesCap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newStrictLog()
		log.proceed = make(chan struct{})
		a := command.NewAppender(log, 1, command.AppenderOptions{FlushBytes: 1000, Wait: time.Hour, FlushTimeout: time.Hour})
		for range 6 {
			go a.Submit(context.Background(), 0, unit(1)) //nolint:errcheck // the sizes tell
			synctest.Wait()
		}
		close(log.proceed)
		synctest.Wait()
		if want := []int{1, 2, 2, 1}; !slices.Equal(log.sizes, want) { // 496 bytes each
			t.Errorf("flushes of %v, want %v", log.sizes, want)
		}
		closed(t, a)
	})
}

// A caller who leaves takes its waiting unit along; one whose unit is being flushed changes nothing for others.
func TestCallerLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newStrictLog()
		log.proceed = make(chan struct{})
		a := command.NewAppender(log, 1, command.AppenderOptions{Wait: time.Hour, FlushTimeout: time.Hour})
		submit := func(ctx context.Context, u eventstore.Unit) chan error {
			done := make(chan error, 1)
			go func() {
				_, err := a.Submit(ctx, 0, u)
				done <- err
			}()
			synctest.Wait()
			return done
		}
		background := context.Background()
		leading := submit(background, unit(1))
		flyingCtx, leaveFlight := context.WithCancel(background)
		flying, neighbour := unit(1), unit(1)
		left, stays := submit(flyingCtx, flying), submit(background, neighbour)
		log.proceed <- struct{}{} // the first flush ends, both fly
		synctest.Wait()
		waitingCtx, leaveQueue := context.WithCancel(background)
		waiting := unit(1)
		gone := submit(waitingCtx, waiting)
		leaveFlight()
		leaveQueue()
		synctest.Wait()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("in flight: %v", err)
		}
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Errorf("waiting: %v", err)
		}
		close(log.proceed)
		if err := errors.Join(<-leading, <-stays); err != nil {
			t.Error(err)
		}
		closed(t, a)
		if log.events[flying.Drafts[0].ID] == 0 || log.events[neighbour.Drafts[0].ID] == 0 || log.events[waiting.Drafts[0].ID] != 0 {
			t.Errorf("stored are %v", log.events)
		}
		log.check(t)
	})
}

func TestEndedContextSubmitsNothing(t *testing.T) {
	log := newStrictLog()
	a := command.NewAppender(log, 1, quick)
	defer closed(t, a)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := a.Submit(ctx, 0, unit(1)); !errors.Is(err, context.Canceled) || log.calls != 0 {
		t.Errorf("got %v after %d calls", err, log.calls)
	}
}

// Waiting in vain: what never had its turn is refused, what flies is unknown.
func TestWaitsNoLongerThanItMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newStrictLog()
		log.proceed = make(chan struct{})
		a := command.NewAppender(log, 1, command.AppenderOptions{Wait: 10 * time.Second, FlushTimeout: 15 * time.Second})
		kinds := make(chan fault.Kind, 2)
		submit := func() {
			_, err := a.Submit(context.Background(), 0, unit(1))
			kinds <- fault.KindOf(err)
		}
		start := time.Now()
		go submit() // leads; its flush ends at 15 s
		synctest.Wait()
		go submit()
		if got := <-kinds; got != fault.Overloaded || time.Since(start) != 10*time.Second {
			t.Errorf("waiting: %v after %v", got, time.Since(start))
		}
		if got := <-kinds; got != fault.Unavailable || time.Since(start) != 15*time.Second {
			t.Errorf("flying: %v after %v", got, time.Since(start))
		}
		closed(t, a)
	})
}

func TestLostAnswersAreRetriedWithTheSameFlush(t *testing.T) {
	down := fault.New(fault.Unavailable, "down")
	for name, fail := range map[string]func(int) (before, after error){
		"before, thrice":  func(call int) (error, error) { return when(call <= 3, down), nil },
		"after, thrice":   func(call int) (error, error) { return nil, when(call <= 3, down) },
		"unknown, before": func(call int) (error, error) { return when(call <= 1, errors.New("?")), nil },
		"unknown, after":  func(call int) (error, error) { return nil, when(call <= 1, errors.New("?")) },
	} {
		log := newStrictLog()
		log.fail = fail
		a := command.NewAppender(log, 1, quick)
		out, err := a.Submit(context.Background(), 0, unit(3))
		if err != nil || len(out) != 3 || out[2].Position != 3 || log.last != 3 {
			t.Errorf("%s: got %+v, %v, %d stored", name, out, err, log.last)
		}
		closed(t, a)
		log.check(t)
	}
}

func when(yes bool, err error) error {
	if yes {
		return err
	}
	return nil
}

func TestGivesUpInTheEnd(t *testing.T) {
	for kind, calls := range map[fault.Kind]int{fault.Unavailable: 5, fault.Internal: 2, fault.Clock: 1, fault.Overloaded: 1} {
		log := newStrictLog()
		log.fail = func(int) (error, error) { return fault.New(kind, "no"), nil }
		a := command.NewAppender(log, 1, quick)
		if _, err := a.Submit(context.Background(), 0, unit(1)); !fault.Is(err, kind) || log.calls != calls {
			t.Errorf("%v: got %v after %d calls, want %d", kind, err, log.calls, calls)
		}
		closed(t, a)
	}
}

// One unit that the store cannot take fails alone.
func TestBadUnitFailsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newStrictLog()
		log.proceed = make(chan struct{})
		a := command.NewAppender(log, 1, command.AppenderOptions{Wait: time.Hour, FlushTimeout: time.Hour})
		units := make([]eventstore.Unit, 11)
		for i := range units {
			units[i] = unit(1 + i%3)
		}
		log.refuse = units[6].Drafts[0].ID
		failed := make([]error, len(units))
		for i, u := range units {
			go func() { _, failed[i] = a.Submit(context.Background(), 0, u) }()
			synctest.Wait()
		}
		close(log.proceed)
		closed(t, a)
		synctest.Wait()
		for i, u := range units {
			bad, there := i == 6, log.events[u.Drafts[0].ID] != 0
			if (failed[i] != nil) != bad || there == bad {
				t.Errorf("unit %d: error %v, stored %v", i, failed[i], there)
			}
		}
		log.check(t)
	})
}

func TestCloseDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newStrictLog()
		log.proceed = make(chan struct{})
		a := command.NewAppender(log, 2, command.AppenderOptions{Wait: time.Hour, FlushTimeout: time.Hour})
		var answered atomic.Int32
		for range 20 {
			go func() {
				if _, err := a.Submit(context.Background(), 1, unit(1)); err == nil {
					answered.Add(1)
				}
			}()
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := a.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("close before the end: %v", err)
		}
		if _, err := a.Submit(context.Background(), 1, unit(1)); !fault.Is(err, fault.Overloaded) {
			t.Errorf("submit after close: %v", err)
		}
		close(log.proceed)
		closed(t, a)
		closed(t, a)
		synctest.Wait()
		if answered.Load() != 20 || log.last != 20 {
			t.Errorf("%d answered, %d stored", answered.Load(), log.last)
		}
		log.check(t)
	})
}

func TestNoSuchShard(t *testing.T) {
	a := command.NewAppender(newStrictLog(), 1, quick)
	defer closed(t, a)
	if _, err := a.Submit(context.Background(), 1, unit(1)); err == nil {
		t.Error("a shard that is not there was taken")
	}
	if out, err := a.Submit(context.Background(), 0, eventstore.Unit{}); err != nil || out != nil {
		t.Errorf("nothing to append: %v, %v", out, err)
	}
}

// watcher notes what an appender tells.
type watcher struct {
	mu      sync.Mutex
	refused []string
	flushed []int
	waited  []time.Duration
}

func (w *watcher) Refused(_ eventstore.Shard, why string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refused = append(w.refused, why)
}

func (w *watcher) Flushed(_ eventstore.Shard, units, entries int, waited, _ time.Duration, _ error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.flushed, w.waited = append(w.flushed, units, entries), append(w.waited, waited)
}

// An observer hears of every flush and refusal; how much waits can be asked at any time.
func TestObserver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, seen := newStrictLog(), &watcher{}
		log.proceed = make(chan struct{})
		a := command.NewAppender(log, 2, command.AppenderOptions{Observer: seen, Wait: time.Hour, FlushTimeout: time.Hour})
		for _, n := range []int{1, 2, 3} {
			go a.Submit(context.Background(), 1, unit(n)) //nolint:errcheck // the watcher tells
			synctest.Wait()
			time.Sleep(time.Second)
		}
		if entries, bytes := a.Waiting(1); entries != 5 || bytes != 5*496 {
			t.Errorf("%d entries of %d bytes wait", entries, bytes)
		}
		if entries, bytes := a.Waiting(0); entries != 0 || bytes != 0 {
			t.Errorf("%d entries of %d bytes wait on an idle lane", entries, bytes)
		}
		close(log.proceed)
		closed(t, a)
		if entries, bytes := a.Waiting(1); entries != 0 || bytes != 0 {
			t.Errorf("%d entries of %d bytes wait in the end", entries, bytes)
		}
		if _, err := a.Submit(context.Background(), 1, unit(1)); err == nil {
			t.Error("an append after the end")
		}
		if !slices.Equal(seen.flushed, []int{1, 1, 2, 5}) || !slices.Equal(seen.waited, []time.Duration{0, 2 * time.Second}) {
			t.Errorf("flushed %v, waited %v", seen.flushed, seen.waited)
		}
		if !slices.Equal(seen.refused, []string{command.RefusedStopping}) {
			t.Errorf("refused %v", seen.refused)
		}
	})
}

// TestRetriesNeverDuplicate runs callers that retry with their key until acknowledged, against a store that fails before
// and after the effect: in the end each key is stored once, and all its answers are alike.
func TestRetriesNeverDuplicate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		log := newStrictLog()
		faults := rapid.SliceOfN(rapid.IntRange(0, 5), 20, 60).Draw(t, "faults")
		log.fail = func(call int) (before, after error) {
			if call > len(faults) {
				return nil, nil
			}
			switch faults[call-1] {
			case 0:
				return fault.New(fault.Unavailable, "before"), nil
			case 1:
				return nil, fault.New(fault.Unavailable, "after")
			case 2:
				return errors.New("before"), nil
			case 3:
				return nil, fault.New(fault.Clock, "after") // a liar: no retry here, so the caller's own must do
			}
			return nil, nil
		}
		o := quick
		o.Retries = rapid.IntRange(1, 3).Draw(t, "retries")
		o.FlushEntries = rapid.IntRange(1, 8).Draw(t, "flush entries")
		a := command.NewAppender(log, 1, o)
		callers, keys := rapid.IntRange(1, 12).Draw(t, "callers"), rapid.IntRange(1, 4).Draw(t, "keys")
		got := make([]eventstore.Outcome, callers)
		var wg sync.WaitGroup
		for i := range callers {
			wg.Go(func() { got[i] = persist(a, byte(i%keys)) })
		}
		wg.Wait()
		if err := a.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		if stored := len(log.events); stored != min(keys, callers) || int(log.last) != stored {
			t.Errorf("%d events are stored for %d keys", stored, min(keys, callers))
		}
		for i, o := range got {
			if o.Position != got[i%keys].Position || o.ID != got[i%keys].ID {
				t.Errorf("caller %d got %+v, caller %d %+v", i, o, i%keys, got[i%keys])
			}
		}
		log.check(t)
	})
}

// persist submits one keyed draft until it is acknowledged, each time with an id of its own, as retried requests have.
func persist(a *command.Appender, key byte) eventstore.Outcome {
	for {
		u := unit(1)
		u.Drafts[0].Idempotency = &eventstore.Idempotency{Token: [32]byte{key}}
		if out, err := a.Submit(context.Background(), 0, u); err == nil {
			return out[0]
		}
	}
}
