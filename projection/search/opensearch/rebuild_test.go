package opensearch_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"auditlog/eventstore"
	"auditlog/eventstore/format"
	"auditlog/internal/entry"
	"auditlog/internal/fault"
	"auditlog/projection"
	"auditlog/projection/search/opensearch"
	"auditlog/projection/search/opensearch/ostest"
	"auditlog/projection/search/searchtest"
	"auditlog/query"
)

// dump is every document that readers can meet: id, version and the digest of its content.
func dump(t *testing.T, prefix string) string {
	t.Helper()
	ask(t, http.MethodPost, "/"+prefix+"/_refresh", "", nil)
	var answer struct {
		Hits struct {
			Hits []struct {
				ID     string           `json:"_id"`
				Fields map[string][]any `json:"fields"`
			} `json:"hits"`
		} `json:"hits"`
	}
	ask(t, http.MethodPost, "/"+prefix+"/_search", `{"size":1000,"sort":["offset"],"docvalue_fields":["version","digest","kind"]}`, &answer)
	var b strings.Builder
	for _, h := range answer.Hits.Hits {
		fmt.Fprintln(&b, h.ID, h.Fields)
	}
	return b.String()
}

// history is a log in which order could matter.
func history(l *searchtest.Log) {
	e := l.Record(tenant, format.Public{Action: "READ"}, format.Private{Message: "first"})
	kept := l.Record(tenant, format.Public{Action: "READ"}, format.Private{Message: "kept"})
	l.Amend(e, format.Private{Message: "second"})
	l.Amend(kept, format.Private{Message: "third", Metadata: []byte(`{"k":1}`)})
	l.Record(searchtest.Tenant(2), format.Public{Action: "READ"}, format.Private{Message: "other"})
	l.Append(tenant, format.Public{Type: "access.list"}, format.Private{Message: "seen"})
	l.Purge(tenant, 1)
	l.Erase(kept)
}

func TestAnyOrderGivesTheSameDocuments(t *testing.T) {
	t.Parallel()
	straight := newWorld(t, 0, nil)
	history(straight.log)
	straight.apply()
	want := dump(t, straight.cfg.Prefix)
	if strings.Count(want, "\n") != 4 {
		t.Fatalf("dump:\n%s", want)
	}
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 3))
	for range 6 {
		w := newWorld(t, 0, nil)
		history(w.log)
		order := r.Perm(8)
		for _, o := range order {
			at := eventstore.Offset(o)
			for _, env := range []projection.Envelope{w.log.Envelope(at, at+1), w.log.Envelope(max(at-eventstore.Offset(r.IntN(3)), 0), at+1)} {
				if err := w.x.Apply(t.Context(), env); err != nil {
					t.Fatal(err)
				}
			}
		}
		if got := dump(t, w.cfg.Prefix); got != want {
			t.Fatalf("seed %d, order %v:\n%swant\n%s", seed, order, got, want)
		}
	}
}

// An answer that is lost between the effect and its range leaves the range to be applied again, without a trace.
func TestRangeIsRecordedAfterItsEffect(t *testing.T) {
	t.Parallel()
	state := &failingState{}
	w := newWorld(t, 10, func(c *opensearch.Config) { state.State = c.State; c.State = state })
	state.fail = func(call string) error {
		if call == "Add" {
			return errors.New("killed")
		}
		return nil
	}
	if err := w.x.Apply(t.Context(), w.whole()); err == nil {
		t.Fatal("applied without a range")
	}
	if got := strings.Count(dump(t, w.cfg.Prefix), "\n"); got != 10 {
		t.Fatalf("%d documents before the range, want 10", got)
	}
	state.fail = nil
	w.apply()
	w.expect(10)
}

// failingState fails calls before they do anything.
type failingState struct {
	opensearch.State
	fail func(call string) error
}

func (s *failingState) check(call string) error {
	if s.fail == nil {
		return nil
	}
	return s.fail(call)
}

func (s *failingState) Add(ctx context.Context, gen int, shard eventstore.Shard, r projection.Range) error {
	if err := s.check("Add"); err != nil {
		return err
	}
	return s.State.Add(ctx, gen, shard, r)
}

func (s *failingState) Promote(ctx context.Context, gen int) error {
	if err := s.check("Promote"); err != nil {
		return err
	}
	return s.State.Promote(ctx, gen)
}

func (s *failingState) Reopen(ctx context.Context, gen int) error {
	if err := s.check("Reopen"); err != nil {
		return err
	}
	return s.State.Reopen(ctx, gen)
}

// A rebuild beside writers and readers loses nothing, shows nothing twice, and equals what it replaces.
func TestRebuildWhileWritesGoOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 500, nil)
	w.apply()
	w.await()
	stop := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() { // writer; a delivery while generations swap is refused and comes again
		for {
			select {
			case <-stop:
				return
			default:
			}
			w.record(5)
			head := w.log.Head()
			for err := errors.New("not yet"); err != nil; {
				if err = w.x.Apply(t.Context(), w.log.Envelope(head-5, head)); err != nil && !errors.Is(err, opensearch.ErrClosed) {
					t.Error(err)
					return
				}
			}
		}
	})
	all.Go(func() { // reader
		for last := eventstore.Offset(0); ; {
			select {
			case <-stop:
				return
			default:
			}
			visible, err := w.x.Visible(t.Context(), 0)
			if err != nil || visible < last {
				t.Errorf("visible went from %d to %d, %v", last, visible, err)
				return
			}
			last = visible
			n, err := w.x.Count(t.Context(), query.IndexQuery{Tenant: tenant, Bound: eventstore.Position(visible)}, 100_000)
			if err != nil || n != int(visible) {
				t.Errorf("%d entries are visible, counted %d, %v", visible, n, err)
				return
			}
		}
	})
	for range 2 {
		r, err := w.x.Rebuild(t.Context(), nil)
		if err != nil || len(r.Differences) != 0 || len(r.Skipped) != 0 || r.Documents < 500 {
			t.Errorf("rebuilt %+v, %v", r, err)
		}
	}
	close(stop)
	all.Wait()
	w.apply()
	w.expect(int(w.log.Head()))
	if got := aliased(t, w.cfg.Prefix); !slices.Equal(got, []string{"g3-all-2024.03"}) {
		t.Errorf("alias holds %q", got)
	}
	if _, text := ask(t, http.MethodGet, "/_cat/indices/"+w.cfg.Prefix+"-*?h=index", "", nil); strings.Count(text, w.cfg.Prefix) != 1 {
		t.Errorf("indices left: %s", text)
	}
}

// A server that is away for a while does not end a rebuild.
func TestRebuildOutlivesAnOutage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 30, func(c *opensearch.Config) { c.Requests.Patience = 100 * time.Millisecond })
	w.apply()
	w.await()
	healthy := time.Now().Add(time.Second)
	w.proxy.set(func(rw http.ResponseWriter, r *http.Request, items [][]byte) {
		if time.Now().Before(healthy) {
			rw.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		reply(rw, w.proxy.pass(r, items))
	})
	if r, err := w.x.Rebuild(t.Context(), nil); err != nil || r.Documents != 30 || len(r.Differences) != 0 {
		t.Errorf("rebuilt %+v, %v", r, err)
	}
	w.expect(30)
}

func TestRebuildTellsDifferencesAndSkipsPoison(t *testing.T) {
	t.Parallel()
	log := searchtest.NewLog(t)
	cfg := config(t, ostest.Address(t), log)
	opener := &pickyOpener{Log: log}
	cfg.Opener = opener
	w := &world{T: t, log: log, cfg: cfg, x: open(t, cfg)}
	w.record(30)
	w.apply()
	w.await()
	stray := log.Envelope(4, 5).Events[0].ID.String()
	if status, text := ask(t, http.MethodDelete, "/"+cfg.Prefix+"-g1-all-2024.03/_doc/"+stray+"?routing="+tenant.String(), "", nil); status != 200 {
		t.Fatalf("%d %s", status, text)
	}
	opener.bad = 9
	r, err := w.x.Rebuild(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Differences) != 1 || r.Differences[0] != (opensearch.Difference{Tenant: tenant, Month: "2024-03", Old: 29, New: 29}) {
		t.Errorf("differences %+v", r.Differences)
	}
	if len(r.Skipped) != 1 || r.Skipped[0].Offset != 9 {
		t.Errorf("skipped %+v", r.Skipped)
	}
	w.expect(29)
}

// pickyOpener calls one event damaged.
type pickyOpener struct {
	*searchtest.Log
	bad eventstore.Offset
}

func (o *pickyOpener) Open(ctx context.Context, ev eventstore.Event) (entry.Opened, error) {
	if ev.Offset == o.bad {
		return entry.Opened{}, &projection.Poison{Err: errors.New("damaged")}
	}
	return o.Log.Open(ctx, ev)
}

// A rebuild that dies in its last step is finished or taken back by whoever applies next, once its time is over.
func TestRebuildThatDiesIsResolved(t *testing.T) {
	t.Parallel()
	for call, alias := range map[string]string{"Promote": "g2-all-2024.03", "Add": "g1-all-2024.03"} {
		state := &failingState{}
		now := time.Now()
		w := newWorld(t, 5, func(c *opensearch.Config) {
			state.State, c.State = c.State, state
			c.Clock = func() time.Time { return now }
		})
		w.apply()
		w.await()
		w.record(1) // left for the last step
		shut := false
		state.fail = func(c string) error {
			if c == "Reopen" || c == call && (c == "Promote" || shut) {
				return errors.New("killed")
			}
			if c == "Add" {
				shut = true
				w.record(1)
			}
			return nil
		}
		if _, err := w.x.Rebuild(t.Context(), nil); err == nil {
			t.Fatalf("%s: rebuilt", call)
		}
		state.fail = nil
		if err := w.x.Apply(t.Context(), w.whole()); !errors.Is(err, opensearch.ErrClosed) {
			t.Errorf("%s: while shut: %v", call, err)
		}
		now = now.Add(3 * time.Minute)
		w.apply()
		w.expect(int(w.log.Head()))
		if got := aliased(t, w.cfg.Prefix); !slices.Equal(got, []string{alias}) {
			t.Errorf("%s: alias holds %q, want %s", call, got, alias)
		}
	}
}

// A server that lost an index, or is another one, is filled anew by the sweeper; until then searches fail.
func TestLostIndexIsBuiltAnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 20, nil)
	w.apply()
	w.expect(20)
	ask(t, http.MethodDelete, "/"+w.cfg.Prefix+"-g1-all-2024.03", "", nil)
	w.untilSearch(func(err error) bool { return fault.Is(err, fault.Unavailable) })
	runner := projection.NewRunner(w.x, w.log, &parking{}, projection.RunnerOptions{Log: w.cfg.Log})
	w.record(1)
	if err := w.x.Apply(t.Context(), w.log.Envelope(20, 21)); err == nil {
		t.Error("applied to an index that is gone")
	}
	if r, err := w.x.Progress(t.Context(), 0); err != nil || len(r) != 0 {
		t.Errorf("progress %v, %v", r, err)
	}
	if err := runner.Sweep(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	w.expect(21)
}

// untilSearch searches until the error is as wanted.
func (w *world) untilSearch(wanted func(error) bool) {
	w.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; {
		_, err := w.x.Find(w.Context(), query.IndexQuery{Tenant: tenant, Limit: 10})
		if wanted(err) {
			return
		}
		if time.Now().After(deadline) {
			w.Fatalf("search still gives %v", err)
		}
	}
}

// A document that was on its way while its tenant was purged does not stay.
func TestLateDocumentsOfAPurgeAreTakenBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0, nil)
	w.log.Record(searchtest.Tenant(2), format.Public{Action: "READ"}, format.Private{Message: "keeps the index"})
	w.apply()
	w.record(5)
	env := w.log.Envelope(1, 6)
	w.log.Purge(tenant, 3)
	straight := w.cfg
	straight.Addresses = []string{ostest.Address(t)}
	other := open(t, straight) // another process, so to speak
	var once sync.Once
	w.proxy.set(func(rw http.ResponseWriter, r *http.Request, items [][]byte) {
		once.Do(func() { // the purge is applied between reading the events and writing their documents
			if err := other.Apply(t.Context(), w.log.Envelope(6, 7)); err != nil {
				t.Error(err)
			}
		})
		reply(rw, w.proxy.pass(r, items))
	})
	if err := w.x.Apply(t.Context(), env); err != nil {
		t.Fatal(err)
	}
	w.expect(2)
}
