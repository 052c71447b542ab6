package pgstate_test

import (
	"errors"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"

	"auditlog/internal/pgdb"
	"auditlog/internal/pgdb/pgtest"
	"auditlog/projection"
	"auditlog/projection/search/opensearch"
	"auditlog/projection/search/opensearch/pgstate"
	"auditlog/projection/search/opensearch/statetest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

const service = "auditlog_test_search"

// prepare prepares an empty database and gives its address as the service's role.
func prepare(tb testing.TB, owner string) (address string) {
	tb.Helper()
	for range 2 { // again changes nothing
		if err := pgstate.Prepare(tb.Context(), owner, service); err != nil {
			tb.Fatal(err)
		}
	}
	return pgtest.As(tb, owner, service)
}

func open(tb testing.TB, address string) *pgstate.State {
	tb.Helper()
	s, err := pgstate.Open(tb.Context(), address)
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

// empties is a database whose state is empty again for each case.
func empties(t *testing.T) (empty func(tb testing.TB) (address string)) {
	owner := pgtest.Database(t)
	address := prepare(t, owner)
	return func(tb testing.TB) string {
		exec(tb, owner, `
			DELETE FROM auditlog_search.generations;
			INSERT INTO auditlog_search.generations (gen, live) VALUES (1, true);
			UPDATE auditlog_search.last_generation SET gen = 1`)
		return address
	}
}

func exec(tb testing.TB, address, sql string) {
	tb.Helper()
	conn, err := pgx.Connect(tb.Context(), address)
	if err != nil {
		tb.Fatal(err)
	}
	defer conn.Close(tb.Context())
	if _, err := conn.Exec(tb.Context(), sql); err != nil {
		tb.Fatal(err)
	}
}

func TestSuite(t *testing.T) {
	empty := empties(t)
	statetest.Run(t, func(tb testing.TB) opensearch.State { return open(tb, empty(tb)) })
}

func TestSharedSuite(t *testing.T) {
	empty := empties(t)
	statetest.RunShared(t, func(tb testing.TB) [2]opensearch.State {
		address := empty(tb)
		return [2]opensearch.State{open(tb, address), open(tb, address)}
	})
}

func TestOpenRefusesASchemaThatDoesNotFit(t *testing.T) {
	owner := pgtest.Database(t)
	if _, err := pgstate.Open(t.Context(), owner); !errors.Is(err, pgdb.ErrOlder) {
		t.Errorf("an empty database: %v", err)
	}
	address := prepare(t, owner)
	exec(t, owner, `INSERT INTO auditlog_search.schema_versions (version_id, is_applied) VALUES (999, true)`)
	if _, err := pgstate.Open(t.Context(), address); !errors.Is(err, pgdb.ErrNewer) {
		t.Errorf("a newer schema: %v", err)
	}
}

// After a restart of the server the state goes on, with what it took.
func TestServerDies(t *testing.T) {
	server := pgtest.NewOwn(t)
	s := open(t, prepare(t, server.URL))
	if err := s.Add(t.Context(), 1, 0, projection.Range{From: 0, To: 5}); err != nil {
		t.Fatal(err)
	}
	server.Kill()
	if _, err := s.Live(t.Context()); err == nil {
		t.Error("the server is gone, and answers")
	}
	server.Start()
	if r, err := s.Ranges(t.Context(), 1, 0); err != nil || r.Cursor() != 5 {
		t.Fatalf("%v, %v", r, err)
	}
}
