package postgres_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"auditlog/eventstore"
	"auditlog/internal/pgdb"
	"auditlog/internal/pgdb/pgtest"
	"auditlog/projection"
	"auditlog/projection/relay"
	"auditlog/projection/relay/postgres"
)

func TestMain(m *testing.M) {
	if os.Getenv(childVar) != "" {
		child()
		return
	}
	os.Exit(pgtest.Main(m))
}

const service = "auditlog_test_relay"

// life of leases in tests: long against a busy machine, short against patience.
const life = 2 * time.Second

// patience bounds every wait.
const patience = 40 * time.Second

var quiet = slog.New(slog.DiscardHandler)

// database is an empty one, as owner and as the service's role.
func database(tb testing.TB) (owner, address string) {
	tb.Helper()
	return prepare(tb, pgtest.Database(tb))
}

func prepare(tb testing.TB, owner string) (_, address string) {
	tb.Helper()
	for range 2 { // again changes nothing
		if err := postgres.Prepare(tb.Context(), owner, service); err != nil {
			tb.Fatal(err)
		}
	}
	return owner, pgtest.As(tb, owner, service)
}

func open(tb testing.TB, address string) *postgres.DB {
	tb.Helper()
	db, err := postgres.Open(tb.Context(), address, postgres.Options{Life: life, Log: quiet})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Error(err)
		}
	})
	return db
}

func connect(tb testing.TB, address string) *pgx.Conn {
	tb.Helper()
	conn, err := pgx.Connect(tb.Context(), address)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func eventually(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			tb.Fatalf("it does not come: %s", what)
		}
	}
}

func TestOpenRefusesASchemaThatDoesNotFit(t *testing.T) {
	t.Parallel()
	bare := pgtest.Database(t)
	if _, err := postgres.Open(t.Context(), bare, postgres.Options{}); !errors.Is(err, pgdb.ErrOlder) {
		t.Errorf("an empty database: %v", err)
	}
	owner, address := database(t)
	if _, err := connect(t, owner).Exec(t.Context(), `INSERT INTO auditlog_relay.schema_versions (version_id, is_applied) VALUES (999, true)`); err != nil {
		t.Fatal(err)
	}
	if _, err := postgres.Open(t.Context(), address, postgres.Options{}); !errors.Is(err, pgdb.ErrNewer) {
		t.Errorf("a newer schema: %v", err)
	}
}

func TestServiceOwnsNothing(t *testing.T) {
	t.Parallel()
	_, address := database(t)
	conn := connect(t, address)
	for _, sql := range []string{
		`DROP TABLE auditlog_relay.leases`, `DELETE FROM auditlog_relay.leases`, `TRUNCATE auditlog_relay.cursors`,
		`CREATE TABLE auditlog_relay.mine ()`, `UPDATE auditlog_relay.schema_versions SET is_applied = false`,
	} {
		if _, err := conn.Exec(t.Context(), sql); pgdb.State(err) != "42501" {
			t.Errorf("%s: %v", sql, err)
		}
	}
}

// A cursor moves forward only, for the holder of the newest epoch only.
func TestSaveIsFenced(t *testing.T) {
	t.Parallel()
	owner, address := database(t)
	one, two := open(t, address), open(t, address)
	ctx := t.Context()
	held, first, err := one.Acquire(ctx, 3)
	if err != nil {
		t.Fatal(err)
	}
	save := func(db *postgres.DB, epoch uint64, o eventstore.Offset, want error, at eventstore.Offset) {
		t.Helper()
		if err := db.Save(ctx, 3, "a", epoch, o); !errors.Is(err, want) {
			t.Errorf("saving %d under epoch %d: %v, want %v", o, epoch, err, want)
		}
		if got, err := db.Load(ctx, 3, "a"); err != nil || got != at {
			t.Fatalf("cursor %d, %v; want %d", got, err, at)
		}
	}
	save(one, first, 7, nil, 7)
	save(one, first, 5, nil, 7)
	save(one, first+1, 9, relay.ErrFenced, 7)
	save(one, first-1, 9, relay.ErrFenced, 7)
	save(two, first, 9, relay.ErrFenced, 7) // the number alone does not do
	if err := two.Save(ctx, 4, "a", 0, 9); !errors.Is(err, relay.ErrFenced) {
		t.Errorf("a shard that nobody held: %v", err)
	}
	one.Release(3, first)
	if held.Err() == nil {
		t.Error("a lease was given back and its context goes on")
	}
	_, second, err := two.Acquire(ctx, 3)
	if err != nil || second <= first {
		t.Fatalf("epoch %d after %d, %v", second, first, err)
	}
	save(one, first, 9, relay.ErrFenced, 7)
	save(two, second, 9, nil, 9)
	var epoch int64
	if err := connect(t, owner).QueryRow(ctx, `SELECT epoch FROM auditlog_relay.cursors`).Scan(&epoch); err != nil || uint64(epoch) != second {
		t.Errorf("the cursor's epoch is %d, %v; want %d", epoch, err, second)
	}
}

func TestParking(t *testing.T) {
	t.Parallel()
	_, address := database(t)
	db, ctx := open(t, address), t.Context()
	p := projection.Parked{Destination: "search", Shard: 2, Range: projection.Range{From: 4, To: 5}, Reason: "first", At: 1}
	again, other := p, p
	again.Reason, again.At = "bad \x00 and \xff", 2
	other.Destination = "stats"
	for _, q := range []projection.Parked{p, other, again} {
		if err := db.Park(ctx, q); err != nil {
			t.Fatal(err)
		}
	}
	again.Reason = "bad \uFFFD and \uFFFD"
	if got, err := open(t, address).Parked(ctx, "search"); err != nil || len(got) != 1 || got[0] != again {
		t.Fatalf("parked %+v, %v", got, err)
	}
	for range 2 {
		if err := db.Unpark(ctx, p); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := db.Parked(ctx, "search"); err != nil || len(got) != 0 {
		t.Fatalf("after unparking: %+v, %v", got, err)
	}
	if got, err := db.Parked(ctx, "stats"); err != nil || len(got) != 1 {
		t.Fatalf("another destination's: %+v, %v", got, err)
	}
}
