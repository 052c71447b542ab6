package stats_test

import (
	"os"
	"testing"

	"auditlog/eventstore"
	"auditlog/internal/pgdb/pgtest"
	"auditlog/keyring"
	"auditlog/projection/find"
	"auditlog/projection/projtest"
	"auditlog/projection/readmodel"
	"auditlog/projection/stats"
)

// pair is stats with the find that names its actors.
type pair struct {
	stats *stats.Projection
	find  *find.Projection
}

func openStats(t *testing.T, w *projtest.World, home readmodel.Home, deps readmodel.Deps) pair {
	t.Helper()
	deps.Store, deps.Opener = w.Store, w.Opener
	f, err := find.Open(t.Context(), home, deps, nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := stats.Open(t.Context(), home, deps, stats.StoreNames{Find: f, Store: w.Store, Opener: w.Opener}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, err := range []error{s.Close(), f.Close()} {
			if err != nil {
				t.Error(err)
			}
		}
	})
	return pair{s, f}
}

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

func TestEveryOrderGivesTheSame(t *testing.T) {
	projtest.Permute(t, func(t *testing.T, w *projtest.World, home readmodel.Home) projtest.Dumper {
		s, err := stats.Open(t.Context(), home, readmodel.Deps{Store: w.Store, Opener: w.Opener}, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}

func refs(ev eventstore.Event) []keyring.Ref { return []keyring.Ref{keyring.Ref(ev.Key)} }
