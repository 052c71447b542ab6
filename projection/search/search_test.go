package search_test

import (
	"log/slog"
	"testing"

	"auditlog/projection"
	"auditlog/projection/search"
	"auditlog/projection/search/searchtest"
	"auditlog/query"
)

var (
	_ projection.Projector = (*search.Index)(nil)
	_ query.Index          = (*search.Index)(nil)
)

func config(dir string, log *searchtest.Log) search.Config {
	return search.Config{Dir: dir, Store: log, Opener: log, Log: slog.New(slog.DiscardHandler)}
}

func open(tb testing.TB, dir string, log *searchtest.Log) *search.Index {
	tb.Helper()
	x, err := search.Open(tb.Context(), config(dir, log))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := x.Close(); err != nil {
			tb.Error(err)
		}
	})
	return x
}

func TestSuite(t *testing.T) {
	searchtest.Run(t, func(tb testing.TB, log *searchtest.Log) searchtest.Index { return open(tb, tb.TempDir(), log) })
}
