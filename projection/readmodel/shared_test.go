package readmodel_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"auditlog/eventstore"
	"auditlog/internal/fault"
	"auditlog/internal/pgdb/pgtest"
	"auditlog/projection"
	"auditlog/projection/find"
	"auditlog/projection/projtest"
	"auditlog/projection/readmodel"
	"auditlog/projection/stats"
	"auditlog/query"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// process is what one process has open of a home.
type process struct {
	find  *find.Projection
	stats *stats.Projection
}

func start(t *testing.T, w *projtest.World, home readmodel.Home, crash func() error) process {
	t.Helper()
	deps := readmodel.Deps{Store: w.Store, Opener: w.Opener, Fault: crash}
	f, err := find.Open(t.Context(), home, deps, nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := stats.Open(t.Context(), home, deps, stats.StoreNames{Find: f, Store: w.Store, Opener: w.Opener}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(s.Close(), f.Close()); err != nil {
			t.Error(err)
		}
	})
	return process{f, s}
}

func (p process) apply(ctx context.Context, env projection.Envelope) error {
	return errors.Join(p.find.Apply(ctx, env), p.stats.Apply(ctx, env))
}

func (p process) dump(t *testing.T) string {
	t.Helper()
	return projtest.Dump(t, p.find) + projtest.Dump(t, p.stats)
}

// busy is a log of four tenants, each in a shard of its own, with what changes counts: erasures, and purges if so asked.
func busy(t *testing.T, perTenant int, purges bool) (*projtest.World, projtest.Sharded) {
	t.Helper()
	w := projtest.New(t)
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range 4 {
		tenant := w.Tenant(fmt.Sprintf("tenant-%d", i))
		w.RecordMany(tenant, perTenant/2)
		w.Tick()
		border := w.Now()
		var drafts []eventstore.Draft
		for range perTenant / 2 {
			drafts = append(drafts, w.Draft(tenant, projtest.Entry{
				Actor: fmt.Sprintf("actor-%d", rnd.IntN(20)), Action: fmt.Sprintf("action-%d", rnd.IntN(30)), Subjects: []string{fmt.Sprintf("subject-%d", rnd.IntN(9))},
			}))
		}
		for _, o := range w.Append(tenant, drafts...) {
			if rnd.IntN(5) == 0 {
				w.Erase(tenant, o.ID)
			}
		}
		if purges {
			w.Purge(tenant, border)
		}
	}
	return w, projtest.ByTenant(w.Events())
}

// expected is the content that one process makes in files, event by event.
func expected(t *testing.T, w *projtest.World, log projtest.Sharded) string {
	t.Helper()
	p := start(t, w, readmodel.Folder(t.TempDir()), nil)
	for shard, events := range log {
		if err := p.apply(t.Context(), log.Envelope(eventstore.Shard(shard), 0, eventstore.Offset(len(events)))); err != nil {
			t.Fatal(err)
		}
	}
	return p.dump(t)
}

// same compares two dumps line by line.
func same(t *testing.T, who, got, want string) {
	t.Helper()
	if got == want {
		return
	}
	a, b := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range max(len(a), len(b)) {
		if i >= len(a) || i >= len(b) || a[i] != b[i] {
			t.Errorf("%s: %d lines, want %d; first other line %d:\n%s\nwant\n%s", who, len(a), len(b), i, strings.Join(a[i:min(i+3, len(a))], "\n"), strings.Join(b[i:min(i+3, len(b))], "\n"))
			return
		}
	}
}

// Processes that apply overlapping envelopes of the same shards at the same time, in other orders, give what one gives.
func TestTwoProcessesCountOnce(t *testing.T) {
	w, log := busy(t, 200, true)
	want := expected(t, w, log)
	home := projtest.NewDatabases(t).New(t)
	var g errgroup.Group
	for i := range 2 {
		p := start(t, w, home, nil)
		queue := make(chan projection.Envelope)
		g.Go(func() error {
			defer close(queue)
			for _, env := range log.Overlapping(rand.New(rand.NewPCG(3, uint64(i))), 60) {
				queue <- env
			}
			return nil
		})
		for range 4 {
			g.Go(func() (err error) {
				for env := range queue {
					err = errors.Join(err, p.apply(t.Context(), env))
				}
				return err
			})
		}
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	same(t, "both", start(t, w, home, nil).dump(t), want)
}

// While one process rebuilds again and again, another applies, and a third reads: no reader meets an error, counts
// that shrink, or two states in one answer, and no event is lost or counted twice.
func TestRebuildBesideOtherProcesses(t *testing.T) {
	w, log := busy(t, 200, false)
	want := expected(t, w, log)
	home := projtest.NewDatabases(t).New(t)
	rebuilder, applier, reader := start(t, w, home, nil), start(t, w, home, nil), start(t, w, home, nil)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var g, readers errgroup.Group
	g.Go(func() error {
		for range 3 {
			for _, rebuild := range []func(context.Context, projection.Source, func(done, head eventstore.Offset)) (readmodel.Report, error){
				rebuilder.stats.Rebuild, rebuilder.find.Rebuild,
			} {
				if r, err := rebuild(t.Context(), log, nil); err != nil || !r.Equal {
					return fmt.Errorf("rebuild: %+v, %w", r, err)
				}
			}
		}
		return nil
	})
	g.Go(func() (err error) {
		for _, env := range log.Overlapping(rand.New(rand.NewPCG(5, 6)), 40) {
			err = errors.Join(err, applier.apply(t.Context(), env))
		}
		return err
	})
	reads := 0
	readers.Go(func() error {
		tenant, last := log[0][0].Tenant, int64(0)
		for ; ctx.Err() == nil; reads++ {
			got, err := reader.stats.Stats(t.Context(), query.StatsQuery{Tenant: tenant, To: 1 << 60, Interval: "day", GroupBy: "actor_id"})
			var byActor int64 // read by another statement
			for _, b := range got.Buckets {
				for _, c := range b.Groups {
					byActor += c.Count
				}
			}
			if err != nil || got.Total < last || byActor != got.Total {
				return fmt.Errorf("%d entries, %d by actor, after %d: %w", got.Total, byActor, last, err)
			}
			last = got.Total
		}
		return nil
	})
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
	stop()
	if err := readers.Wait(); err != nil {
		t.Error(err)
	}
	if reads < 3 {
		t.Errorf("only %d reads", reads)
	}
	for name, p := range map[string]process{"rebuilder": rebuilder, "applier": applier, "reader": reader} {
		same(t, name, p.dump(t), want)
	}
}

// A backend that ends before a commit takes effect and range away together; the same envelope then finishes the work.
func TestBackendsEndBeforeCommits(t *testing.T) {
	w, log := busy(t, 20, true)
	want := expected(t, w, log)
	dbs := projtest.NewDatabases(t)
	super, err := pgx.Connect(t.Context(), dbs.Owner)
	if err != nil {
		t.Fatal(err)
	}
	defer super.Close(t.Context())
	rnd := rand.New(rand.NewPCG(7, 8))
	killed := 0
	p := start(t, w, dbs.New(t), func() error {
		if rnd.IntN(4) > 0 {
			return nil
		}
		killed++
		_, err := super.Exec(t.Context(), `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
		return err
	})
	for shard, events := range log {
		for at := 0; at < len(events); at += 5 {
			env := log.Envelope(eventstore.Shard(shard), eventstore.Offset(at), eventstore.Offset(min(at+5, len(events))))
			for {
				err := p.apply(t.Context(), env)
				if err == nil {
					break
				}
				if !fault.Is(err, fault.Unavailable) {
					t.Fatal(err)
				}
			}
		}
	}
	same(t, "after all kills", p.dump(t), want)
	if killed < 5 {
		t.Errorf("only %d kills", killed)
	}
}

// A server that was killed and started again needs nothing else: the next envelope is applied.
func TestServerRestarts(t *testing.T) {
	w, log := busy(t, 20, false)
	want := expected(t, w, log)
	server := pgtest.NewOwn(t)
	if err := readmodel.Prepare(t.Context(), server.URL, "postgres", readmodel.DatabaseOptions{}); err != nil {
		t.Fatal(err)
	}
	p := start(t, w, readmodel.Database(server.URL, readmodel.DatabaseOptions{}), nil)
	for shard, events := range log {
		env := log.Envelope(eventstore.Shard(shard), 0, eventstore.Offset(len(events)))
		if shard == 2 {
			server.Kill()
			if err := p.apply(t.Context(), env); !fault.Is(err, fault.Unavailable) {
				t.Fatalf("without a server: %v", err)
			}
			server.Start()
		}
		for end := time.Now().Add(20 * time.Second); ; {
			err := p.apply(t.Context(), env)
			if err == nil {
				break
			}
			if !fault.Is(err, fault.Unavailable) || time.Now().After(end) {
				t.Fatal(err)
			}
		}
	}
	for shard, events := range log { // commits are not waited for: what the crash took back is applied again
		if err := p.apply(t.Context(), log.Envelope(eventstore.Shard(shard), 0, eventstore.Offset(len(events)))); err != nil {
			t.Fatal(err)
		}
	}
	same(t, "after the restart", p.dump(t), want)
}
