package opensearch_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"auditlog/eventstore"
	"auditlog/eventstore/format"
	"auditlog/projection"
	"auditlog/projection/search/opensearch"
	"auditlog/projection/search/opensearch/ostest"
	"auditlog/projection/search/searchtest"
	"auditlog/query"
)

const month = eventstore.Micros(31 * 24 * 3600_000000)

// add appends an entry of a tenant.
func (w *world) add(tenant eventstore.TenantID) {
	w.log.Record(tenant, format.Public{Action: "READ", Severity: "INFO"}, format.Private{Message: "text"})
}

// rest applies what the index has not applied, again while it is refused because something is being taken out.
func (w *world) rest(x *opensearch.Index) {
	w.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; {
		err := x.Apply(w.Context(), w.whole())
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			w.Fatal(err)
		}
	}
}

// expectOf checks the positions that are found of a tenant, ascending.
func (w *world) expectOf(tenant eventstore.TenantID, want ...eventstore.Position) {
	w.Helper()
	w.await()
	for deadline := time.Now().Add(10 * time.Second); ; { // what is taken back goes with the next refresh
		keys, err := w.x.Find(w.Context(), query.IndexQuery{Tenant: tenant, Sort: query.Sort{Ascending: true}, Limit: 100})
		var got []eventstore.Position
		for _, k := range keys {
			got = append(got, k.Position)
		}
		if err == nil && slices.Equal(got, want) {
			return
		}
		if time.Now().After(deadline) {
			w.Errorf("found %v, %v; want %v", got, err, want)
			return
		}
	}
}

func (w *world) expectAliased(want ...string) {
	w.Helper()
	if got := aliased(w.T, w.cfg.Prefix); !slices.Equal(got, want) {
		w.Errorf("readers ask %q, want %q", got, want)
	}
}

// A month goes with its index once the last tenant's entries in it are purged; what comes late has an index of its own.
func TestPurgedMonthIsDroppedWhole(t *testing.T) {
	t.Parallel()
	a, b, c := searchtest.Tenant(1), searchtest.Tenant(2), searchtest.Tenant(3)
	w := newWorld(t, 0, nil)
	var mu sync.Mutex
	var queries int
	w.proxy.all = func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/_delete_by_query") {
			mu.Lock()
			defer mu.Unlock()
			queries++
		}
		return false
	}
	for _, tenant := range []eventstore.TenantID{a, b, a, b} {
		w.add(tenant)
	}
	w.add(c) // comes late
	w.log.Advance(month)
	w.add(a)
	w.add(b)
	early, late := w.log.Envelope(0, 4), w.log.Envelope(4, 5)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(w.x.Apply(t.Context(), early))
	must(w.x.Apply(t.Context(), w.log.Envelope(5, 7)))
	w.log.Purge(a, 2)
	must(w.x.Apply(t.Context(), w.log.Envelope(7, 8)))
	w.expectAliased("g1-all-2024.03", "g1-all-2024.04")
	if queries != 1 {
		t.Errorf("%d deletions by query while another tenant's entries are there", queries)
	}
	w.log.Purge(b, 2)
	must(w.x.Apply(t.Context(), w.log.Envelope(8, 9)))
	w.expectAliased("g1-all-2024.04")
	if _, text := ask(t, http.MethodGet, "/_cat/indices/"+w.cfg.Prefix+"-*?h=index", "", nil); strings.Contains(text, "2024.03") {
		t.Errorf("the month is still on the server: %s", text)
	}
	if queries != 1 {
		t.Errorf("%d deletions by query for an index that goes whole", queries-1)
	}
	must(w.x.Apply(t.Context(), late))
	must(w.x.Reapply(t.Context(), early)) // a delivery that comes again brings nothing back
	w.expectAliased("g1-all-2024.03-2", "g1-all-2024.04")
	w.expectOf(a, 3)
	w.expectOf(b, 3)
	w.expectOf(c, 1)
	if r, err := w.x.Rebuild(t.Context(), nil); err != nil || r.Documents != 5 { // the two purges too
		t.Errorf("rebuilt %+v, %v", r, err)
	}
	w.expectOf(c, 1)
}

// stepState calls step before or after each step of taking an index out.
type stepState struct {
	opensearch.State
	step func(name string)
}

func (s *stepState) Retire(ctx context.Context, gen int, index string) (int64, error) {
	s.step("before Retire")
	defer s.step("after Retire")
	return s.State.Retire(ctx, gen, index)
}

func (s *stepState) DropIndex(ctx context.Context, gen int, index string, token int64) (bool, error) {
	s.step("before DropIndex")
	defer s.step("after DropIndex")
	return s.State.DropIndex(ctx, gen, index, token)
}

// Another process writes to an index at each step of its being taken out: its document is found, once.
func TestDocumentsThatMeetARetiringIndex(t *testing.T) {
	t.Parallel()
	a, b := searchtest.Tenant(1), searchtest.Tenant(2)
	for _, at := range []string{"before Retire", "after Retire", "before DropIndex", "after DropIndex", "DELETE", "after all"} {
		t.Run(strings.ReplaceAll(at, " ", "_"), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 0, func(c *opensearch.Config) { c.Scrub = 100 * time.Millisecond })
			var other *opensearch.Index
			var env projection.Envelope
			var once sync.Once
			write := func() {
				once.Do(func() { // what fails is delivered again below
					if err := other.Apply(t.Context(), env); err != nil {
						t.Logf("during %s: %v", at, err)
					}
				})
			}
			steps := &stepState{w.cfg.State, func(name string) {
				if name == at {
					write()
				}
			}}
			straight := w.cfg
			straight.Addresses = []string{ostest.Address(t)}
			other = open(t, straight)
			stepping := w.cfg
			stepping.State = steps
			purger := open(t, stepping)
			w.proxy.all = func(_ http.ResponseWriter, r *http.Request) bool {
				if r.Method == http.MethodDelete && at == "DELETE" {
					write()
				}
				return false
			}
			w.add(a)
			w.rest(other) // which knows the index from now on
			w.add(b)
			env = w.log.Envelope(1, 2)
			w.log.Advance(month)
			w.log.Purge(a, 1)
			if err := purger.Apply(t.Context(), w.log.Envelope(2, 3)); err != nil {
				t.Logf("purge: %v", err)
			}
			if at == "after all" {
				write()
			}
			w.rest(other)
			w.expectOf(b, 1)
			w.expectOf(a)
			once.Do(func() { t.Error("the step was never reached") })
		})
	}
}

// The index goes between the making of a document and its writing, and between its writing and the look at removals.
func TestIndexThatGoesDuringAWrite(t *testing.T) {
	t.Parallel()
	a, b := searchtest.Tenant(1), searchtest.Tenant(2)
	for _, written := range []bool{false, true} {
		w := newWorld(t, 0, nil)
		straight := w.cfg
		straight.Addresses = []string{ostest.Address(t)}
		purger := open(t, straight)
		w.add(a)
		w.rest(w.x)
		w.add(b)
		w.log.Advance(month)
		w.log.Purge(a, 1)
		var once sync.Once
		purge := func() {
			once.Do(func() {
				if err := purger.Apply(t.Context(), w.log.Envelope(2, 3)); err != nil {
					t.Error(err)
				}
			})
		}
		w.proxy.set(func(rw http.ResponseWriter, r *http.Request, items [][]byte) {
			if !written {
				purge()
			}
			answer := w.proxy.pass(r, items)
			if written {
				purge()
			}
			reply(rw, answer)
		})
		err := w.x.Apply(t.Context(), w.log.Envelope(1, 2))
		if written != (err == nil) {
			t.Errorf("written before the purge %v: %v", written, err)
		}
		w.rest(w.x)
		w.expectOf(b, 1)
		w.expectOf(a)
		want := "g1-all-2024.03"
		if !written {
			want += "-2"
		}
		w.expectAliased(want, "g1-all-2024.04")
	}
}

// An index that is empty, and one that somebody began to take out and died, are tended to.
func TestTendingEndsWhatWasLeft(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3, func(c *opensearch.Config) { c.Scrub = 50 * time.Millisecond })
	w.log.Advance(month)
	w.record(1)
	w.apply()
	w.await()
	march, april := w.cfg.Prefix+"-g1-all-2024.03", w.cfg.Prefix+"-g1-all-2024.04"
	if token, err := w.cfg.State.Retire(t.Context(), 1, april); err != nil || token == 0 {
		t.Fatalf("token %d, %v", token, err)
	}
	if status, text := ask(t, http.MethodPost, "/"+march+"/_delete_by_query?routing="+tenant.String(), `{"query":{"match_all":{}}}`, nil); status != 200 {
		t.Fatalf("%d %s", status, text)
	}
	w.record(1)
	w.rest(w.x) // once writers may
	for deadline := time.Now().Add(20 * time.Second); ; {
		removals, err := w.cfg.State.Removals(t.Context(), 1, nil)
		if err == nil && removals.Dropped[march] && len(removals.Retiring) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%+v, %v", removals, err)
		}
	}
	w.expect(2)
	if err := w.cfg.State.AddIndex(t.Context(), 1, march); !errors.Is(err, opensearch.ErrClosed) {
		t.Errorf("its name is not spent: %v", err)
	}
}
