package readmodel_test

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"auditlog/eventstore"
	"auditlog/projection"
	"auditlog/projection/find"
	"auditlog/projection/projtest"
	"auditlog/projection/readmodel"
	"auditlog/projection/stats"
)

// pair opens find and stats with a fault of their own each, and both together.
func pair(t *testing.T, w *projtest.World, home readmodel.Home, findFault, statsFault func() error) (process, *readmodel.Together) {
	t.Helper()
	deps := readmodel.Deps{Store: w.Store, Opener: w.Opener, Fault: findFault}
	f, err := find.Open(t.Context(), home, deps, nil)
	if err != nil {
		t.Fatal(err)
	}
	deps.Fault = statsFault
	s, err := stats.Open(t.Context(), home, deps, stats.StoreNames{Find: f, Store: w.Store, Opener: w.Opener}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(s.Close(), f.Close()); err != nil {
			t.Error(err)
		}
	})
	return process{f, s}, readmodel.NewTogether("stats", deps, s, f)
}

// Whatever each of them had applied alone, in whatever order the rest comes, both end with what one process makes.
func TestTogetherGivesTheSame(t *testing.T) {
	w, log := busy(t, 60, true)
	want := expected(t, w, log)
	projtest.Homes(t, func(t *testing.T, homes projtest.Maker) {
		for seed := range uint64(6) {
			rnd := rand.New(rand.NewPCG(seed, 7))
			p, both := pair(t, w, homes.New(t), nil, nil)
			for shard, events := range log {
				n := eventstore.Offset(len(events))
				cut := func() (from, to eventstore.Offset) {
					from = eventstore.Offset(rnd.Int64N(int64(n)))
					return from, from + 1 + eventstore.Offset(rnd.Int64N(int64(n-from)))
				}
				for _, alone := range []projection.Projector{p.find, p.stats} {
					from, to := cut()
					if err := alone.Apply(t.Context(), log.Envelope(eventstore.Shard(shard), from, to)); err != nil {
						t.Fatal(err)
					}
				}
				for range 4 {
					from, to := cut()
					if err := both.Apply(t.Context(), log.Envelope(eventstore.Shard(shard), from, to)); err != nil {
						t.Fatal(err)
					}
				}
				if err := both.Apply(t.Context(), log.Envelope(eventstore.Shard(shard), 0, n)); err != nil {
					t.Fatal(err)
				}
				done, err := both.Progress(t.Context(), eventstore.Shard(shard))
				if err != nil || done.Cursor() != n {
					t.Fatalf("applied up to %d of %d: %v", done.Cursor(), n, err)
				}
			}
			same(t, "together", p.dump(t), want)
		}
	})
}

// A member that fails holds up no other, the range counts as applied only when both have it, and trying again makes up
// for what is missing.
func TestTogetherWithOneThatFails(t *testing.T) {
	w, log := busy(t, 20, false)
	want := expected(t, w, log)
	projtest.Homes(t, func(t *testing.T, homes projtest.Maker) {
		broken := errors.New("no room")
		fault := broken
		p, both := pair(t, w, homes.New(t), func() error { return fault }, nil)
		for shard, events := range log {
			n := eventstore.Offset(len(events))
			env := log.Envelope(eventstore.Shard(shard), 0, n)
			fault = broken
			if err := both.Apply(t.Context(), env); !errors.Is(err, broken) {
				t.Fatalf("got %v", err)
			}
			if done, err := both.Progress(t.Context(), env.Shard); err != nil || len(done) > 0 {
				t.Fatalf("applied %v, %v", done, err)
			}
			if done, err := p.stats.Progress(t.Context(), env.Shard); err != nil || done.Cursor() != n {
				t.Fatalf("the other one applied %v, %v", done, err)
			}
			fault = nil
			if err := both.Apply(t.Context(), env); err != nil {
				t.Fatal(err)
			}
		}
		same(t, "after the fault", p.dump(t), want)
	})
}

// Poison of one is parked only when no other waits for better times.
func TestTogetherPrefersWhatPasses(t *testing.T) {
	w, log := busy(t, 4, false)
	home := readmodel.Folder(t.TempDir())
	passing, poison := errors.New("busy"), &projection.Poison{Err: errors.New("never")}
	of := map[string]error{}
	_, both := pair(t, w, home, func() error { return of["find"] }, func() error { return of["stats"] })
	env := log.Envelope(0, 0, eventstore.Offset(len(log[0])))
	for _, c := range []struct {
		find, stats, want error
		parks             bool
	}{{passing, poison, passing, false}, {poison, passing, passing, false}, {poison, nil, poison, true}} {
		of["find"], of["stats"] = c.find, c.stats
		err := both.Apply(t.Context(), env)
		var p *projection.Poison
		if !errors.Is(err, c.want) || errors.As(err, &p) != c.parks || strings.Contains(err.Error(), "\n") {
			t.Errorf("find %v, stats %v: %v", c.find, c.stats, err)
		}
	}
}
