package storetest_test

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"auditlog/eventstore"
	"auditlog/eventstore/sqlite"
	"auditlog/eventstore/storetest"
	"auditlog/internal/fault"
)

// TestCasesSeeBrokenStores shows for each promise that a store which breaks it fails the promise's case. Each mutant is
// the SQLite store with one lie.
func TestCasesSeeBrokenStores(t *testing.T) {
	for _, m := range mutants {
		t.Run(m.promise+"/"+m.lie, func(t *testing.T) {
			h := harness(m.wrap, m.reopen)
			h.Patience = 300 * time.Millisecond // what a mutant never does is not waited for
			r := run(t, m.promise, h)
			if len(r.failures) == 0 {
				t.Fatalf("the case does not see it")
			}
			t.Log(r.failures[0])
		})
	}
}

// TestEveryPromiseHasALie keeps the table whole, and shows that it is the lie that fails a case: without one all pass.
func TestEveryPromiseHasALie(t *testing.T) {
	lies := map[string]bool{}
	for _, m := range mutants {
		lies[m.promise] = true
	}
	for _, c := range storetest.Cases() {
		if !lies[c.Name] {
			t.Errorf("no broken store for %s", c.Name)
		}
		r := run(t, c.Name, harness(func(s honest) eventstore.Store { return &s }, nil))
		if len(r.failures) > 0 {
			t.Errorf("%s fails on a store that keeps it: %s", c.Name, strings.Join(r.failures, "\n"))
		}
	}
}

// recorder is a testing.TB whose failures are the result, not the test's.
type recorder struct {
	testing.TB
	mu       sync.Mutex
	failures []string
}

func (r *recorder) add(s string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, s)
}

func (r *recorder) Error(a ...any)            { r.add(fmt.Sprint(a...)) }
func (r *recorder) Errorf(f string, a ...any) { r.add(fmt.Sprintf(f, a...)) }
func (r *recorder) Fatal(a ...any)            { r.add(fmt.Sprint(a...)); runtime.Goexit() }
func (r *recorder) Fatalf(f string, a ...any) { r.add(fmt.Sprintf(f, a...)); runtime.Goexit() }

func run(t *testing.T, promise string, h storetest.Harness) *recorder {
	r := &recorder{TB: t}
	for _, c := range storetest.Cases() {
		if c.Name == promise {
			var wg sync.WaitGroup
			wg.Go(func() { c.Run(r, h) })
			wg.Wait()
			return r
		}
	}
	t.Fatalf("there is no case %s", promise)
	return nil
}

// honest is the store below a mutant.
type honest struct {
	*sqlite.Store
	path string
	now  func() time.Time
}

func (h *honest) below() *honest { return h }

type layered interface{ below() *honest }

func harness(wrap func(honest) eventstore.Store, reopen func(tb testing.TB, h *honest) string) storetest.Harness {
	at := func(tb testing.TB, path string, now func() time.Time) eventstore.Store {
		s, err := sqlite.Open(tb.Context(), path, sqlite.Options{Now: now})
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() {
			if err := s.Close(); err != nil {
				tb.Error(err)
			}
		})
		return wrap(honest{s, path, now})
	}
	return storetest.Harness{
		New: func(tb testing.TB, now func() time.Time) eventstore.Store {
			return at(tb, filepath.Join(tb.TempDir(), "events.db"), now)
		},
		Reopen: func(tb testing.TB, s eventstore.Store, now func() time.Time) eventstore.Store {
			h := s.(layered).below()
			path := h.path
			if reopen != nil {
				path = reopen(tb, h)
			}
			return at(tb, path, now)
		},
		Lifecycle: func(s eventstore.Store) eventstore.Lifecycle {
			if l, ok := s.(eventstore.Lifecycle); ok {
				return l
			}
			return s.(layered).below().Store
		},
	}
}

type mutant struct {
	promise, lie string
	wrap         func(honest) eventstore.Store
	reopen       func(tb testing.TB, h *honest) string
}

// appends makes a mutant whose Append is another.
func appends(f func(h honest, ctx context.Context, f eventstore.Flush) ([]eventstore.Outcome, error)) func(honest) eventstore.Store {
	return func(h honest) eventstore.Store { return &liar{honest: h, append: f} }
}

// reads makes a mutant whose pages are changed before a reader gets them.
func reads(f func(h honest, page []eventstore.Event) []eventstore.Event) func(honest) eventstore.Store {
	return func(h honest) eventstore.Store { return &liar{honest: h, page: f} }
}

func gets(f func(h honest, tenant eventstore.TenantID, id eventstore.EventID) (eventstore.Event, error)) func(honest) eventstore.Store {
	return func(h honest) eventstore.Store { return &liar{honest: h, get: f} }
}

// liar is a store with some methods replaced.
type liar struct {
	honest
	append func(h honest, ctx context.Context, f eventstore.Flush) ([]eventstore.Outcome, error)
	page   func(h honest, page []eventstore.Event) []eventstore.Event
	get    func(h honest, tenant eventstore.TenantID, id eventstore.EventID) (eventstore.Event, error)
}

func (l *liar) Append(ctx context.Context, f eventstore.Flush) ([]eventstore.Outcome, error) {
	if l.append == nil {
		return l.Store.Append(ctx, f)
	}
	return l.append(l.honest, ctx, f)
}

func (l *liar) ReadTenant(ctx context.Context, t eventstore.TenantID, after eventstore.Position, limit int) ([]eventstore.Event, error) {
	page, err := l.Store.ReadTenant(ctx, t, after, limit)
	if l.page != nil {
		page = l.page(l.honest, page)
	}
	return page, err
}

func (l *liar) ReadShard(ctx context.Context, s eventstore.Shard, after eventstore.Offset, limit int) ([]eventstore.Event, error) {
	page, err := l.Store.ReadShard(ctx, s, after, limit)
	if l.page != nil {
		page = l.page(l.honest, page)
	}
	return page, err
}

func (l *liar) About(ctx context.Context, t eventstore.TenantID, entries []eventstore.EventID) ([]eventstore.Event, error) {
	page, err := l.Store.About(ctx, t, entries)
	if l.page != nil {
		page = l.page(l.honest, page)
	}
	return page, err
}

func (l *liar) Get(ctx context.Context, t eventstore.TenantID, id eventstore.EventID) (eventstore.Event, error) {
	if l.get == nil {
		return l.Store.Get(ctx, t, id)
	}
	return l.get(l.honest, t, id)
}

// changed is a flush whose drafts are the caller's after a change.
func changed(f eventstore.Flush, change func(*eventstore.Unit, *eventstore.Draft)) eventstore.Flush {
	units := make([]eventstore.Unit, len(f.Units))
	for i, u := range f.Units {
		drafts := append([]eventstore.Draft(nil), u.Drafts...)
		u.Drafts = drafts
		for j := range drafts {
			change(&u, &drafts[j])
		}
		units[i] = u
	}
	f.Units = units
	return f
}

func newFlushID() eventstore.FlushID { return eventstore.FlushID(uuid.New()) }

var errMissing = fault.New(fault.NotFound, "there is no such event")
