package command

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"auditlog/eventstore"
	"auditlog/internal/fault"
)

// moodyLog stores the units of one tenant. With a mood it takes its time, and now and then fails before or after it has
// stored.
type moodyLog struct {
	mood   *rand.Rand
	mu     sync.Mutex
	stored []int // numbers of bulks, in order
}

func (l *moodyLog) Append(_ context.Context, f eventstore.Flush) ([]eventstore.Outcome, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	mood := -1
	if l.mood != nil {
		mood = l.mood.IntN(12)
		pause := time.Duration(l.mood.IntN(20)) * time.Millisecond
		l.mu.Unlock()
		time.Sleep(pause) // virtual: the bubble's clock
		l.mu.Lock()
	}
	gone := fault.New(fault.Unavailable, "gone")
	if mood == 0 {
		return nil, gone
	}
	var out []eventstore.Outcome
	for _, u := range f.Units {
		l.stored = append(l.stored, int(u.Drafts[0].Public[0]))
		out = append(out, make([]eventstore.Outcome, len(u.Drafts))...)
	}
	if mood == 1 {
		return nil, gone
	}
	if mood == 2 { // of unknown nature: the flush is tried again, then in halves
		l.stored = l.stored[:len(l.stored)-len(f.Units)]
		return nil, errors.New("a strange one")
	}
	return out, nil
}

// bulkOf is the bulk of a number, as one draft that holds it.
func bulkOf(n int) eventstore.Unit {
	return eventstore.Unit{Tenant: eventstore.TenantID{1}, Drafts: []eventstore.Draft{{ID: eventstore.NewEventID(), Public: []byte{byte(n)}}}}
}

// inSequence does what a command does with a bulk of a sequence.
func inSequence(ctx context.Context, q *sequences, a *Appender, key sequenceKey, n int) error {
	place := q.place(key, n)
	defer place.End()
	if err := place.wait(ctx); err != nil {
		return err
	}
	_, err := a.submit(ctx, 0, bulkOf(n), place)
	if err == nil {
		place.keep()
	}
	return err
}

// Bulks of a sequence, in any order of arrival, over a log that fails, with callers who leave and lanes that are full:
// what is stored is 0, 1, 2 … without a gap, and whoever hears of success is among them.
func TestSequencesAreStoredInOrderWithoutAGap(t *testing.T) {
	whole, cut := 0, 0
	for seed := range uint64(400) {
		synctest.Test(t, func(t *testing.T) {
			mood := rand.New(rand.NewPCG(seed, 1))
			l := &moodyLog{mood: mood}
			o := AppenderOptions{Retries: -1, FlushEntries: 1 + mood.IntN(4)}
			if mood.IntN(3) == 0 {
				o.QueueEntries = 4
			}
			a, q := NewAppender(l, 1, o), &sequences{}
			const bulks = 12
			errs := make([]error, bulks)
			arrives, leaves := make([]time.Duration, bulks), make([]time.Duration, bulks)
			for n := range bulks {
				arrives[n], leaves[n] = time.Duration(mood.IntN(30))*time.Millisecond, time.Hour
				if mood.IntN(20) == 0 {
					leaves[n] = time.Duration(mood.IntN(60)) * time.Millisecond
				}
			}
			var all sync.WaitGroup
			if mood.IntN(4) == 0 { // somebody sends one twice, and hears of it
				n, pause := mood.IntN(bulks), time.Duration(mood.IntN(30))*time.Millisecond
				all.Go(func() {
					time.Sleep(pause)
					_ = inSequence(t.Context(), q, a, sequenceKey{}, n)
				})
			}
			for n := range bulks {
				all.Go(func() {
					time.Sleep(arrives[n])
					ctx, cancel := context.WithCancel(t.Context())
					defer time.AfterFunc(leaves[n], cancel).Stop()
					defer cancel()
					errs[n] = inSequence(ctx, q, a, sequenceKey{}, n)
				})
			}
			all.Wait()
			if err := a.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			if left := q.all[sequenceKey{}].taken; len(left) > 0 {
				t.Fatalf("seed %d: places %v are still taken", seed, left)
			}
			for i, n := range l.stored {
				if n != i {
					t.Fatalf("seed %d: stored %v, answers %v", seed, l.stored, errs)
				}
			}
			for n, err := range errs {
				if err == nil && n >= len(l.stored) {
					t.Fatalf("seed %d: bulk %d is acknowledged, stored are %v", seed, n, l.stored)
				}
			}
			if len(l.stored) == bulks {
				whole++
			} else {
				cut++
			}
		})
	}
	if whole < 20 || cut < 20 {
		t.Errorf("%d sequences were stored whole and %d cut: too few of one kind to tell anything", whole, cut)
	}
}

func isConflict(err error) bool { return fault.Is(err, fault.Conflict) }

func TestSequencesThatCannotGoOn(t *testing.T) {
	key := sequenceKey{tenant: eventstore.TenantID{1}, id: SequenceID{1}}
	for name, c := range map[string]struct {
		before func(do func(n int) error, take func(n int)) error
		n      int
		waits  time.Duration
	}{
		"nothing of it was seen":   {func(func(int) error, func(int)) error { return nil }, 3, time.Second},
		"one before it is missing": {func(do func(int) error, _ func(int)) error { return do(0) }, 2, time.Second},
		"one before it is slow":    {func(do func(int) error, take func(int)) error { take(1); return do(0) }, 2, 10 * time.Second},
		"the first is slow":        {func(_ func(int) error, take func(int)) error { take(0); return nil }, 1, 10 * time.Second},
		"its number was used":      {func(do func(int) error, _ func(int)) error { return do(0) }, 0, 0},
		"it broke":                 {func(do func(int) error, _ func(int)) error { _ = do(5); return nil }, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, q := NewAppender(&moodyLog{}, 1, AppenderOptions{}), &sequences{}
				do := func(n int) error { return inSequence(t.Context(), q, a, key, n) }
				if err := c.before(do, func(n int) { q.place(key, n) }); err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				if err := do(c.n); !isConflict(err) || time.Since(start) != c.waits {
					t.Errorf("after %v: %v", time.Since(start), err)
				}
			})
		})
	}
}

// Two bulks of one number: one goes, the other comes too late even before the first is in its lane.
func TestANumberComesTwice(t *testing.T) {
	q := &sequences{}
	first, second := q.place(sequenceKey{}, 0), q.place(sequenceKey{}, 0)
	if err := first.wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := second.wait(t.Context()); !isConflict(err) {
		t.Errorf("the second: %v", err)
	}
}

// A sequence is broken before anything behind the bulk can go, whenever its caller hears of it.
func TestLanesBreakSequences(t *testing.T) {
	q := &sequences{}
	at := func(i byte) *Place { return q.place(sequenceKey{id: SequenceID{i}}, 0) }
	a := NewAppender(goneLog{}, 1, AppenderOptions{Retries: -1})
	l := &a.lanes[0]
	flushed := &ticket{unit: bulkOf(0), place: at(1)}
	if l.flush([]*ticket{flushed}); !flushed.place.broken() {
		t.Error("a flush that fails breaks nothing")
	}
	for i, want := range []way{leads, waits} {
		one := a.ticket()
		one.unit, one.place = bulkOf(i), at(byte(2+i))
		if got, err := l.enter(one); got != want || err != nil {
			t.Fatalf("way %d, %v", got, err)
		}
		if _, mine := l.withdraw(one); mine != one.place.broken() || mine != (want == waits) {
			t.Errorf("ticket %d: withdrawn %v, its sequence broken %v", i, mine, one.place.broken())
		}
	}
	panics := &ticket{unit: bulkOf(0), place: at(4), done: make(chan struct{}, 1)}
	panics.alone[0] = panics
	l.a.log = nil
	func() {
		defer func() { _ = recover() }()
		l.lead(panics)
	}()
	if !panics.place.broken() {
		t.Error("a panic breaks nothing")
	}
}

// goneLog is a store that does not answer.
type goneLog struct{}

func (goneLog) Append(context.Context, eventstore.Flush) ([]eventstore.Outcome, error) {
	return nil, fault.New(fault.Unavailable, "gone")
}

// A bulk whose caller left while it was stored is not known to be: none behind it goes.
func TestALeaverBreaksItsSequence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &sequences{}
		first, second := q.place(sequenceKey{}, 0), q.place(sequenceKey{}, 1)
		if err := first.wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		first.enter()
		if err := second.wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		first.End()
		if batch := unbroken([]*ticket{{place: second}, {}}); len(batch) != 1 || batch[0].place != nil {
			t.Error("it goes")
		}
	})
}

// Beyond its bound the sequence that has been idle for longest is forgotten, never one with a bulk under way.
func TestSequencesAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &sequences{}
		at := func(i int) sequenceKey { return sequenceKey{id: SequenceID([]byte(fmt.Sprintf("%016d", i)))} }
		q.place(at(0), 0).End() // the oldest
		q.place(at(0), 1)       // stays under way
		for i := 1; i < maxSequences+2; i++ {
			q.place(at(i), 0).End()
			time.Sleep(time.Millisecond)
		}
		for i, want := range map[int]bool{0: true, 1: false, 2: false, 3: true, maxSequences + 1: true} {
			if _, known := q.all[at(i)]; known != want {
				t.Errorf("sequence %d is known: %v", i, known)
			}
		}
		if len(q.all) != maxSequences {
			t.Errorf("%d are known", len(q.all))
		}
	})
}
