package opensearch_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"auditlog/internal/pgdb/pgtest"
	"auditlog/projection"
	"auditlog/projection/search"
	"auditlog/projection/search/opensearch"
	"auditlog/projection/search/opensearch/ostest"
	"auditlog/projection/search/opensearch/sqlitestate"
	"auditlog/projection/search/searchtest"
	"auditlog/query"
)

var (
	_ projection.Reapplier = (*opensearch.Index)(nil)
	_ query.Index          = (*opensearch.Index)(nil)
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(both{m})) }

// both ends the search server, then the database's.
type both struct{ m *testing.M }

func (b both) Run() int { return ostest.Main(b.m) }

// patient is the timeout of requests that are not to fail: the machine may do much else.
const patient = time.Minute

// config is an empty index's, with a state and a prefix of its own.
func config(tb testing.TB, address string, log *searchtest.Log) opensearch.Config {
	tb.Helper()
	state, err := sqlitestate.Open(tb.Context(), filepath.Join(tb.TempDir(), "opensearch.db"))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := state.Close(); err != nil {
			tb.Error(err)
		}
	})
	return opensearch.Config{
		Addresses: []string{address}, Prefix: ostest.Prefix(tb, address), Refresh: 5 * time.Millisecond, Poll: 20 * time.Millisecond,
		Requests: opensearch.Requests{Timeout: patient}, State: state, Store: log, Opener: log, Log: slog.New(slog.DiscardHandler),
	}
}

func open(tb testing.TB, cfg opensearch.Config) *opensearch.Index {
	tb.Helper()
	x, err := opensearch.Open(cfg)
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
	t.Parallel()
	address := ostest.Address(t)
	searchtest.Run(t, func(tb testing.TB, log *searchtest.Log) searchtest.Index { return open(tb, config(tb, address, log)) })
}

func TestAgreesWithTheEmbeddedIndex(t *testing.T) {
	t.Parallel()
	address := ostest.Address(t)
	searchtest.Compare(t,
		func(tb testing.TB, log *searchtest.Log) searchtest.Index {
			x, err := search.Open(tb.Context(), search.Config{Dir: tb.TempDir(), Store: log, Opener: log, Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				tb.Fatal(err)
			}
			tb.Cleanup(func() {
				if err := x.Close(); err != nil {
					tb.Error(err)
				}
			})
			return x
		},
		func(tb testing.TB, log *searchtest.Log) searchtest.Index { return open(tb, config(tb, address, log)) })
}
