package timescale_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"auditlog/eventstore"
	"auditlog/eventstore/timescale"
	"auditlog/internal/fault"
	"auditlog/internal/pgdb/pgtest"
)

// Several processes append to tenants of all shards while their connections are cut again and again: what was
// acknowledged is there once, and every log is dense.
func TestBackendsDieUnderLoad(t *testing.T) {
	eachTier(t, func(t *testing.T, tier timescale.Tier) {
		w := newWorld(t, timescale.Layout{Tier: tier, Shards: 4})
		stores := []*timescale.Store{w.open(t, timescale.Config{}), w.open(t, timescale.Config{})}
		stores[0].Gather(1, time.Minute)
		stores[0].CopyFrom(8) // several flushes that share a transaction hold as many
		stores[1].CopyFrom(1)
		var tenants []eventstore.Tenant
		for range 8 {
			tenants = append(tenants, newTenant(t, stores[0]))
		}
		var mu sync.Mutex
		told := map[string]eventstore.EventID{}
		var unknown atomic.Int64
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				for n := 0; ; n++ {
					select {
					case <-stop:
						return
					default:
					}
					tenant := tenants[(i+n)%len(tenants)]
					f := flushOf(tenant, drafts(1+n%7, 100)...)
					got, err := stores[i%2].Append(ctx, f)
					for fault.Is(err, fault.Unavailable) { // its id makes it safe to send it until it is answered
						unknown.Add(1)
						got, err = stores[i%2].Append(ctx, f)
					}
					if err != nil {
						t.Errorf("Append: %v", err)
						return
					}
					mu.Lock()
					for _, o := range got {
						told[fmt.Sprint(tenant.ID, o.Position)] = o.ID
					}
					mu.Unlock()
				}
			})
		}
		admin := connect(t, w.owner)
		cut := 0
		for cycle := range 20 {
			var n int
			err := admin.QueryRow(t.Context(), `
				SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
				WHERE datname = current_database() AND usename = 'auditlog_service' AND (state = 'active' OR pid % 2 = 0)`).Scan(&n)
			if err != nil {
				t.Fatal(err)
			}
			cut += n
			waitFor(t, func() bool { // appends go on by themselves
				mu.Lock()
				defer mu.Unlock()
				return len(told) > 50*cycle
			})
		}
		close(stop)
		wg.Wait()
		found := map[string]eventstore.EventID{}
		ids := map[eventstore.EventID]bool{}
		for shard := range eventstore.Shard(4) {
			for place, id := range checkLog(t, stores[1], shard) {
				if ids[id] {
					t.Errorf("event %v is there twice", id)
				}
				found[place], ids[id] = id, true
			}
		}
		for place, id := range told {
			if found[place] != id {
				t.Errorf("%s holds %v, told was %v", place, found[place], id)
			}
		}
		if len(found) != len(told)+len(tenants) {
			t.Errorf("%d events are there, %d were told", len(found), len(told)+len(tenants))
		}
		if cut < 20 || len(told) < 900 {
			t.Errorf("%d connections were cut under %d events", cut, len(told))
		}
		if shared := sharedTransactions(t, admin); shared < 3 {
			t.Errorf("%d transactions carried flushes of several shards", shared)
		}
		t.Logf("%d acknowledged events, %d connections cut, %d answers lost for good", len(told), cut, unknown.Load())
	})
}

// The postmaster is killed under load, five times: the store goes on by itself when the server is back, and what it
// acknowledged is there.
func TestPostmasterDiesUnderLoad(t *testing.T) {
	server := pgtest.NewOwn(t)
	w := world{owner: server.URL, service: pgtest.As(t, server.URL, "auditlog_service")}
	if _, err := timescale.Migrate(t.Context(), w.owner, timescale.Layout{Shards: 2}); err != nil {
		t.Fatal(err)
	}
	s := w.open(t, timescale.Config{})
	s.CopyFrom(5)
	s.Gather(1, time.Minute)
	var tenants []eventstore.Tenant
	for range 4 {
		tenants = append(tenants, newTenant(t, s))
	}
	var mu sync.Mutex
	told := map[string]eventstore.EventID{}
	stop := make(chan struct{})
	var refused atomic.Int64
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				tenant := tenants[(i+n)%len(tenants)]
				f := flushOf(tenant, drafts(1+n%8, 200)...)
				got, err := s.Append(t.Context(), f)
				for fault.Is(err, fault.Unavailable) {
					refused.Add(1)
					time.Sleep(10 * time.Millisecond) // as the caller of a 503 waits
					got, err = s.Append(t.Context(), f)
				}
				if err != nil {
					t.Errorf("Append: %v", err)
					return
				}
				mu.Lock()
				for _, o := range got {
					told[fmt.Sprint(tenant.ID, o.Position)] = o.ID
				}
				mu.Unlock()
			}
		})
	}
	grows := func() {
		t.Helper()
		mu.Lock()
		before := len(told)
		mu.Unlock()
		waitFor(t, func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(told) > before+200
		})
	}
	for range 5 {
		grows()
		server.Kill()
		server.Start()
	}
	grows()
	close(stop)
	wg.Wait()
	found := checkLog(t, s, 0)
	maps.Copy(found, checkLog(t, s, 1))
	for place, id := range told {
		if found[place] != id {
			t.Errorf("%s holds %v, told was %v", place, found[place], id)
		}
	}
	if len(found) != len(told)+len(tenants) || refused.Load() == 0 {
		t.Errorf("%d events are there, %d were told, %d refusals", len(found), len(told)+len(tenants), refused.Load())
	}
	if shared := sharedTransactions(t, connect(t, w.owner)); shared < 10 {
		t.Errorf("%d transactions carried flushes of both shards", shared)
	}
	t.Logf("%d acknowledged events over 5 kills, %d refusals", len(told), refused.Load())
}

// waitFor polls for a condition, for ten seconds.
func waitFor(t *testing.T, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it did not come to pass within ten seconds")
		}
	}
}

// A purge tells of its event with its commit: counts wait for projections that have it.
func TestPurgesWake(t *testing.T) {
	w := newWorld(t, timescale.Layout{})
	store, lifecycle, heard := w.open(t, timescale.Config{}), w.openLifecycle(t, nil), connect(t, w.owner)
	tenant := newTenant(t, store)
	got := mustAppend(t, store, flushOf(tenant, drafts(1, 10)...))
	if err := store.Close(); err != nil { // with all that it has to tell
		t.Fatal(err)
	}
	if _, err := heard.Exec(t.Context(), `LISTEN auditlog_appended`); err != nil {
		t.Fatal(err)
	}
	_, started, err := lifecycle.Purge(t.Context(), tenant.ID, got[0].RecordedAt+1, func(eventstore.Purge) (eventstore.Draft, error) {
		return eventstore.Draft{ID: eventstore.NewEventID(), Type: eventstore.LifecyclePurged, Public: []byte("{}")}, nil
	})
	if err != nil || !started {
		t.Fatal(started, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if n, err := heard.WaitForNotification(ctx); err != nil || n.Payload != strconv.Itoa(int(tenant.Shard)) {
		t.Errorf("told was %+v, %v, of shard %d", n, err, tenant.Shard)
	}
}

// A commit wakes the waiters of other processes, also when nobody could tell them.
func TestOtherProcessesWake(t *testing.T) {
	w := newWorld(t, timescale.Layout{})
	one, two := w.open(t, timescale.Config{}), w.open(t, timescale.Config{})
	tenant := newTenant(t, one)
	wait := func(what string, do func()) time.Duration {
		t.Helper()
		head, err := two.ShardHead(t.Context(), tenant.Shard)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		do()
		for {
			told := two.Appended(tenant.Shard) // a wake-up may be one of before
			if now, err := two.ShardHead(t.Context(), tenant.Shard); err == nil && now.Offset > head.Offset {
				return time.Since(began)
			}
			select {
			case <-told:
			case <-time.After(10 * time.Second):
				t.Fatalf("%s: not woken", what)
			}
		}
	}
	wait("by notification", func() { mustAppend(t, one, flushOf(tenant, drafts(1, 10)...)) })
	wait("without one", func() { // an append whose process dies before it tells
		_, err := connect(t, w.owner).Exec(t.Context(), `UPDATE auditlog.shards SET "offset" = "offset" + 1 WHERE shard = $1`, tenant.Shard)
		if err != nil {
			t.Fatal(err)
		}
	})
	waiting := two.Appended(tenant.Shard)
	for range 2 {
		if err := two.Close(); err != nil {
			t.Fatal(err)
		}
	}
	<-waiting
	if _, err := two.Append(t.Context(), flushOf(tenant, drafts(1, 10)...)); !fault.Is(err, fault.Unavailable) {
		t.Errorf("append to a closed store: %v", err)
	}
	if err := two.Ping(t.Context()); !fault.Is(err, fault.Unavailable) {
		t.Errorf("ping of a closed store: %v", err)
	}
}

// A flush that is too old to be answered again is refused, not stored twice; a new one is not looked at.
func TestPrunedFlush(t *testing.T) {
	w := newWorld(t, timescale.Layout{})
	clock := &handClock{at: time.Now().UTC()}
	s := w.open(t, timescale.Config{Now: clock.now})
	tenant := newTenant(t, s)
	old := flushOf(tenant, drafts(3, 10)...)
	first := mustAppend(t, s, old)
	clock.move(time.Hour)
	kept := flushOf(tenant, draftOf(clock.now()))
	mustAppend(t, s, kept)
	s.Prune(t, tenant.Shard, 1)
	if got, err := s.Append(t.Context(), old); err == nil {
		t.Errorf("a flush whose row is gone was answered %+v, first %+v", got, first)
	}
	if got := mustAppend(t, s, kept); got[0].Position != 5 {
		t.Errorf("a flush that is kept: %+v", got)
	}
	clock.move(time.Hour)
	if got := mustAppend(t, s, flushOf(tenant, draftOf(clock.now()))); got[0].Position != 6 {
		t.Errorf("the next flush: %+v", got)
	}
	if got := mustAppend(t, s, flushOf(tenant, draftOf(clock.now().Add(-90*time.Minute)))); got[0].Position != 7 {
		t.Errorf("an old entry that is not there yet: %+v", got)
	}
}

func TestMisuse(t *testing.T) {
	w := newWorld(t, timescale.Layout{})
	s := w.open(t, timescale.Config{})
	tenant, other := newTenant(t, s), newTenant(t, s)
	for other.Shard == tenant.Shard {
		other = newTenant(t, s)
	}
	f := flushOf(tenant, drafts(1, 10)...)
	f.ID = eventstore.FlushID{}
	if _, err := s.Append(t.Context(), f); err == nil {
		t.Error("a flush without an id was stored")
	}
	f = flushOf(tenant, drafts(1, 10)...)
	f.Shard = 16
	if _, err := s.Append(t.Context(), f); err == nil {
		t.Error("a flush to a shard that does not exist was stored")
	}
	f.Shard = other.Shard
	if got, err := s.Append(t.Context(), f); err != nil || got[0].Status != eventstore.TenantMissing {
		t.Errorf("a tenant of another shard: %+v, %v", got, err)
	}
	f = flushOf(tenant, drafts(1, 10)...)
	mustAppend(t, s, f)
	f.Units[0].Drafts = drafts(1, 10)
	if got, err := s.Append(t.Context(), f); err == nil {
		t.Errorf("a flush id was used for other drafts: %+v", got)
	}
	if got, err := s.Append(t.Context(), flushOf(tenant)); err != nil || len(got) != 0 {
		t.Errorf("an empty flush: %v, %v", got, err)
	}
	if _, err := s.ReadShard(t.Context(), 16, 0, 1); err == nil {
		t.Error("a shard that does not exist was read")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Append(ended, flushOf(tenant, drafts(1, 10)...)); !errors.Is(err, context.Canceled) {
		t.Errorf("an ended context: %v", err)
	}
}
