package find_test

import (
	"os"
	"slices"
	"testing"

	"auditlog/eventstore"
	"auditlog/internal/pgdb/pgtest"
	"auditlog/projection"
	"auditlog/projection/find"
	"auditlog/projection/projtest"
	"auditlog/projection/readmodel"
)

func open(t *testing.T, w *projtest.World, home readmodel.Home) *find.Projection {
	t.Helper()
	p, err := find.Open(t.Context(), home, readmodel.Deps{Store: w.Store, Opener: w.Opener}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

func TestEveryOrderGivesTheSame(t *testing.T) {
	projtest.Permute(t, func(t *testing.T, w *projtest.World, home readmodel.Home) projtest.Dumper { return open(t, w, home) })
}

func apply(t *testing.T, w *projtest.World, p *find.Projection) {
	t.Helper()
	events := w.Events()
	env := projection.Envelope{To: events[len(events)-1].Offset, Events: events}
	if err := p.Apply(t.Context(), env); err != nil {
		t.Fatal(err)
	}
}

func positions(t *testing.T, w *projtest.World, p *find.Projection, tenant eventstore.TenantID, label, value string, after eventstore.Position, limit int) []eventstore.Position {
	t.Helper()
	token, err := w.Ring.Token(t.Context(), tenant, label, []byte(value))
	if err != nil {
		t.Fatal(err)
	}
	at, err := p.Positions(t.Context(), tenant, label, token, after, limit)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestPositions(t *testing.T) {
	projtest.Homes(t, func(t *testing.T, homes projtest.Maker) { testPositions(t, homes.New(t)) })
}

func testPositions(t *testing.T, home readmodel.Home) {
	w := projtest.New(t)
	a, b := w.Tenant("a"), w.Tenant("b")
	first := w.Record(a, projtest.Entry{Actor: "ada", Subjects: []string{"ada", "eve"}})
	second := w.Record(a, projtest.Entry{Actor: "ada"})
	w.Record(b, projtest.Entry{Actor: "ada"})
	third := w.Record(a, projtest.Entry{Actor: "bob", Subjects: []string{"ada"}})
	p := open(t, w, home)
	defer p.Close()
	apply(t, w, p)
	for _, c := range []struct {
		label, value string
		after        eventstore.Position
		limit        int
		want         []eventstore.Position
	}{
		{find.Actor, "ada", 0, 10, []eventstore.Position{first.Position, second.Position}},
		{find.Actor, "ada", 0, 1, []eventstore.Position{first.Position}},
		{find.Actor, "ada", first.Position, 10, []eventstore.Position{second.Position}},
		{find.Subject, "ada", 0, 10, []eventstore.Position{first.Position, third.Position}},
		{find.Subject, "bob", 0, 10, nil},
	} {
		if got := positions(t, w, p, a, c.label, c.value, c.after, c.limit); !slices.Equal(got, c.want) {
			t.Errorf("%s %s after %d, limit %d: %v, want %v", c.label, c.value, c.after, c.limit, got, c.want)
		}
	}
	w.Erase(a, first.ID)
	apply(t, w, p)
	if got := positions(t, w, p, a, find.Subject, "ada", 0, 10); !slices.Equal(got, []eventstore.Position{third.Position}) {
		t.Errorf("after the erasure: %v", got)
	}
	if got := positions(t, w, p, a, find.Subject, "eve", 0, 10); got != nil {
		t.Errorf("an erased subject is found at %v", got)
	}
}
