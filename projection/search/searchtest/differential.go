package searchtest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"auditlog/eventstore"
	"auditlog/eventstore/format"
	"auditlog/internal/criteria"
	"auditlog/internal/text"
	"auditlog/query"
)

// agreesWithMatch compares random questions over a random log with criteria.Match.
func agreesWithMatch(t *testing.T, open New) {
	seed := rand.Uint64()
	g := &generator{rand.New(rand.NewPCG(seed, 1))}
	f := newFixture(t, open)
	g.fill(f.log, 300)
	f.apply()
	for i := range 400 {
		q := g.question(t)
		want := expected(f.log, q)
		got, err := pages(t.Context(), f.ix, q, 3+g.IntN(40))
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("seed %d, question %d %+v:\n got %v, %v\nwant %v", seed, i, q, got, err, want)
		}
		limit := 1 + g.IntN(40)
		if n, err := f.ix.Count(t.Context(), q, limit); err != nil || n != min(limit, len(want)) {
			t.Fatalf("seed %d, question %d %+v: count up to %d is %d, %v; want %d", seed, i, q, limit, n, err, len(want))
		}
	}
}

// Compare asks two kinds of index over the same random log the same random questions.
func Compare(t *testing.T, first, second New) {
	seed := rand.Uint64()
	g := &generator{rand.New(rand.NewPCG(seed, 2))}
	log := NewLog(t)
	a, b := &fixture{t, log, first(t, log)}, &fixture{t, log, second(t, log)}
	for round := range 3 {
		g.fill(log, 150)
		a.apply()
		b.apply()
		for i := range 80 {
			q, limit := g.question(t), 5+g.IntN(40)
			one, err := pages(t.Context(), a.ix, q, limit)
			if err != nil {
				t.Fatal(err)
			}
			two, err := pages(t.Context(), b.ix, q, limit)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(one, two) {
				t.Fatalf("seed %d, round %d, question %d %+v:\n first %v\nsecond %v", seed, round, i, q, one, two)
			}
			n, err := a.ix.Count(t.Context(), q, limit)
			if err != nil {
				t.Fatal(err)
			}
			if m, err := b.ix.Count(t.Context(), q, limit); err != nil || m != n {
				t.Fatalf("seed %d, round %d, question %d %+v: count %d and %d, %v", seed, round, i, q, n, m, err)
			}
		}
	}
}

// generator makes entries and criteria from a small vocabulary, so that they meet.
type generator struct{ *rand.Rand }

// fill appends n events of two tenants.
func (g *generator) fill(log *Log, n int) {
	var recorded []eventstore.Event
	for range n {
		switch tenant := Tenant(byte(1 + g.IntN(2))); {
		case g.IntN(8) == 0 && len(recorded) > 0:
			log.Amend(recorded[g.IntN(len(recorded))], format.Private{Message: g.words(), Metadata: g.metadata(), Reason: g.word()})
		case g.IntN(30) == 0 && len(recorded) > 0:
			log.Erase(recorded[g.IntN(len(recorded))])
		case g.IntN(10) == 0:
			log.Append(tenant, format.Public{Type: "access.list", Action: g.pick("READ", "LIST")}, format.Private{Actor: format.Actor{ID: g.word()}})
		default:
			recorded = append(recorded, log.Record(tenant, g.public(), g.private()))
		}
	}
}

// question asks one of the two tenants' entries.
func (g *generator) question(tb testing.TB) query.IndexQuery {
	q := query.IndexQuery{Tenant: Tenant(byte(1 + g.IntN(2))), Criteria: g.criteria(tb), Sort: query.Sort{Ascending: g.IntN(2) == 0, Occurred: g.IntN(2) == 0}}
	if g.IntN(4) == 0 {
		q.Floor, q.Bound = eventstore.Position(g.IntN(60)), eventstore.Position(60+g.IntN(100))
	}
	return q
}

func (g *generator) pick(from ...string) string { return from[g.IntN(len(from))] }

func (g *generator) word() string {
	return g.pick("alpha", "Beta", "user-1", "user-2", "s3.amazonaws.com", "GetBucket", "10.0.0.1", "Zoë", "東京タワー", "a@b.example", "x/y/z")
}

func (g *generator) words() string { return g.word() + " " + g.word() + ", " + g.word() }

func (g *generator) time() eventstore.Micros {
	return Start + eventstore.Micros(g.IntN(200)-100)*eventstore.Micros(g.IntN(60*24*90))*60_000000 + eventstore.Micros(g.IntN(3))
}

func (g *generator) public() format.Public {
	p := format.Public{
		Action: g.pick("READ", "CREATE", "GetBucket"), Severity: g.pick("INFO", "ERROR"), Outcome: g.pick("success", "denied"),
		ActorType: g.pick("user", "service"), ResourceType: g.pick("doc", "bucket"),
	}
	if g.IntN(4) > 0 {
		at := max(0, g.time())
		p.OccurredAt = &at
	}
	return p
}

func (g *generator) private() format.Private {
	return format.Private{
		Actor: format.Actor{ID: g.word(), SessionID: g.pick("", "s1", "s2")}, Resource: format.Resource{ID: g.pick("", "r1", "R1"), Name: g.word()},
		Message: g.words(), Source: format.Source{IP: g.pick("", "10.0.0.1", "10.0.0.2")}, RequestID: g.pick("", "q1", "q2"), Metadata: g.metadata(),
	}
}

func (g *generator) metadata() []byte {
	if g.IntN(3) == 0 {
		return nil
	}
	return fmt.Appendf(nil, `{"n":%d,"deep":{"tag":[%q,%q],"n":1.0},"flag":%v}`, g.IntN(3), g.word(), g.word(), g.IntN(2) == 0)
}

func (g *generator) criteria(tb testing.TB) criteria.Criteria {
	var c criteria.Criteria
	sometimes := func(set func()) {
		if g.IntN(7) == 0 {
			set()
		}
	}
	sometimes(func() { c.Kind = criteria.Kind(g.pick("entries", "access", "all")) })
	sometimes(func() { c.ActorID = g.word() })
	sometimes(func() { c.ActorType = g.pick("user", "service") })
	sometimes(func() { c.Actions = []string{g.pick("READ", "LIST"), g.pick("CREATE", "GetBucket")} })
	sometimes(func() { c.ResourceTypes = []string{g.pick("doc", "bucket")} })
	sometimes(func() { c.ResourceID = g.pick("r1", "R1", "r2") })
	sometimes(func() { c.Severities = []string{g.pick("INFO", "ERROR")} })
	sometimes(func() { c.Outcomes = []string{g.pick("success", "denied")} })
	sometimes(func() { c.RequestID = g.pick("q1", "q2") })
	sometimes(func() { c.SessionID = g.pick("s1", "s2") })
	sometimes(func() { c.IP = g.pick("10.0.0.1", "10.0.0.2") })
	sometimes(func() {
		m := criteria.Metadata{Path: g.pick("n", "deep.n", "flag"), Value: g.pick("0", "1", "true")}
		if g.IntN(2) == 0 {
			m = criteria.Metadata{Path: "deep.tag", Value: g.word()}
		}
		c.Metadata = []criteria.Metadata{m}
	})
	sometimes(func() { c.RecordedTime = true })
	span := func() *eventstore.Micros {
		at := g.time()
		if c.RecordedTime {
			at = Start + eventstore.Micros(g.IntN(300))*1_000000
		}
		if g.IntN(3) == 0 { // on an hour
			at -= at % 3600_000000
		}
		return &at
	}
	if g.IntN(3) == 0 {
		c.From = span()
	}
	if g.IntN(3) == 0 {
		c.To = span()
	}
	if g.IntN(4) == 0 {
		q, err := text.Parse(g.pick(g.word(), g.word()+" "+g.word(), "bucket", "amazonaws", "京タ", "user", "absent", "*"))
		if err != nil {
			tb.Fatal(err)
		}
		c.Text = q
	}
	return c
}
