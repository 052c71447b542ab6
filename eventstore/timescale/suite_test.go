package timescale_test

import (
	"os"
	"sync"
	"testing"
	"time"

	"auditlog/eventstore"
	"auditlog/eventstore/storetest"
	"auditlog/eventstore/timescale"
	"auditlog/internal/pgdb/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

func TestPromises(t *testing.T) {
	eachTier(t, func(t *testing.T, tier timescale.Tier) { storetest.Run(t, harness(tier, func(*timescale.Store) {})) })
}

// Large flushes go by COPY; what the suite appends is small.
func TestPromisesByCopy(t *testing.T) {
	eachTier(t, func(t *testing.T, tier timescale.Tier) {
		storetest.Run(t, harness(tier, func(s *timescale.Store) { s.CopyFrom(1) }))
	})
}

// Small flushes share transactions when they come at once; here one at a time is under way.
func TestPromisesTogether(t *testing.T) {
	eachTier(t, func(t *testing.T, tier timescale.Tier) {
		storetest.Run(t, harness(tier, func(s *timescale.Store) { s.Gather(1, time.Minute) }))
	})
}

// world is a migrated database with the addresses of its roles.
type world struct{ owner, service, lifecycle string }

func newWorld(tb testing.TB, l timescale.Layout) world {
	tb.Helper()
	w := world{owner: pgtest.Database(tb)}
	w.service, w.lifecycle = pgtest.As(tb, w.owner, "auditlog_service"), pgtest.As(tb, w.owner, "auditlog_lifecycle")
	tier, err := timescale.Migrate(tb.Context(), w.owner, l)
	if err != nil {
		tb.Fatal(err)
	}
	if l.Tier != timescale.Auto && tier != l.Tier {
		tb.Fatalf("the database is of tier %s, want %s", tier, l.Tier)
	}
	return w
}

func (w world) open(tb testing.TB, c timescale.Config) *timescale.Store {
	tb.Helper()
	c.Address = w.service
	s, err := timescale.Open(tb.Context(), c)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

func (w world) openLifecycle(tb testing.TB, now func() time.Time) *timescale.Lifecycle {
	tb.Helper()
	l, err := timescale.OpenLifecycle(tb.Context(), timescale.Config{Address: w.lifecycle, Now: now})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := l.Close(); err != nil {
			tb.Error(err)
		}
	})
	return l
}

// harness gives each case a database of its own, with one shard: the cases look at shard 0.
func harness(tier timescale.Tier, tune func(*timescale.Store)) storetest.Harness {
	var mu sync.Mutex
	worlds := map[eventstore.Store]world{}
	lives := map[eventstore.Store]*timescale.Lifecycle{}
	open := func(tb testing.TB, w world, now func() time.Time) eventstore.Store {
		s, l := w.open(tb, timescale.Config{Now: now}), w.openLifecycle(tb, now)
		tune(s)
		mu.Lock()
		defer mu.Unlock()
		worlds[s], lives[s] = w, l
		return s
	}
	return storetest.Harness{
		New: func(tb testing.TB, now func() time.Time) eventstore.Store {
			return open(tb, newWorld(tb, timescale.Layout{Shards: 1, Tier: tier}), now)
		},
		// The old store stays open, as a process that another takes over from.
		Reopen: func(tb testing.TB, s eventstore.Store, now func() time.Time) eventstore.Store {
			return open(tb, worlds[s], now)
		},
		Lifecycle: func(s eventstore.Store) eventstore.Lifecycle { return lives[s] },
	}
}
