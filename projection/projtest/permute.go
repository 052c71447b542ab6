package projtest

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"auditlog/eventstore"
	"auditlog/projection"
)

// Dumper is a projection whose whole content can be compared.
type Dumper interface {
	projection.Reapplier
	Dump(ctx context.Context, w io.Writer) error
	Close() error
}

// Permute opens a projection for every order of the events of a few histories, and for the orders in which each event
// comes again, whether its range is recorded or not; all must give the content of the plain order. Histories hold
// records, an amendment, erasures and a purge.
func Permute(t *testing.T, open func(t *testing.T, w *World, dir string) Dumper) {
	for name, history := range map[string]func(w *World, tenant eventstore.TenantID){
		"amend and erase": func(w *World, tenant eventstore.TenantID) {
			a := w.Record(tenant, Entry{Actor: "ada", Subjects: []string{"s1", "s2"}})
			w.Amend(tenant, a.ID, "more")
			w.Erase(tenant, a.ID)
			w.Record(tenant, Entry{Actor: "ada", Subjects: []string{"s1"}})
			w.Record(tenant, Entry{Actor: "bob", Action: "write", Severity: "ERROR"})
		},
		"erase and purge": func(w *World, tenant eventstore.TenantID) {
			w.Record(tenant, Entry{Actor: "ada"})
			b := w.Record(tenant, Entry{Actor: "bob", Subjects: []string{"s1"}})
			w.Erase(tenant, b.ID)
			w.Tick()
			border := w.Now()
			w.Record(tenant, Entry{Actor: "ada", Subjects: []string{"s1"}})
			w.Purge(tenant, border)
		},
		"purge between": func(w *World, tenant eventstore.TenantID) {
			w.Record(tenant, Entry{Actor: "ada"})
			w.Tick()
			w.Purge(tenant, w.Now())
			w.Tick()
			c := w.Record(tenant, Entry{Actor: "ada"})
			w.Erase(tenant, c.ID)
			w.Purge(tenant, w.Now().Add(-time.Second))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := New(t)
			history(w, w.Tenant("acme"))
			events := w.Events()[1:] // the first created the tenant
			empty := t.TempDir()     // opened once: making the tables costs more than filling them
			must(t, open(t, w, empty).Close())
			var want string
			orders(len(events), func(order []int) {
				dir := filepath.Join(t.TempDir(), "copy")
				must(t, os.CopyFS(dir, os.DirFS(empty)))
				p := open(t, w, dir)
				defer func() { must(t, p.Close()) }()
				for _, i := range order {
					must(t, p.Apply(t.Context(), Single(events[i])))
				}
				if got := Dump(t, p); want == "" {
					want = got
				} else if got != want {
					t.Fatalf("order %v gives\n%swant\n%s", order, got, want)
				}
				for _, i := range order {
					must(t, p.Reapply(t.Context(), Single(events[i])))
					must(t, p.Apply(t.Context(), Single(events[(i+1)%len(events)])))
				}
				if got := Dump(t, p); got != want {
					t.Fatalf("order %v, each twice, gives\n%swant\n%s", order, got, want)
				}
			})
		})
	}
}

// Dump is the content of a projection.
func Dump(tb testing.TB, p Dumper) string {
	tb.Helper()
	var b bytes.Buffer
	must(tb, p.Dump(context.Background(), &b))
	return b.String()
}

// orders calls f with every order of 0…n-1, ascending first.
func orders(n int, f func([]int)) {
	order := make([]int, 0, n)
	used := make([]bool, n)
	var next func()
	next = func() {
		if len(order) == n {
			f(order)
			return
		}
		for i := range n {
			if used[i] {
				continue
			}
			used[i], order = true, append(order, i)
			next()
			used[i], order = false, order[:len(order)-1]
		}
	}
	next()
}
