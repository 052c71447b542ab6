package pgdb_test

import (
	"errors"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"auditlog/internal/fault"
	"auditlog/internal/pgdb"
	"auditlog/internal/pgdb/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// fsync and full_page_writes are the whole server's, so what pgdb looks at is replaced instead of them.
func TestServerSettings(t *testing.T) {
	conn, err := pgx.Connect(t.Context(), pgtest.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	for _, name := range []string{"fsync", "full_page_writes", "synchronous_commit"} {
		if _, err := conn.Exec(t.Context(), `
			CREATE OR REPLACE VIEW public.pg_settings AS
			SELECT name, CASE WHEN name = '`+name+`' THEN 'off' ELSE setting END AS setting FROM pg_catalog.pg_settings`); err != nil {
			t.Fatal(err)
		}
		err := pgdb.CheckSettings(t.Context(), conn, "public.pg_settings")
		if !errors.Is(err, pgdb.ErrNotDurable) || !strings.Contains(err.Error(), name+" is off") {
			t.Errorf("%s off: %v", name, err)
		}
	}
	if err := pgdb.CheckSettings(t.Context(), conn, "pg_catalog.pg_settings"); err != nil {
		t.Errorf("the server itself: %v", err)
	}
}

// A server that answers a connection with a refusal of any kind does not answer the statement: it may be sent again.
func TestRefusedConnectionsAreUnavailable(t *testing.T) {
	address := pgtest.Database(t)
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	admin, err := pgx.Connect(t.Context(), pgtest.Server(t))
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(t.Context())
	if _, err := admin.Exec(t.Context(), `ALTER DATABASE `+u.Path[1:]+` ALLOW_CONNECTIONS false`); err != nil {
		t.Fatal(err)
	}
	_, err = pgdb.Connect(t.Context(), address, pgdb.Options{})
	if state := pgdb.State(err); state == "" {
		t.Fatalf("the server gave no reason: %v", err)
	}
	if err := pgdb.Translate("read", err); !pgdb.Lost(err) || !fault.Is(err, fault.Unavailable) {
		t.Errorf("a refused connection is %v", err)
	}
}
