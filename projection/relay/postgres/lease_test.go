package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"auditlog/eventstore"
	"auditlog/internal/pgdb/pgtest"
	"auditlog/projection/relay/postgres"
)

// worker acquires shards again and again, as a relay does, and notes what it holds.
type worker struct {
	db   *postgres.DB
	mu   sync.Mutex // guards held
	held map[eventstore.Shard]uint64
	stop func()
}

// holders notices when two hold a shard at once, or an epoch comes twice.
type holders struct {
	mu    sync.Mutex // guards the fields below
	by    map[eventstore.Shard]*worker
	epoch map[eventstore.Shard]uint64
	wrong []string
}

func (h *holders) begin(w *worker, shard eventstore.Shard, epoch uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.by[shard] != nil {
		h.wrong = append(h.wrong, fmt.Sprintf("two hold shard %d", shard))
	}
	if epoch <= h.epoch[shard] {
		h.wrong = append(h.wrong, fmt.Sprintf("epoch %d of shard %d after %d", epoch, shard, h.epoch[shard]))
	}
	h.by[shard], h.epoch[shard] = w, epoch
}

func (h *holders) end(shard eventstore.Shard) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.by[shard] = nil
}

// start has a worker want the shards. Nothing in it takes time once a hold ends, so no two may hold a shard at once.
func (h *holders) start(tb testing.TB, db *postgres.DB, shards int) *worker {
	ctx, cancel := context.WithCancel(context.Background())
	w := &worker{db: db, held: map[eventstore.Shard]uint64{}}
	var wg sync.WaitGroup
	for shard := range eventstore.Shard(shards) {
		wg.Go(func() {
			for ctx.Err() == nil {
				held, epoch, err := db.Acquire(ctx, shard)
				if err != nil {
					if ctx.Err() == nil {
						tb.Error(err)
					}
					return
				}
				h.begin(w, shard, epoch)
				w.mu.Lock()
				w.held[shard] = epoch
				w.mu.Unlock()
				<-held.Done()
				h.end(shard)
				w.mu.Lock()
				delete(w.held, shard)
				w.mu.Unlock()
				db.Release(shard, epoch)
			}
		})
	}
	w.stop = func() { cancel(); wg.Wait() }
	tb.Cleanup(w.stop)
	return w
}

func (w *worker) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.held)
}

func counts(all ...*worker) string {
	s := ""
	for _, w := range all {
		s += fmt.Sprint(w.count(), " ")
	}
	return s
}

func newHolders(t *testing.T) *holders {
	h := &holders{by: map[eventstore.Shard]*worker{}, epoch: map[eventstore.Shard]uint64{}}
	t.Cleanup(func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		for _, w := range h.wrong {
			t.Error(w)
		}
	})
	return h
}

// Leases spread over the processes there are: each has its share, before and after one comes, goes, or dies.
func TestLeasesSpreadEvenly(t *testing.T) {
	t.Parallel()
	owner, address := database(t)
	h := newHolders(t)
	one := h.start(t, open(t, address), 16)
	eventually(t, "16 for one", func() bool { return one.count() == 16 })
	two := h.start(t, open(t, address), 16)
	eventually(t, "8 each", func() bool { return counts(one, two) == "8 8 " })
	three := h.start(t, open(t, address), 16)
	eventually(t, "a third each", func() bool {
		a, b, c := one.count(), two.count(), three.count()
		return a+b+c == 16 && min(a, b, c) == 5
	})
	two.stop()
	eventually(t, "8 each once one stopped", func() bool { return counts(one, three) == "8 8 " })
	var members int
	if err := connect(t, owner).QueryRow(t.Context(), `SELECT count(*) FROM auditlog_relay.members`).Scan(&members); err != nil || members != 2 {
		t.Errorf("%d members, %v; the one that stopped wants nothing", members, err)
	}
}

// However many leases there are, a process says three short things in the life of one.
func TestRenewingIsCheap(t *testing.T) {
	t.Parallel()
	owner, address := database(t)
	h := newHolders(t)
	var all []*worker
	for range 3 {
		all = append(all, h.start(t, open(t, address), 16))
	}
	eventually(t, "a third each", func() bool {
		a, b, c := all[0].count(), all[1].count(), all[2].count()
		return a+b+c == 16 && min(a, b, c) == 5
	})
	conn := connect(t, owner)
	commits := func() (n int) {
		err := conn.QueryRow(t.Context(), `SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()`).Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	time.Sleep(2 * time.Second) // until the server has counted what came before
	before := commits()
	time.Sleep(3 * life) // what is measured is what happens in that time
	if n := commits() - before; n > 60 {
		t.Errorf("%d transactions of three processes in three lives", n)
	} else {
		t.Logf("%d transactions of three processes in three lives", n)
	}
}

// A relay that stops hands over at once, long before its leases would be over.
func TestStopHandsOverAtOnce(t *testing.T) {
	t.Parallel()
	_, address := database(t)
	h := newHolders(t)
	var all [2]*worker
	for i := range all {
		db, err := postgres.Open(t.Context(), address, postgres.Options{Life: time.Hour, Log: quiet})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		all[i] = h.start(t, db, 4)
		if i == 0 {
			eventually(t, "4 for one", func() bool { return all[0].count() == 4 })
		}
	}
	eventually(t, "2 each", func() bool { return counts(all[:]...) == "2 2 " })
	all[0].stop()
	eventually(t, "4 for the other", func() bool { return all[1].count() == 4 })
}

// What is acquired twice, or after the end, fails; who does not wait any more takes nothing.
func TestAcquireEnds(t *testing.T) {
	t.Parallel()
	owner, address := database(t)
	one, two := open(t, address), open(t, address)
	held, epoch, err := one.Acquire(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := one.Acquire(t.Context(), 0); err == nil {
		t.Error("a lease was acquired twice")
	}
	ctx, cancel := context.WithTimeout(t.Context(), life/2)
	defer cancel()
	if _, _, err := two.Acquire(ctx, 0); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a lease that another holds: %v", err)
	}
	one.Release(0, epoch+1) // not what is held
	if held.Err() != nil {
		t.Error("another epoch's release ended the hold")
	}
	one.Release(0, epoch)
	conn := connect(t, owner)
	eventually(t, "nobody holds the lease", func() bool {
		var free bool
		err := conn.QueryRow(t.Context(), `SELECT holder IS NULL FROM auditlog_relay.leases`).Scan(&free)
		return err == nil && free
	})
	held, _, err = one.Acquire(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := one.Close(); err != nil { // with a hold, which ends and goes back
		t.Fatal(err)
	}
	if held.Err() == nil {
		t.Error("the database was closed and a hold goes on")
	}
	if _, _, err := two.Acquire(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if _, _, err := one.Acquire(t.Context(), 0); err == nil {
		t.Error("a lease of a closed database")
	}
}

// A hold ends by this process's clock when it cannot be renewed, before another may take the lease. When the server is
// back everything goes on by itself, under new epochs where time was up.
func TestServerRestarts(t *testing.T) {
	t.Parallel()
	server := pgtest.NewOwn(t)
	_, address := prepare(t, server.URL)
	h := newHolders(t)
	one, two := h.start(t, open(t, address), 4), h.start(t, open(t, address), 4)
	eventually(t, "2 each", func() bool { return counts(one, two) == "2 2 " })
	server.Kill()
	began := time.Now()
	eventually(t, "no holds while the server is away", func() bool { return counts(one, two) == "0 0 " })
	if took := time.Since(began); took > 2*life {
		t.Errorf("holds of %v lasted for %v", life, took)
	}
	server.Start()
	eventually(t, "2 each again", func() bool { return counts(one, two) == "2 2 " })
	if err := one.db.Save(t.Context(), 9, "a", 1, 1); err == nil {
		t.Error("a cursor moved without a lease")
	}
	one.mu.Lock()
	defer one.mu.Unlock()
	for shard, epoch := range one.held {
		if err := one.db.Save(t.Context(), shard, "a", epoch, 1); err != nil {
			t.Error(err)
		}
	}
}

// Connections that break one after the other, without end, cost no hold.
func TestBrokenConnectionsCostNoHold(t *testing.T) {
	t.Parallel()
	owner, address := database(t)
	h := newHolders(t)
	one := h.start(t, open(t, address), 4)
	eventually(t, "4 for one", func() bool { return one.count() == 4 })
	admin := connect(t, owner)
	cut := 0
	for end := time.Now().Add(3 * life); time.Now().Before(end); {
		cut += terminate(t, admin)
		eventually(t, "a renewal", func() bool {
			var fresh bool
			err := admin.QueryRow(t.Context(), `SELECT min(expires_at) > clock_timestamp() + $1::interval * 0.9 FROM auditlog_relay.leases`, life).Scan(&fresh)
			return err == nil && fresh
		})
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for shard, epoch := range h.epoch {
		if epoch != 1 {
			t.Errorf("shard %d is at epoch %d: its hold was lost", shard, epoch)
		}
	}
	if cut < 5 {
		t.Errorf("%d connections were cut", cut)
	}
}

func terminate(t *testing.T, admin *pgx.Conn) (n int) {
	t.Helper()
	err := admin.QueryRow(t.Context(), `
		SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND usename = $1`, service).Scan(&n)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
