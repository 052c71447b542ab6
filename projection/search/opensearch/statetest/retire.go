package statetest

import (
	"errors"
	"maps"
	"slices"
	"testing"

	"auditlog/eventstore"
	"auditlog/projection/search/opensearch"
)

// expectPurged checks the tenant's watermark, and that others have none.
func expectPurged(t *testing.T, s opensearch.State, want eventstore.Position) {
	t.Helper()
	got, err := s.Removals(t.Context(), 1, []eventstore.TenantID{{2}, tenant})
	if err != nil || !maps.Equal(got.Purged, map[eventstore.TenantID]eventstore.Position{tenant: want}) {
		t.Errorf("purged %v, %v; want %d", got.Purged, err, want)
	}
	if got, err := s.Removals(t.Context(), 1, nil); err != nil || len(got.Purged) != 0 {
		t.Errorf("asked for nobody: %v, %v", got.Purged, err)
	}
}

// expectIndices checks which indices there are, are going, and are gone.
func expectIndices(t *testing.T, s opensearch.State, there, retiring, dropped []string) {
	t.Helper()
	names, err := s.Indices(t.Context(), 1)
	must(t, err)
	got, err := s.Removals(t.Context(), 1, nil)
	must(t, err)
	sorted := func(set map[string]bool) []string { return slices.Sorted(maps.Keys(set)) }
	if !slices.Equal(names, there) || !slices.Equal(sorted(got.Retiring), retiring) || !slices.Equal(sorted(got.Dropped), dropped) {
		t.Fatalf("there %q, retiring %q, dropped %q; want %q, %q, %q", names, sorted(got.Retiring), sorted(got.Dropped), there, retiring, dropped)
	}
}

func retire(t *testing.T, s opensearch.State, index string) int64 {
	t.Helper()
	token, err := s.Retire(t.Context(), 1, index)
	must(t, err)
	return token
}

func drop(t *testing.T, s opensearch.State, index string, token int64, want bool) {
	t.Helper()
	if ok, err := s.DropIndex(t.Context(), 1, index, token); err != nil || ok != want {
		t.Fatalf("drop %s with token %d: %v, %v; want %v", index, token, ok, err, want)
	}
}

func retiredNamesAreSpent(t *testing.T, s opensearch.State) {
	if token := retire(t, s, "none"); token != 0 {
		t.Errorf("an index that is not there got token %d", token)
	}
	for _, name := range []string{"a", "b"} {
		must(t, s.AddIndex(t.Context(), 1, name))
		must(t, s.Scrub(t.Context(), 1, name))
	}
	token := retire(t, s, "a")
	expectIndices(t, s, []string{"a", "b"}, []string{"a"}, nil)
	must(t, s.Unretire(t.Context(), 1, "a", token))
	expectIndices(t, s, []string{"a", "b"}, nil, nil)
	drop(t, s, "a", token, false)
	drop(t, s, "a", retire(t, s, "a"), true)
	expectIndices(t, s, []string{"b"}, nil, []string{"a"})
	if due, err := s.Scrubs(t.Context(), 1); err != nil || len(due) != 1 || due["b"] == 0 {
		t.Errorf("scrubs %v, %v; want b's alone", due, err)
	}
	if err := s.AddIndex(t.Context(), 1, "a"); !errors.Is(err, opensearch.ErrClosed) {
		t.Errorf("a spent name is added: %v", err)
	}
	if token := retire(t, s, "a"); token != 0 {
		t.Errorf("a dropped index got token %d", token)
	}
	expectIndices(t, s, []string{"b"}, nil, []string{"a"})
	gen, err := s.Build(t.Context())
	must(t, err)
	must(t, s.AddIndex(t.Context(), gen, "a")) // spent in one generation only
}

// Of two that retire the same index the later decides.
func voidTokensDoNothing(t *testing.T, s opensearch.State) {
	must(t, s.AddIndex(t.Context(), 1, "a"))
	first, second := retire(t, s, "a"), retire(t, s, "a")
	if first == second || first <= 0 || second <= 0 {
		t.Fatalf("tokens %d and %d", first, second)
	}
	must(t, s.Unretire(t.Context(), 1, "a", first))
	expectIndices(t, s, []string{"a"}, []string{"a"}, nil)
	drop(t, s, "a", first, false)
	expectIndices(t, s, []string{"a"}, []string{"a"}, nil)
	must(t, s.Unretire(t.Context(), 1, "a", second))
	third := retire(t, s, "a")
	drop(t, s, "a", second, false)
	drop(t, s, "a", third, true)
	must(t, s.Unretire(t.Context(), 1, "a", third))
	expectIndices(t, s, nil, nil, []string{"a"})
}
