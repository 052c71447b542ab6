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
func inSequence(ctx context.Context, q *sequences, a *Appender, key sequenceKey, n int, before func()) error {
	turn, err := q.turn(key, n)
	if err != nil {
		return err
	}
	defer turn.End()
	before()
	if err := turn.wait(ctx); err != nil {
		return err
	}
	_, err = a.submit(ctx, 0, bulkOf(n), turn)
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
			for n := range bulks {
				all.Go(func() {
					time.Sleep(arrives[n])
					ctx, cancel := context.WithCancel(t.Context())
					defer time.AfterFunc(leaves[n], cancel).Stop()
					defer cancel()
					errs[n] = inSequence(ctx, q, a, sequenceKey{}, n, func() {})
				})
			}
			all.Wait()
			if err := a.Close(t.Context()); err != nil {
				t.Fatal(err)
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
		before func(do func(n int) error) error
		n      int
		waits  time.Duration
	}{
		"nothing of it was seen":   {func(func(int) error) error { return nil }, 3, time.Second},
		"one before it is missing": {func(do func(int) error) error { return do(0) }, 2, 10 * time.Second},
		"its number was used":      {func(do func(int) error) error { return do(0) }, 0, 0},
		"it broke":                 {func(do func(int) error) error { _ = do(5); return nil }, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, q := NewAppender(&moodyLog{}, 1, AppenderOptions{}), &sequences{}
				do := func(n int) error { return inSequence(t.Context(), q, a, key, n, func() {}) }
				if err := c.before(do); err != nil {
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

// Sequences of another id or tenant have nothing to do with one that broke; it is known as broken while it was used
// within a minute, and there is room for new ones when old ones are forgotten.
func TestSequencesAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &sequences{}
		at := func(i int) sequenceKey { return sequenceKey{id: SequenceID([]byte(fmt.Sprintf("%016d", i)))} }
		for i := range maxSequences {
			turn, err := q.turn(at(i), 0)
			if err != nil {
				t.Fatal(err)
			}
			if i > 0 { // the first stays under way
				turn.End()
			}
		}
		if _, err := q.turn(at(maxSequences), 0); !fault.Is(err, fault.Overloaded) {
			t.Errorf("one too many: %v", err)
		}
		again, err := q.turn(at(1), 0)
		if err != nil || !isConflict(again.wait(t.Context())) {
			t.Errorf("a broken one is not known: %v", err)
		}
		again.End()
		time.Sleep(sequenceMemory + time.Second)
		if _, err := q.turn(at(maxSequences), 0); err != nil {
			t.Errorf("after a minute: %v", err)
		}
		if len(q.all) != 2 {
			t.Errorf("%d are known, want the new one and the one under way", len(q.all))
		}
	})
}
