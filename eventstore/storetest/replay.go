package storetest

import (
	"slices"
	"sync"
	"testing"

	"auditlog/eventstore"
)

func keysReplay(tb testing.TB, h Harness) {
	b := newBench(tb, h)
	x, y := b.tenant(), b.tenant()
	first := b.append(unit(x, keyed(entry(), "k", "body")))[0]
	want := first
	want.Status = eventstore.Replayed

	again := func(what string) {
		b.Helper()
		head := b.head(x)
		got := b.append(unit(x, keyed(entry(), "k", "body")), unit(x, keyed(entry(), "k", "other")), atomic(x, entry(), keyed(entry(), "k", "other")))
		b.wantStatuses(what, got, eventstore.Replayed, eventstore.KeyReused, eventstore.Aborted, eventstore.KeyReused)
		if got[0] != want {
			b.Fatalf("%s: replay is %+v, first answer %+v", what, got[0], first)
		}
		if b.head(x) != head {
			b.Fatalf("%s: something was stored", what)
		}
	}
	again("the same key again")
	b.reopen()
	again("the same key after opening again")

	// A known key among new ones, and another tenant's use of the same key.
	got := b.append(unit(x, keyed(entry(), "a", "1"), keyed(entry(), "k", "body"), keyed(entry(), "b", "2")), unit(y, keyed(entry(), "k", "other")))
	b.wantStatuses("a known key among new ones", got, eventstore.Stored, eventstore.Replayed, eventstore.Stored, eventstore.Stored)

	// Twins within one flush and one unit.
	got = b.append(
		unit(x, keyed(entry(), "t", "1"), keyed(entry(), "t", "1"), keyed(entry(), "t", "2")),
		unit(x, keyed(entry(), "t", "1")),
		atomic(x, keyed(entry(), "u", "1"), keyed(entry(), "u", "1")),
		atomic(x, keyed(entry(), "v", "1"), keyed(entry(), "v", "2")),
	)
	b.wantStatuses("twins in a flush", got,
		eventstore.Stored, eventstore.Replayed, eventstore.KeyReused,
		eventstore.Replayed,
		eventstore.Stored, eventstore.Replayed,
		eventstore.Aborted, eventstore.KeyReused)
	if got[1].ID != got[0].ID || got[3].Position != got[0].Position || got[5].ID != got[4].ID {
		b.Fatalf("twins in a flush are answered apart: %+v", got)
	}
	b.checkTwins(x)
	b.checkNearKeys(x, y)
	b.checkDense([]eventstore.TenantID{x, y}, len(b.log(x))+len(b.log(y)))
}

// checkTwins sends the same key from many callers at once, with one body and with two.
func (b *bench) checkTwins(t eventstore.TenantID) {
	b.Helper()
	for round := range 8 {
		key := "twin " + string(rune('a'+round))
		before := b.head(t).Position
		var mu sync.Mutex
		count := map[eventstore.Status]int{}
		places := map[string]eventstore.Outcome{}
		var wg sync.WaitGroup
		for i := range 8 {
			body := []string{"one", "two"}[i%2*(round%2)] // odd rounds have two bodies
			wg.Go(func() {
				got, err := b.Append(b.ctx, flush(unit(t, keyed(entry(), key, body))))
				if err != nil {
					b.Errorf("Append: %v", err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				count[got[0].Status]++
				o := got[0]
				if o.Status != eventstore.Stored && o.Status != eventstore.Replayed {
					return
				}
				o.Status = 0
				if p, ok := places["first"]; ok && p != o {
					b.Errorf("twins were answered with %+v and %+v", p, o)
				}
				places["first"] = o
			})
		}
		wg.Wait()
		replayed, reused := 7, 0
		if round%2 == 1 {
			replayed, reused = 3, 4
		}
		if count[eventstore.Stored] != 1 || count[eventstore.Replayed] != replayed || count[eventstore.KeyReused] != reused || b.head(t).Position != before+1 {
			b.Fatalf("twins at the same time: %v", count)
		}
	}
}

func flushesReplay(tb testing.TB, h Harness) {
	b := newBench(tb, h)
	x := b.tenant()
	old, known := entry(), keyed(entry(), "known", "body")
	b.append(unit(x, old, known))
	later := eventstore.NewEventID() // does not exist when the flush is first sent
	mixed := flush(
		unit(x, entries(3)...),
		unit(x, keyed(entry(), "known", "body"), keyed(entry(), "known", "other"), keyed(entry(), "new", "body"), keyed(entry(), "new", "body")),
		unit(x, erasure(old.ID), amendment(old.ID), amendment(later)),
		atomic(x, entry(), amendment(eventstore.NewEventID())),
	)
	refused := flush(unit(x, amendment(later)))
	keysOnly := flush(unit(x, keyed(entry(), "known", "body"), keyed(entry(), "known", "other")))
	plain := flush(unit(x, entries(100)...))
	sent := []eventstore.Flush{mixed, refused, keysOnly, plain}
	var first [][]eventstore.Outcome
	for _, f := range sent {
		first = append(first, b.send(f))
	}
	b.wantStatuses("the first answers", first[0],
		eventstore.Stored, eventstore.Stored, eventstore.Stored,
		eventstore.Replayed, eventstore.KeyReused, eventstore.Stored, eventstore.Replayed,
		eventstore.Stored, eventstore.TargetErased, eventstore.TargetMissing,
		eventstore.Aborted, eventstore.TargetMissing)

	// The entry that was missing exists by now; the first answers stay.
	e := entry()
	e.ID = later
	b.append(unit(x, e))
	check := func(what string) {
		b.Helper()
		log := b.shardLog(0)
		b.clock.move(1)
		for i, f := range sent {
			if got := b.send(f); !slices.Equal(got, first[i]) {
				b.Fatalf("%s: flush %d was answered %+v, first %+v", what, i, got, first[i])
			}
		}
		if !equalLogs(b.shardLog(0), log) {
			b.Fatalf("%s: a flush sent again stored something", what)
		}
	}
	check("sent again")
	for range 100 {
		b.append(unit(x, entry()))
	}
	check("sent again behind others")
	b.reopen()
	check("sent again after opening again")

	// The same flush from several callers at once is one flush.
	f := flush(unit(x, entries(5)...))
	answers := make([][]eventstore.Outcome, 6)
	var wg sync.WaitGroup
	for i := range answers {
		wg.Go(func() {
			got, err := b.Append(b.ctx, f)
			if err != nil {
				b.Errorf("Append: %v", err)
			}
			answers[i] = got
		})
	}
	wg.Wait()
	for _, a := range answers {
		if !slices.Equal(a, answers[0]) {
			b.Fatalf("one flush was answered %+v and %+v", a, answers[0])
		}
	}
	b.checkDense([]eventstore.TenantID{x}, len(b.log(x)))
}
