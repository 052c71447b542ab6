package timescale_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"auditlog/eventstore"
	"auditlog/eventstore/timescale"
	"auditlog/internal/fault"
)

// sharedTransactions is how many transactions stored events of several shards.
func sharedTransactions(tb testing.TB, conn *pgx.Conn) (n int) {
	tb.Helper()
	err := conn.QueryRow(tb.Context(), `
		SELECT count(*) FROM (SELECT FROM auditlog.events GROUP BY xmin::text HAVING count(DISTINCT shard) > 1) x`).Scan(&n)
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

// gathering is a store with a tenant on each shard, of which one transaction of small flushes is under way at a time.
type gathering struct {
	*timescale.Store
	t       *testing.T
	w       world
	owner   *pgx.Conn
	tenants []eventstore.Tenant // by shard

	wg   sync.WaitGroup
	mu   sync.Mutex
	outs [gathered][]eventstore.Outcome // by shard, of the last append
}

const gathered = 6 // shards

func gather(t *testing.T, tier timescale.Tier, patience time.Duration) *gathering {
	w := newWorld(t, timescale.Layout{Tier: tier, Shards: gathered})
	g := &gathering{Store: w.open(t, timescale.Config{StatementTimeout: time.Minute}), t: t, w: w, owner: connect(t, w.owner), tenants: make([]eventstore.Tenant, gathered)}
	for left := gathered; left > 0; {
		if tenant := newTenant(t, g.Store); g.tenants[tenant.Shard].ID.IsZero() {
			g.tenants[tenant.Shard] = tenant
			left--
		}
	}
	g.Gather(1, patience)
	return g
}

// hang begins an append to shard 0 that hangs until the function that it gives is called: small flushes wait for its end.
func (g *gathering) hang() (release func()) {
	release = g.hold(0)
	g.append(0, drafts(1, 100)...)
	waitFor(g.t, func() bool {
		var blocked bool
		err := g.owner.QueryRow(g.t.Context(), `
			SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')`).Scan(&blocked)
		return err == nil && blocked
	})
	return release
}

// hold locks a shard's head until the function that it gives is called.
func (g *gathering) hold(shard int) (release func()) {
	tx, err := connect(g.t, g.w.owner).Begin(g.t.Context())
	if err == nil {
		_, err = tx.Exec(g.t.Context(), `SELECT FROM auditlog.shards WHERE shard = $1 FOR UPDATE`, shard)
	}
	if err != nil {
		g.t.Fatal(err)
	}
	return func() {
		if err := tx.Rollback(g.t.Context()); err != nil {
			g.t.Error(err)
		}
	}
}

// append appends to a shard's tenant, beside others.
func (g *gathering) append(shard int, all ...eventstore.Draft) {
	g.wg.Go(func() {
		got, err := g.Append(g.t.Context(), flushOf(g.tenants[shard], all...))
		if err != nil {
			g.t.Errorf("append to shard %d: %v", shard, err)
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		g.outs[shard] = got
	})
}

// crowd has every shard's tenant but that of the one that hangs append so many drafts, but for some shards', whose flushes
// are under way already. All wait then.
func (g *gathering) crowd(count int, but ...int) {
	g.t.Helper()
	for shard := 1; shard < gathered; shard++ {
		if !slices.Contains(but, shard) {
			g.append(shard, drafts(count, 100)...)
		}
	}
	waitFor(g.t, func() bool { return g.Waiting() == gathered-1 })
}

func (g *gathering) answered(shards ...int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return !slices.ContainsFunc(shards, func(shard int) bool { return g.outs[shard] == nil })
}

// check wants each shard's log to be dense and to hold what was told.
func (g *gathering) check() {
	g.t.Helper()
	for shard, tenant := range g.tenants {
		checkLog(g.t, g.Store, tenant.Shard)
		for i, o := range g.outs[shard] {
			event, err := g.Get(g.t.Context(), tenant.ID, o.ID)
			if err != nil || o.Status != eventstore.Stored || event.Position != o.Position || event.RecordedAt != o.RecordedAt ||
				i > 0 && o.Position != g.outs[shard][i-1].Position+1 {
				g.t.Errorf("told was %+v, there is %+v, %v", o, event, err)
			}
		}
	}
}

func TestSmallFlushesShareATransaction(t *testing.T) {
	for name, count := range map[string]int{"one statement": 3, "COPY": 15} {
		t.Run(name, func(t *testing.T) {
			eachTier(t, func(t *testing.T, tier timescale.Tier) {
				g := gather(t, tier, time.Minute)
				release := g.hang()
				g.append(1, drafts(2, 40<<10)...)
				waitFor(t, func() bool { return g.answered(1) }) // nobody should wait for so much
				g.crowd(count)
				release()
				g.wg.Wait()
				g.check()
				var transactions int
				err := g.owner.QueryRow(t.Context(), `
					SELECT count(DISTINCT xmin::text) FROM auditlog.events
					WHERE shard > 0 AND type = 'entry.recorded' AND length(public) < 1000`).Scan(&transactions)
				if err != nil || transactions != 1 {
					t.Errorf("%d transactions stored what waited, %v", transactions, err)
				}
			})
		})
	}
}

// A key that is known is a matter of one flush: others do not fail with it.
func TestKnownKeyHarmsNoOther(t *testing.T) {
	eachTier(t, func(t *testing.T, tier timescale.Tier) {
		g := gather(t, tier, time.Minute)
		draft := drafts(1, 100)[0]
		draft.Idempotency = &eventstore.Idempotency{Token: [32]byte{1}, Fingerprint: [32]byte{2}}
		first := mustAppend(t, g.Store, flushOf(g.tenants[1], draft))[0]
		draft.ID = eventstore.NewEventID()

		release := g.hang()
		g.append(1, draft)
		g.crowd(2, 1)
		release()
		g.wg.Wait()
		if got := g.outs[1]; len(got) != 1 || got[0].Status != eventstore.Replayed || got[0].ID != first.ID || got[0].Position != first.Position {
			t.Errorf("the known key was answered by %+v, at first by %+v", got, first)
		}
		g.outs[1] = nil
		g.check()
		if shared := sharedTransactions(t, g.owner); shared != 1 {
			t.Errorf("%d transactions carried flushes of several shards", shared)
		}
	})
}

// A head that somebody else holds is a matter of one flush: others do not wait for it.
func TestHeldHeadHarmsNoOther(t *testing.T) {
	eachTier(t, func(t *testing.T, tier timescale.Tier) {
		g := gather(t, tier, time.Minute)
		release, busy := g.hang(), g.hold(3)
		g.crowd(2)
		release()
		waitFor(t, func() bool { return g.answered(0, 1, 2, 4, 5) })
		if g.answered(3) {
			t.Error("a flush passed a lock")
		}
		busy()
		g.wg.Wait()
		g.check()
	})
}

// A shard whose newest event is ahead of the clock takes nothing; the others do, in the same transaction.
func TestClockHarmsNoOther(t *testing.T) {
	for name, count := range map[string]int{"one statement": 3, "COPY": 15} {
		t.Run(name, func(t *testing.T) {
			eachTier(t, func(t *testing.T, tier timescale.Tier) {
				g := gather(t, tier, time.Minute)
				if _, err := g.owner.Exec(t.Context(), `UPDATE auditlog.shards SET recorded_at = now() + interval '1 hour' WHERE shard = 2`); err != nil {
					t.Fatal(err)
				}
				release := g.hang()
				g.wg.Go(func() {
					if got, err := g.Append(t.Context(), flushOf(g.tenants[2], drafts(count, 100)...)); !fault.Is(err, fault.Clock) {
						t.Errorf("got %+v, %v", got, err)
					}
				})
				g.crowd(count, 2)
				release()
				g.wg.Wait()
				g.check()
				if shared := sharedTransactions(t, g.owner); shared != 1 {
					t.Errorf("%d transactions carried flushes of several shards", shared)
				}
			})
		})
	}
}

// A flush does not wait long for transactions that hang.
func TestFlushesPassOneThatHangs(t *testing.T) {
	eachTier(t, func(t *testing.T, tier timescale.Tier) {
		g := gather(t, tier, time.Millisecond)
		release := g.hang()
		for shard := 1; shard < gathered; shard++ {
			g.append(shard, drafts(1, 100)...)
		}
		waitFor(t, func() bool { return g.answered(1, 2, 3, 4, 5) })
		if g.answered(0) {
			t.Error("a flush passed a lock")
		}
		release()
		g.wg.Wait()
		g.check()
	})
}
