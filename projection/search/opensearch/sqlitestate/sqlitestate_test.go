package sqlitestate_test

import (
	"path/filepath"
	"testing"

	"auditlog/eventstore"
	"auditlog/projection"
	"auditlog/projection/search/opensearch"
	"auditlog/projection/search/opensearch/sqlitestate"
	"auditlog/projection/search/opensearch/statetest"
)

func open(tb testing.TB, path string) *sqlitestate.State {
	tb.Helper()
	s, err := sqlitestate.Open(tb.Context(), path)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

func TestSuite(t *testing.T) {
	statetest.Run(t, func(tb testing.TB) opensearch.State { return open(tb, filepath.Join(tb.TempDir(), "opensearch.db")) })
}

func TestSurvivesReopening(t *testing.T) {
	path := filepath.Join(t.TempDir(), "opensearch.db")
	first := open(t, path)
	if err := first.Add(t.Context(), 1, 0, projection.Range{From: 0, To: 5}); err != nil {
		t.Fatal(err)
	}
	r, err := open(t, path).Ranges(t.Context(), 1, 0)
	if err != nil || r.Cursor() != eventstore.Offset(5) {
		t.Fatalf("%v, %v", r, err)
	}
}
