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

func TestSuite(t *testing.T) {
	statetest.Run(t, func(tb testing.TB) opensearch.State { return open(tb, prepare(tb, pgtest.Database(tb))) })
}

func TestSharedSuite(t *testing.T) {
	statetest.RunShared(t, func(tb testing.TB) [2]opensearch.State {
		address := prepare(tb, pgtest.Database(tb))
		return [2]opensearch.State{open(tb, address), open(tb, address)}
	})
}

func TestOpenRefusesASchemaThatDoesNotFit(t *testing.T) {
	owner := pgtest.Database(t)
	if _, err := pgstate.Open(t.Context(), owner); !errors.Is(err, pgdb.ErrOlder) {
		t.Errorf("an empty database: %v", err)
	}
	address := prepare(t, owner)
	conn, err := pgx.Connect(t.Context(), owner)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), `INSERT INTO auditlog_search.schema_versions (version_id, is_applied) VALUES (999, true)`); err != nil {
		t.Fatal(err)
	}
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
