package searchtest

import (
	"slices"
	"testing"

	"auditlog/eventstore"
	"auditlog/eventstore/format"
	"auditlog/internal/criteria"
	"auditlog/query"
)

// denseHours lists by occurred_at where one hour holds most of the log, as after an import: hits that are everywhere in
// it, only at one of its ends, and few.
func denseHours(t *testing.T, open New) {
	const n = 15_000
	f := newFixture(t, open)
	hourStart := Start - Start%3600_000000
	byActor := map[string][]query.Key{}
	for i := range n {
		actor := "early"
		switch {
		case i%7 == 0:
			actor = "everywhere"
		case i%1000 == 5:
			actor = "few"
		case i > 5000:
			actor = "late"
		}
		// The order of times is not that of positions, and each time is met twice.
		occurred := hourStart + eventstore.Micros(i/2)*400_000
		if i%2000 == 1999 {
			occurred -= 26 * 3600_000000
		}
		e := f.log.Record(Tenant(1), at(occurred), format.Private{Actor: format.Actor{ID: actor}})
		byActor[actor] = append(byActor[actor], query.Key{Position: e.Position, Occurred: occurred})
	}
	f.apply()
	for actor, keys := range byActor {
		for _, sort := range []query.Sort{{Occurred: true}, {Occurred: true, Ascending: true}} {
			slices.SortFunc(keys, func(a, b query.Key) int { return compareKeys(sort, a, b) })
			q := query.IndexQuery{Tenant: Tenant(1), Criteria: criteria.Criteria{ActorID: actor}, Sort: sort}
			for _, skip := range []int{0, 1, len(keys) / 2, len(keys) - 3} {
				q.Limit, q.After = 50, nil
				if skip > 0 {
					q.After = &keys[skip-1]
				}
				want := keys[skip:min(skip+50, len(keys))]
				if got, err := f.ix.Find(t.Context(), q); err != nil || !slices.Equal(got, want) {
					t.Errorf("%s, %+v, after %d:\n got %v, %v\nwant %v", actor, sort, skip, got, err, want)
				}
			}
		}
	}
}
