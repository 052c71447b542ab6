package opensearch_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"auditlog/eventstore"
	"auditlog/internal/pgdb/pgtest"
	"auditlog/projection"
	"auditlog/projection/search/opensearch"
	"auditlog/projection/search/opensearch/ostest"
	"auditlog/projection/search/opensearch/pgstate"
	"auditlog/projection/search/searchtest"
	"auditlog/query"
)

// shared gives each process its connection to one state.
func shared(t *testing.T) (connect func() opensearch.State) {
	t.Helper()
	const service = "auditlog_test_search"
	owner := pgtest.Database(t)
	if err := pgstate.Prepare(t.Context(), owner, service); err != nil {
		t.Fatal(err)
	}
	address := pgtest.As(t, owner, service)
	return func() opensearch.State {
		s, err := pgstate.Open(t.Context(), address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		return s
	}
}

// Two workers apply the same envelopes, in any order, some twice and some not at all, and one of them rebuilds meanwhile.
// A third process that only asks sees the marks move, and finds exactly what they promise.
func TestTwoWorkersAndAReader(t *testing.T) {
	t.Parallel()
	const batches, batch = 60, 20
	log := searchtest.NewLog(t)
	cfg := config(t, ostest.Address(t), log)
	connect := shared(t)
	process := func(readOnly bool) *opensearch.Index {
		c := cfg
		c.State, c.ReadOnly = connect(), readOnly
		return open(t, c)
	}
	workers := []*opensearch.Index{process(false), process(false)}
	reader := &world{T: t, log: log, cfg: cfg, x: process(true)}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 5))
	for range batches * batch {
		reader.add(tenant)
	}
	head := log.Head()
	ctx, stop := context.WithCancel(t.Context())
	var sweeps, all sync.WaitGroup
	var runners []*projection.Runner
	for _, x := range workers {
		runner := projection.NewRunner(x, log, &parking{}, projection.RunnerOptions{
			Log: cfg.Log, Shared: true, Sweep: 300 * time.Millisecond, Settle: 100 * time.Millisecond,
		})
		runners = append(runners, runner)
		sweeps.Go(func() { _ = runner.Run(ctx) }) // ends with ctx
	}
	for _, runner := range runners {
		var mine []eventstore.Offset // most go to both workers
		for _, i := range r.Perm(batches) {
			if r.IntN(4) > 0 {
				mine = append(mine, eventstore.Offset(i*batch))
			}
		}
		all.Go(func() {
			for _, from := range mine {
				_ = runner.Handle(ctx, log.Envelope(from, from+batch)) // what fails is the sweeper's
			}
		})
	}
	all.Go(func() {
		if r, err := workers[0].Rebuild(ctx, nil); err != nil || len(r.Differences) != 0 {
			t.Errorf("rebuilt %+v, %v", r, err)
		}
	})
	deadline := time.After(60 * time.Second)
	for last := eventstore.Offset(0); last < head; {
		changed := reader.x.Changed()
		visible, err := reader.x.Visible(ctx, 0)
		if err != nil || visible < last {
			t.Fatalf("visible went from %d to %d, %v", last, visible, err)
		}
		last = visible
		n, err := reader.x.Count(ctx, query.IndexQuery{Tenant: tenant, Bound: eventstore.Position(visible)}, 10_000)
		if err != nil || n != int(visible) {
			t.Fatalf("%d entries are visible, found %d, %v", visible, n, err)
		}
		if last < head {
			select {
			case <-changed:
			case <-deadline:
				t.Fatalf("visible is %d of %d", last, head)
			}
		}
	}
	all.Wait()
	stop()
	sweeps.Wait()
	reader.expect(int(head))
}
