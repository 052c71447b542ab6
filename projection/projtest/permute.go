package projtest

import (
	"bytes"
	"context"
	"io"
	"slices"
	"testing"
	"time"

	"auditlog/eventstore"
	"auditlog/projection"
	"auditlog/projection/readmodel"
)

// Dumper is a projection whose whole content can be compared.
type Dumper interface {
	projection.Reapplier
	Dump(ctx context.Context, w io.Writer) error
	Close() error
}

type history func(w *World, tenant eventstore.TenantID)

// fives are histories of up to five events each in which order could matter.
var fives = map[string]history{
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
}

// three is a history of three events that change each other.
func three(w *World, tenant eventstore.TenantID) {
	a := w.Record(tenant, Entry{Actor: "ada", Subjects: []string{"s1"}})
	w.Record(tenant, Entry{Actor: "ada", Subjects: []string{"s1", "s2"}})
	w.Erase(tenant, a.ID)
}

// Permute opens a projection for every order of the events of a few histories, one of them coming again late, and for
// the orders in which each comes again, whether its range is recorded or not; and for every sequence in which each of
// three events comes once or twice. All must give the content of the plain order. Histories hold records, an
// amendment, erasures and a purge. It does so in files; on PostgreSQL, where the same code decides, with every tenth
// order and sequence.
func Permute(t *testing.T, open func(t *testing.T, w *World, home readmodel.Home) Dumper) {
	Homes(t, func(t *testing.T, homes Maker) {
		some := func(n int) bool { return !homes.Shared() || n%10 == 1 }
		for name, history := range fives {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				permuteOrders(newBench(t, homes, open, history), some)
			})
		}
		t.Run("each once or twice", func(t *testing.T) {
			t.Parallel()
			b, n := newBench(t, homes, open, three), 0
			for sequence := range Doublings(len(b.events)) {
				if n++; !some(n) {
					continue
				}
				p := b.open(b.fresh())
				b.apply(p, sequence...)
				b.same(p, "sequence %v", sequence)
				must(t, p.Close())
			}
			if n != 222 { // by multiset: 3! + 3·4!/2 + 3·5!/4 + 6!/8
				t.Errorf("%d sequences", n)
			}
		})
	})
}

func permuteOrders(b *bench, some func(n int) bool) {
	var l Late
	n := 0
	for order := range Orders(len(b.events)) {
		at, after := l.Pick(order)
		if n++; !some(n) {
			continue
		}
		p := b.open(b.fresh())
		b.apply(p, slices.Insert(slices.Clone(order), after, order[at])...)
		b.same(p, "order %v, %d again after %d", order, order[at], after)
		must(b.t, p.Close())
		p = b.open(b.fresh()) // without what could have repaired an order's damage
		b.apply(p, order...)
		b.same(p, "order %v", order)
		for _, i := range order {
			must(b.t, p.Reapply(b.t.Context(), Single(b.events[i])))
			b.apply(p, (i+1)%len(b.events))
		}
		b.same(p, "order %v, each twice", order)
		must(b.t, p.Close())
	}
	if n := l.Missing(len(b.events)); n > 0 && len(b.events) == 5 { // the 24 orders of four are too few for all ways
		b.t.Errorf("%d ways to be late were not tried", n)
	}
}

// bench is where a history's events are applied in many sequences, and compared with the plain one.
type bench struct {
	t      *testing.T
	open   func(home readmodel.Home) Dumper
	fresh  func() readmodel.Home // empty
	events []eventstore.Event
	want   string
}

func newBench(t *testing.T, homes Maker, open func(t *testing.T, w *World, home readmodel.Home) Dumper, history history) *bench {
	w := New(t)
	history(w, w.Tenant("acme"))
	b := &bench{t: t, open: func(home readmodel.Home) Dumper { return open(t, w, home) }, events: w.Events()[1:]} // the first created the tenant
	b.fresh = homes.copier(t, b.open)
	p := b.open(b.fresh())
	for i := range b.events {
		b.apply(p, i)
	}
	b.want = Dump(t, p)
	must(t, p.Close())
	return b
}

func (b *bench) apply(p Dumper, which ...int) {
	for _, i := range which {
		must(b.t, p.Apply(b.t.Context(), Single(b.events[i])))
	}
}

// same holds the projection to the content of the plain order.
func (b *bench) same(p Dumper, format string, args ...any) {
	b.t.Helper()
	if got := Dump(b.t, p); got != b.want {
		b.t.Fatalf(format+" gives\n%s\nwant\n%s", append(args, got, b.want)...)
	}
}

// Dump is the content of a projection.
func Dump(tb testing.TB, p Dumper) string {
	tb.Helper()
	var b bytes.Buffer
	must(tb, p.Dump(context.Background(), &b))
	return b.String()
}
