// Package searchtest is the suite that every search index passes: what projection.Projector and query.Index promise, one
// named case per promise, and a differential test against criteria.Match.
package searchtest

import (
	"cmp"
	"context"
	"slices"
	"testing"

	"auditlog/eventstore"
	"auditlog/eventstore/format"
	"auditlog/internal/criteria"
	"auditlog/internal/entry"
	"auditlog/internal/text"
	"auditlog/projection"
	"auditlog/query"
)

// Index is what is tested.
type Index interface {
	projection.Projector
	query.Index
}

// New makes an empty index over a log, which it closes with the test. What Apply has applied must be visible on return,
// or soon after: the suite waits for Visible.
type New func(tb testing.TB, log *Log) Index

// Run runs every case.
func Run(t *testing.T, open New) {
	for _, c := range []struct {
		name string
		run  func(*testing.T, New)
	}{
		{"EveryFilter", everyFilter},
		{"EveryText", everyText},
		{"InjectionIsText", injectionIsText},
		{"OrderAndPages", orderAndPages},
		{"FloorAndBound", floorAndBound},
		{"DenseHours", denseHours},
		{"CountStopsAtMax", countStopsAtMax},
		{"KindsAreApart", kindsAreApart},
		{"TenantsNeverMeet", tenantsNeverMeet},
		{"AmendmentIsFound", amendmentIsFound},
		{"ErasedKeepsPublicOnly", erasedKeepsPublicOnly},
		{"PurgedIsGone", purgedIsGone},
		{"LateAndTwice", lateAndTwice},
		{"ChangedWakes", changedWakes},
		{"AgreesWithMatch", agreesWithMatch},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, open) })
	}
}

// fixture is a log with an index over it.
type fixture struct {
	*testing.T
	log *Log
	ix  Index
}

func newFixture(t *testing.T, open New) *fixture {
	log := NewLog(t)
	return &fixture{t, log, open(t, log)}
}

// apply applies everything that is not applied, and waits until it is visible.
func (f *fixture) apply() {
	f.Helper()
	visible, err := f.ix.Visible(f.Context(), 0)
	if err != nil {
		f.Fatal(err)
	}
	head := f.log.Head()
	if err := f.ix.Apply(f.Context(), f.log.Envelope(visible, head)); err != nil {
		f.Fatal(err)
	}
	for visible < head {
		changed := f.ix.Changed()
		if visible, err = f.ix.Visible(f.Context(), 0); err != nil {
			f.Fatal(err)
		}
		if visible < head {
			select {
			case <-changed:
			case <-f.Context().Done():
				f.Fatal("what was applied is not visible")
			}
		}
	}
}

// find gives the positions found, newest first.
func (f *fixture) find(tenant eventstore.TenantID, c criteria.Criteria) []eventstore.Position {
	f.Helper()
	keys, err := f.ix.Find(f.Context(), query.IndexQuery{Tenant: tenant, Criteria: c, Limit: 100})
	if err != nil {
		f.Fatal(err)
	}
	return positions(keys)
}

// expect checks an answer, given ascending, and that Match and Count agree with it.
func (f *fixture) expect(name string, tenant eventstore.TenantID, c criteria.Criteria, want ...eventstore.Position) {
	f.Helper()
	got := f.find(tenant, c)
	slices.Reverse(got)
	if !slices.Equal(got, want) {
		f.Errorf("%s: found %v, want %v", name, got, want)
	}
	var matched []eventstore.Position
	for _, e := range f.log.Entries(tenant) {
		if c.Match(&e) {
			matched = append(matched, e.Position)
		}
	}
	if !slices.Equal(matched, want) {
		f.Errorf("%s: Match says %v, want %v", name, matched, want)
	}
	n, err := f.ix.Count(f.Context(), query.IndexQuery{Tenant: tenant, Criteria: c}, 1000)
	if err != nil || n != len(want) {
		f.Errorf("%s: Count is %d, %v; want %d", name, n, err, len(want))
	}
}

func positions(keys []query.Key) []eventstore.Position {
	out := make([]eventstore.Position, len(keys))
	for i, k := range keys {
		out[i] = k.Position
	}
	return out
}

func words(tb testing.TB, q string) criteria.Criteria {
	tb.Helper()
	parsed, err := text.Parse(q)
	if err != nil {
		tb.Fatal(err)
	}
	return criteria.Criteria{Text: parsed}
}

func micros(m eventstore.Micros) *eventstore.Micros { return &m }

// at is an entry with one action at a time of its own.
func at(occurred eventstore.Micros) format.Public {
	return format.Public{Action: "READ", Severity: "INFO", Outcome: "success", ActorType: "user", ResourceType: "document", OccurredAt: &occurred}
}

// expected is what q must answer, by Match over the log.
func expected(log *Log, q query.IndexQuery) []query.Key {
	var all []query.Key
	for _, e := range log.Entries(q.Tenant) {
		if q.Criteria.Match(&e) && e.Position > q.Floor && (q.Bound == 0 || e.Position <= q.Bound) {
			all = append(all, key(q.Sort, &e))
		}
	}
	slices.SortFunc(all, func(a, b query.Key) int { return compareKeys(q.Sort, a, b) })
	if q.After != nil {
		all = slices.DeleteFunc(all, func(k query.Key) bool { return compareKeys(q.Sort, k, *q.After) <= 0 })
	}
	return all
}

func key(s query.Sort, e *entry.Entry) query.Key {
	k := query.Key{Position: e.Position}
	if s.Occurred {
		k.Occurred = e.OccurredAt
	}
	return k
}

func compareKeys(s query.Sort, a, b query.Key) int {
	n := cmp.Or(cmp.Compare(a.Occurred, b.Occurred), cmp.Compare(a.Position, b.Position))
	if !s.Ascending {
		n = -n
	}
	return n
}

// pages reads q to its end in pages of limit.
func pages(ctx context.Context, ix Index, q query.IndexQuery, limit int) (all []query.Key, err error) {
	q.Limit = limit
	for {
		page, err := ix.Find(ctx, q)
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if len(page) < limit {
			return all, nil
		}
		q.After = &page[len(page)-1]
	}
}
