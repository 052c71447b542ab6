package stats_test

import (
	"os"
	"testing"

	"auditlog/eventstore"
	"auditlog/internal/pgdb/pgtest"
	"auditlog/keyring"
	"auditlog/projection"
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

// BenchmarkApply is the cost of counting, opening included, in envelopes of 200.
func BenchmarkApply(b *testing.B) {
	w := projtest.New(b)
	w.RecordMany(w.Tenant("acme"), 5000)
	events := w.Events()
	for b.Loop() {
		s, err := stats.Open(b.Context(), readmodel.Folder(b.TempDir()), readmodel.Deps{Store: w.Store, Opener: w.Opener}, nil, nil)
		if err != nil {
			b.Fatal(err)
		}
		for i := 0; i < len(events); i += 200 {
			part := events[i:min(i+200, len(events))]
			env := projection.Envelope{From: part[0].Offset - 1, To: part[len(part)-1].Offset, Events: part}
			if err := s.Apply(b.Context(), env); err != nil {
				b.Fatal(err)
			}
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(events))*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
