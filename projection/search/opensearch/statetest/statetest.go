// Package statetest is the suite that every opensearch.State passes, one named case per promise.
package statetest

import (
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"

	"auditlog/eventstore"
	"auditlog/projection"
	"auditlog/projection/search/opensearch"
)

// New makes an empty state, which it closes with the test.
type New func(tb testing.TB) opensearch.State

// Run runs every case.
func Run(t *testing.T, open New) {
	for _, c := range []struct {
		name string
		run  func(*testing.T, opensearch.State)
	}{
		{"RangesJoin", rangesJoin},
		{"RangesJoinAtTheSameTime", rangesAtTheSameTime},
		{"MarksOnlyRise", marksOnlyRise},
		{"FirstPlaceIsKept", firstPlaceIsKept},
		{"ScrubAskedAgainStays", scrubAskedAgainStays},
		{"GenerationsAreApart", generationsAreApart},
		{"RetiredNamesAreSpent", retiredNamesAreSpent},
		{"VoidTokensDoNothing", voidTokensDoNothing},
		{"ShutTakesNoRanges", shutTakesNoRanges},
		{"PromoteForgetsTheOthers", promoteForgetsTheOthers},
		{"NumbersAreUsedOnce", numbersAreUsedOnce},
		{"RefreshesKeepTheirDistance", refreshesKeepTheirDistance},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, open(t)) })
	}
}

var tenant = eventstore.TenantID{1}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func expectRanges(t *testing.T, s opensearch.State, gen int, shard eventstore.Shard, want ...projection.Range) {
	t.Helper()
	got, err := s.Ranges(t.Context(), gen, shard)
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("generation %d, shard %d: %v, %v; want %v", gen, shard, got, err, want)
	}
}

func rangesJoin(t *testing.T, s opensearch.State) {
	want := projection.Ranges{}
	for _, r := range []projection.Range{{From: 5, To: 7}, {From: 9, To: 12}, {From: 0, To: 2}, {From: 7, To: 8}, {From: 3, To: 3}, {From: 20, To: 30}, {From: 6, To: 10}, {From: 2, To: 3}, {From: 1, To: 25}} {
		must(t, s.Add(t.Context(), 1, 3, r))
		want = want.Add(r)
		expectRanges(t, s, 1, 3, want...)
		expectCursors(t, s, map[eventstore.Shard]eventstore.Offset{3: want.Cursor()})
	}
	expectRanges(t, s, 1, 2)
	must(t, s.Add(t.Context(), 1, 0, projection.Range{From: 0, To: 4}))
	expectCursors(t, s, map[eventstore.Shard]eventstore.Offset{0: 4, 3: 30})
}

// expectCursors compares the cursors of the first generation with those of want that are above 0.
func expectCursors(t *testing.T, s opensearch.State, want map[eventstore.Shard]eventstore.Offset) {
	t.Helper()
	maps.DeleteFunc(want, func(_ eventstore.Shard, at eventstore.Offset) bool { return at == 0 })
	got, err := s.Cursors(t.Context(), 1)
	if err != nil || !maps.Equal(got, want) {
		t.Fatalf("cursors %v, %v; want %v", got, err, want)
	}
}

func rangesAtTheSameTime(t *testing.T, s opensearch.State) {
	var all sync.WaitGroup
	for i := range eventstore.Offset(20) {
		all.Go(func() {
			if err := s.Add(t.Context(), 1, 0, projection.Range{From: i, To: i + 1}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	expectRanges(t, s, 1, 0, projection.Range{From: 0, To: 20})
}

func marksOnlyRise(t *testing.T, s opensearch.State) {
	for _, o := range []eventstore.Offset{5, 3} {
		must(t, s.SetVisible(t.Context(), 1, map[eventstore.Shard]eventstore.Offset{0: o, 2: o + 1}))
		must(t, s.Purge(t.Context(), 1, tenant, eventstore.Position(o)))
	}
	marks, err := s.Visible(t.Context(), 1)
	if want := (map[eventstore.Shard]eventstore.Offset{0: 5, 2: 6}); err != nil || !maps.Equal(marks, want) {
		t.Errorf("visible %v, %v; want %v", marks, err, want)
	}
	expectPurged(t, s, 5)
}

func firstPlaceIsKept(t *testing.T, s opensearch.State) {
	must(t, s.Purge(t.Context(), 1, tenant, 4)) // a row without a place
	for _, group := range []string{"first", "second"} {
		if kept, err := s.Place(t.Context(), 1, tenant, group); err != nil || kept != "first" {
			t.Errorf("%s: kept %q, %v", group, kept, err)
		}
	}
	expectPurged(t, s, 4)
}

func scrubAskedAgainStays(t *testing.T, s opensearch.State) {
	must(t, s.Scrub(t.Context(), 1, "a"))
	before, err := s.Scrubs(t.Context(), 1)
	must(t, err)
	must(t, s.Scrub(t.Context(), 1, "a"))
	must(t, s.Scrubbed(t.Context(), 1, "a", before["a"]))
	after, err := s.Scrubs(t.Context(), 1)
	if err != nil || len(after) != 1 {
		t.Fatalf("asked for again, and gone: %v, %v", after, err)
	}
	must(t, s.Scrubbed(t.Context(), 1, "a", after["a"]))
	if left, err := s.Scrubs(t.Context(), 1); err != nil || len(left) != 0 {
		t.Fatalf("ticked off, and there: %v, %v", left, err)
	}
}

func generationsAreApart(t *testing.T, s opensearch.State) {
	must(t, s.Add(t.Context(), 1, 0, projection.Range{From: 0, To: 9}))
	must(t, s.AddIndex(t.Context(), 1, "one"))
	must(t, s.AddIndex(t.Context(), 1, "one"))
	gen, err := s.Build(t.Context())
	must(t, err)
	expectRanges(t, s, gen, 0)
	must(t, s.Add(t.Context(), gen, 0, projection.Range{From: 0, To: 4}))
	must(t, s.AddIndex(t.Context(), gen, "two"))
	expectRanges(t, s, 1, 0, projection.Range{From: 0, To: 9})
	for g, want := range map[int]string{1: "one", gen: "two"} {
		if names, err := s.Indices(t.Context(), g); err != nil || !slices.Equal(names, []string{want}) {
			t.Errorf("indices of %d: %v, %v", g, names, err)
		}
	}
	if live, err := s.Live(t.Context()); err != nil || live.N != 1 {
		t.Errorf("live is %+v, %v before it was promoted", live, err)
	}
}

func shutTakesNoRanges(t *testing.T, s opensearch.State) {
	gen, err := s.Build(t.Context())
	must(t, err)
	must(t, s.Shut(t.Context(), 1, 77))
	if live, err := s.Live(t.Context()); err != nil || live.ShutUntil != 77 {
		t.Fatalf("live is %+v, %v", live, err)
	}
	if err := s.Add(t.Context(), 1, 0, projection.Range{From: 0, To: 1}); !errors.Is(err, opensearch.ErrClosed) {
		t.Fatalf("a shut generation takes a range: %v", err)
	}
	must(t, s.Add(t.Context(), gen, 0, projection.Range{From: 0, To: 1}))
	must(t, s.Reopen(t.Context(), 1))
	must(t, s.Add(t.Context(), 1, 0, projection.Range{From: 0, To: 1}))
}

func promoteForgetsTheOthers(t *testing.T, s opensearch.State) {
	gen, err := s.Build(t.Context())
	must(t, err)
	must(t, s.Shut(t.Context(), 1, 77))
	for range 2 {
		must(t, s.Promote(t.Context(), gen))
		if live, err := s.Live(t.Context()); err != nil || live != (opensearch.Generation{N: gen}) {
			t.Fatalf("live is %+v, %v", live, err)
		}
	}
	if err := s.Add(t.Context(), 1, 0, projection.Range{From: 0, To: 1}); !errors.Is(err, opensearch.ErrClosed) {
		t.Errorf("a forgotten generation takes a range: %v", err)
	}
	must(t, s.SetVisible(t.Context(), 1, map[eventstore.Shard]eventstore.Offset{0: 9}))
	if marks, err := s.Visible(t.Context(), gen); err != nil || len(marks) != 0 {
		t.Errorf("marks of a late refresh went to the new one: %v, %v", marks, err)
	}
	if err := s.Promote(t.Context(), gen+5); err == nil {
		t.Error("a generation that nobody built is live")
	}
}

func numbersAreUsedOnce(t *testing.T, s opensearch.State) {
	first, err := s.Build(t.Context())
	must(t, err)
	must(t, s.Add(t.Context(), first, 0, projection.Range{From: 0, To: 1}))
	second, err := s.Build(t.Context())
	if err != nil || second == first || first == 1 {
		t.Fatalf("built %d, then %d, %v", first, second, err)
	}
	if err := s.Add(t.Context(), first, 0, projection.Range{From: 1, To: 2}); !errors.Is(err, opensearch.ErrClosed) {
		t.Errorf("a given up generation takes a range: %v", err)
	}
}
