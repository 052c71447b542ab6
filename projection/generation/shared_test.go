package generation_test

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"auditlog/eventstore"
	"auditlog/internal/pgdb"
	"auditlog/internal/pgdb/pgtest"
	"auditlog/projection/generation"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// tables is a generation on PostgreSQL that holds one number in its table of progress.
type tables struct {
	at generation.At
	db *sql.DB
}

func (g *tables) Close() error { return g.db.Close() }

func openTables(_ context.Context, at generation.At) (*tables, error) {
	db, err := pgdb.OpenSQL(at.Address, at.Schema, pgdb.Options{MaxConns: 2})
	return &tables{at, db}, err
}

// put replaces the number, as a projection's transaction does.
func (g *tables) put(ctx context.Context, number int) error {
	tx, err := g.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := g.at.Enter(ctx, tx, eventstore.Shard(0)); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM progress`); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO progress VALUES (0, 0, ?)`, number); err != nil {
		return err
	}
	return tx.Commit()
}

func puts(number int) func(context.Context, *tables) error {
	return func(ctx context.Context, g *tables) error { return g.put(ctx, number) }
}

func nothing(context.Context, *tables, *tables) error { return nil }

// ground is a prepared database.
type ground struct {
	t    *testing.T
	list generation.List
	conn *pgx.Conn // as its owner
}

func newGround(t *testing.T) *ground {
	owner := pgtest.Database(t)
	service := pgtest.As(t, owner, "auditlog_generations")
	conn, err := pgx.Connect(t.Context(), owner)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) }) // some tests end it themselves
	g := &ground{t, generation.List{Address: service, Schema: "own"}, conn}
	if err := g.list.Prepare(t.Context(), owner, "auditlog_generations"); err != nil {
		t.Fatal(err)
	}
	return g
}

func (g *ground) open() *generation.Shared[*tables] {
	g.t.Helper()
	s, err := generation.OpenShared(g.t.Context(), g.list, "forget", slog.New(slog.DiscardHandler), openTables)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() {
		if err := s.Close(); err != nil {
			g.t.Error(err)
		}
	})
	return s
}

func (g *ground) exec(query string) {
	g.t.Helper()
	if _, err := g.conn.Exec(g.t.Context(), query); err != nil {
		g.t.Fatal(err)
	}
}

func (g *ground) put(s *generation.Shared[*tables], number int) {
	g.t.Helper()
	if err := s.Use(g.t.Context(), func(live *tables) error { return live.put(g.t.Context(), number) }); err != nil {
		g.t.Fatal(err)
	}
}

// holds tells that a process finds the number.
func (g *ground) holds(s *generation.Shared[*tables], want int) {
	g.t.Helper()
	var got int
	err := s.Use(g.t.Context(), func(live *tables) error {
		return live.db.QueryRowContext(g.t.Context(), `SELECT to_offset FROM progress`).Scan(&got)
	})
	if err != nil || got != want {
		g.t.Fatalf("%d, %v; want %d", got, err, want)
	}
}

// schemas compares the schemas of generations.
func (g *ground) schemas(want ...string) {
	g.t.Helper()
	rows, err := g.conn.Query(g.t.Context(), `SELECT nspname::text FROM pg_namespace WHERE starts_with(nspname::text, 'own_') ORDER BY 1`)
	if err != nil {
		g.t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || !slices.Equal(got, want) {
		g.t.Fatalf("schemas %q, %v; want %q", got, err, want)
	}
}

// Who has the old generation open, to read or to write, follows at the next use; the old one is gone.
func TestProcessesFollowASwap(t *testing.T) {
	g := newGround(t)
	a, reader, writer := g.open(), g.open(), g.open()
	g.put(a, 1)
	g.holds(reader, 1)
	if err := a.Swap(t.Context(), puts(2), func(ctx context.Context, live, next *tables) error {
		if err := live.put(ctx, 5); err != nil { // what a rebuild does to compare
			return err
		}
		return next.put(ctx, 3)
	}); err != nil {
		t.Fatal(err)
	}
	g.schemas("own_forget_2")
	g.holds(reader, 3)
	g.put(writer, 4)
	for _, s := range []*generation.Shared[*tables]{a, reader, writer, g.open()} {
		g.holds(s, 4)
	}
}

// A writer that comes while last runs waits, and then writes to the new generation.
func TestWritersWaitForTheSwap(t *testing.T) {
	g := newGround(t)
	a, b := g.open(), g.open()
	g.put(b, 1)
	done := make(chan error, 1)
	err := a.Swap(t.Context(), puts(2), func(ctx context.Context, _, _ *tables) error {
		go func() {
			done <- b.Use(ctx, func(live *tables) error { return live.put(ctx, 7) })
		}()
		end := time.Now().Add(20 * time.Second)
		for waiting := false; !waiting; { // until it stands before the lock
			if time.Now().After(end) {
				return errors.New("the writer does not wait")
			}
			if err := g.conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
				AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))`).Scan(&waiting); err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(err, <-done); err != nil {
		t.Fatal(err)
	}
	g.holds(a, 7)
}

func TestFailedSharedSwapLeavesTheLiveOne(t *testing.T) {
	g := newGround(t)
	s := g.open()
	g.put(s, 1)
	boom := errors.New("boom")
	fail := func(context.Context, *tables, *tables) error { return boom }
	for _, err := range []error{
		s.Swap(t.Context(), func(context.Context, *tables) error { return boom }, nothing),
		s.Swap(t.Context(), puts(2), fail),
	} {
		if !errors.Is(err, boom) {
			t.Fatalf("got %v", err)
		}
	}
	g.holds(s, 1)
	g.put(s, 2)
	g.schemas("own_forget_1")
}

// A rebuild whose connection ends changes nothing, and the next one takes its leftovers away. At the same time there is
// only one.
func TestCrashedRebuild(t *testing.T) {
	g := newGround(t)
	s, other := g.open(), g.open()
	g.put(s, 1)
	err := s.Swap(t.Context(), func(ctx context.Context, next *tables) error {
		if err := other.Swap(ctx, puts(8), nothing); !errors.Is(err, generation.ErrRebuilding) {
			t.Errorf("a second rebuild: %v", err)
		}
		g.exec(`SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
		return nil
	}, nothing)
	if err == nil {
		t.Fatal("a rebuild that lost its locks went on")
	}
	g.schemas("own_forget_1", "own_forget_2")
	g.holds(g.open(), 1)
	if err := other.Swap(t.Context(), puts(9), nothing); err != nil {
		t.Fatal(err)
	}
	g.schemas("own_forget_2")
	g.holds(s, 9)
}

// A process that may create nothing opens what is there, and follows.
func TestOpenNeedsNoRights(t *testing.T) {
	g := newGround(t)
	s := g.open()
	g.put(s, 1)
	if err := s.Swap(t.Context(), puts(2), nothing); err != nil {
		t.Fatal(err)
	}
	g.exec(`DO $$ BEGIN EXECUTE format('REVOKE CREATE ON DATABASE %I FROM auditlog_generations', current_database()); END $$`)
	g.exec(`REVOKE INSERT, UPDATE ON own.generations FROM auditlog_generations`)
	g.holds(g.open(), 2)
}

// Tables that somebody dropped are made anew, empty.
func TestMissingTablesAreMadeAnew(t *testing.T) {
	g := newGround(t)
	g.put(g.open(), 1)
	g.exec(`DROP SCHEMA own_forget_1 CASCADE`)
	s := g.open()
	g.put(s, 2)
	g.holds(s, 2)
}

// Any number of processes may be the first.
func TestManyMakeTheFirst(t *testing.T) {
	g := newGround(t)
	errs := make(chan error, 6)
	for range cap(errs) {
		go func() {
			s, err := generation.OpenShared(t.Context(), g.list, "forget", slog.New(slog.DiscardHandler), openTables)
			if err == nil {
				err = s.Close()
			}
			errs <- err
		}()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	g.schemas("own_forget_1")
}

// A database that nobody prepared, or a newer program did, is told by what to do.
func TestOpenTellsWhatIsMissing(t *testing.T) {
	list := generation.List{Address: pgtest.Database(t), Schema: "own"}
	open := func() error {
		_, err := generation.OpenShared(t.Context(), list, "forget", slog.New(slog.DiscardHandler), openTables)
		return err
	}
	if err := open(); !errors.Is(err, pgdb.ErrOlder) || !strings.Contains(err.Error(), "auditlog migrate") {
		t.Errorf("not prepared: %v", err)
	}
	g := newGround(t)
	list = g.list
	g.put(g.open(), 1)
	g.exec(`INSERT INTO own_forget_1.schema_versions (version_id, is_applied) VALUES (99, true)`)
	if err := open(); !errors.Is(err, pgdb.ErrNewer) {
		t.Errorf("newer tables: %v", err)
	}
}
