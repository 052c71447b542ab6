package searchtest

import (
	"slices"
	"testing"

	"auditlog/eventstore"
	"auditlog/eventstore/format"
	"auditlog/internal/criteria"
	"auditlog/query"
)

func orderAndPages(t *testing.T, open New) {
	f := newFixture(t, open)
	// Times go up and down, some are equal, some years away.
	for i := range eventstore.Micros(40) {
		hours := (i*17)%23 - (i%5)*5000
		if i%4 == 0 {
			hours = 7
		}
		f.log.Record(Tenant(1), at(Start+hours*3600_000000), format.Private{Actor: format.Actor{ID: "a"}})
	}
	f.apply()
	for _, c := range []criteria.Criteria{{}, {ActorID: "a"}, {From: micros(Start), To: micros(Start + 12*3600_000000)}, {Kind: criteria.All}} {
		for _, sort := range []query.Sort{{}, {Ascending: true}, {Occurred: true}, {Occurred: true, Ascending: true}} {
			q := query.IndexQuery{Tenant: Tenant(1), Criteria: c, Sort: sort}
			want := expected(f.log, q)
			for _, limit := range []int{1, 7, 100} {
				got, err := pages(t.Context(), f.ix, q, limit)
				if err != nil || !slices.Equal(got, want) {
					t.Fatalf("%+v in pages of %d:\n got %v, %v\nwant %v", q, limit, got, err, want)
				}
			}
		}
	}
}

func floorAndBound(t *testing.T, open New) {
	f := newFixture(t, open)
	for range 20 {
		f.log.Record(Tenant(1), at(Start), format.Private{Actor: format.Actor{ID: "a"}})
	}
	f.apply()
	for _, sort := range []query.Sort{{}, {Ascending: true}, {Occurred: true}} {
		for _, c := range []criteria.Criteria{{}, {ActorID: "a"}} {
			q := query.IndexQuery{Tenant: Tenant(1), Criteria: c, Sort: sort, Floor: 5, Bound: 15}
			got, err := pages(t.Context(), f.ix, q, 3)
			if want := expected(f.log, q); err != nil || len(want) != 10 || !slices.Equal(got, want) {
				t.Errorf("%+v: got %v, %v; want %v", q, got, err, want)
			}
			if n, err := f.ix.Count(t.Context(), q, 100); err != nil || n != 10 {
				t.Errorf("%+v: count %d, %v", q, n, err)
			}
		}
	}
}

func countStopsAtMax(t *testing.T, open New) {
	f := newFixture(t, open)
	for range 20 {
		f.log.Record(Tenant(1), at(Start), format.Private{Actor: format.Actor{ID: "a"}})
	}
	f.apply()
	for _, c := range []criteria.Criteria{{}, {ActorID: "a"}, {From: micros(Start)}, {Kind: criteria.All}} {
		for limit, want := range map[int]int{5: 5, 20: 20, 21: 20} {
			n, err := f.ix.Count(t.Context(), query.IndexQuery{Tenant: Tenant(1), Criteria: c}, limit)
			if err != nil || n != want {
				t.Errorf("%+v up to %d: %d, %v", c, limit, n, err)
			}
		}
	}
}

func amendmentIsFound(t *testing.T, open New) {
	f := newFixture(t, open)
	e := f.log.Record(Tenant(1), at(Start), format.Private{Message: "original"})
	f.apply()
	f.log.Amend(e, format.Private{Message: "corrected", Reason: "typo", Metadata: []byte(`{"ticket":7}`)})
	f.apply()
	for _, q := range []string{"original", "corrected", "typo", "original corrected", "ticket", "7"} {
		f.expect(q, Tenant(1), words(t, q), 1)
	}
	f.expect("metadata", Tenant(1), criteria.Criteria{Metadata: []criteria.Metadata{{Path: "ticket", Value: "7"}}}, 1)
	f.expect("an amendment is no entry", Tenant(1), criteria.Criteria{Kind: criteria.All}, 1)
}

func erasedKeepsPublicOnly(t *testing.T, open New) {
	f := newFixture(t, open)
	pub, priv := full()
	e := f.log.Record(Tenant(1), pub, priv)
	f.log.Amend(e, format.Private{Message: "corrected", Metadata: []byte(`{"ticket":7}`)})
	f.apply()
	f.log.Erase(e)
	f.apply()
	f.expect("all", Tenant(1), criteria.Criteria{}, 1)
	f.expect("action", Tenant(1), criteria.Criteria{Actions: []string{"GetBucketPolicy"}, Severities: []string{"ERROR"}}, 1)
	f.expect("words of the action", Tenant(1), words(t, "bucket policy"), 1)
	for _, q := range []string{"zoe", "quarterly", "corrected", "console", "10.1.2.3", "asked"} {
		f.expect(q, Tenant(1), words(t, q))
	}
	f.expect("actor", Tenant(1), criteria.Criteria{ActorID: "User-7"})
	f.expect("metadata", Tenant(1), criteria.Criteria{Metadata: []criteria.Metadata{{Path: "app.name", Value: "Console"}}})
}

func purgedIsGone(t *testing.T, open New) {
	f := newFixture(t, open)
	var e eventstore.Event
	for range 5 {
		e = f.log.Record(Tenant(1), at(Start), format.Private{Message: "text"})
	}
	f.log.Record(Tenant(2), at(Start), format.Private{Message: "text"})
	f.apply()
	f.log.Purge(Tenant(1), 3)
	f.log.Amend(e, format.Private{Message: "later"})
	f.apply()
	f.expect("purged", Tenant(1), words(t, "text"), 4, 5)
	f.expect("other tenant", Tenant(2), words(t, "text"), 1)
	f.expect("the purge itself", Tenant(1), criteria.Criteria{Kind: criteria.Access}, 6)
}

// lateAndTwice applies envelopes in reverse, overlapping, and again: Visible never says more than what is there.
func lateAndTwice(t *testing.T, open New) {
	f := newFixture(t, open)
	for range 9 {
		f.log.Record(Tenant(1), at(Start), format.Private{Message: "text"})
	}
	for _, step := range []struct{ from, to, visible eventstore.Offset }{{6, 9, 0}, {3, 7, 0}, {6, 9, 0}, {0, 2, 2}, {0, 4, 9}, {0, 9, 9}} {
		if err := f.ix.Apply(t.Context(), f.log.Envelope(step.from, step.to)); err != nil {
			t.Fatal(err)
		}
		visible, err := f.ix.Visible(t.Context(), 0)
		if err != nil || visible > step.visible {
			t.Fatalf("after (%d, %d]: visible %d, %v; want at most %d", step.from, step.to, visible, err, step.visible)
		}
	}
	f.apply()
	f.expect("each once", Tenant(1), words(t, "text"), 1, 2, 3, 4, 5, 6, 7, 8, 9)
}

func changedWakes(t *testing.T, open New) {
	f := newFixture(t, open)
	f.log.Record(Tenant(1), at(Start), format.Private{Message: "text"})
	changed := f.ix.Changed()
	select {
	case <-changed:
		t.Fatal("changed before anything was applied")
	default:
	}
	f.apply()
	select {
	case <-changed:
	case <-t.Context().Done():
		t.Fatal("not woken")
	}
}
