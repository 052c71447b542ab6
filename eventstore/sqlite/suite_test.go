package sqlite_test

import (
	"path/filepath"
	"testing"
	"time"

	"auditlog/eventstore"
	"auditlog/eventstore/sqlite"
	"auditlog/eventstore/storetest"
)

func TestPromises(t *testing.T) { storetest.Run(t, harness()) }

func harness() storetest.Harness {
	paths := map[eventstore.Store]string{}
	at := func(tb testing.TB, path string, now func() time.Time) eventstore.Store {
		s, err := sqlite.Open(tb.Context(), path, sqlite.Options{Now: now})
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() {
			if err := s.Close(); err != nil {
				tb.Error(err)
			}
		})
		paths[s] = path
		return s
	}
	return storetest.Harness{
		New: func(tb testing.TB, now func() time.Time) eventstore.Store {
			return at(tb, filepath.Join(tb.TempDir(), "events.db"), now)
		},
		// The old store stays open, as a killed process leaves it: nothing is folded back or flushed.
		Reopen: func(tb testing.TB, s eventstore.Store, now func() time.Time) eventstore.Store {
			return at(tb, paths[s], now)
		},
		Lifecycle: func(s eventstore.Store) eventstore.Lifecycle { return s.(*sqlite.Store) },
	}
}
