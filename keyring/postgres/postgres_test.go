package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"auditlog/internal/fault"
	"auditlog/internal/pgdb"
	"auditlog/internal/pgdb/pgtest"
	"auditlog/keyring"
	"auditlog/keyring/file"
	"auditlog/keyring/postgres"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

var tenant = [16]byte{0: 0xA1, 15: 1}

// database is an empty key database.
func database(tb testing.TB) string {
	tb.Helper()
	address := pgtest.Database(tb)
	for range 2 { // again changes nothing
		if err := postgres.Migrate(tb.Context(), address); err != nil {
			tb.Fatal(err)
		}
	}
	return address
}

func open(tb testing.TB, address, master string) *postgres.Driver {
	tb.Helper()
	wrapper, err := file.Open(master)
	if err != nil {
		tb.Fatal(err)
	}
	d, err := postgres.Open(tb.Context(), address, wrapper)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := d.Close(); err != nil {
			tb.Error(err)
		}
	})
	return d
}

func seal(r *keyring.Ring, n int) (keyring.Ref, []byte, error) {
	sealed, ref, err := r.Seal(context.Background(), tenant, tenant, nil, fmt.Appendf(nil, "message %d", n))
	return ref, sealed, err
}

// Several processes, each with a ring of its own, seal and puncture at the same time.
func TestRingsShareADatabase(t *testing.T) {
	address, master := database(t), t.TempDir()
	const rings, each = 3, 200
	type message struct {
		ref    keyring.Ref
		sealed []byte
		n      int
		gone   bool
	}
	var mu sync.Mutex
	var all []message
	var wg sync.WaitGroup
	for range rings {
		r := keyring.New(open(t, address, master), keyring.Options{MinLease: 1, MaxLease: 16})
		wg.Go(func() {
			if err := r.CreateTenant(t.Context(), tenant); err != nil {
				t.Error(err)
				return
			}
			for n := range each {
				ref, sealed, err := seal(r, n)
				if err == nil && n%20 == 19 {
					err = r.Puncture(t.Context(), tenant, []keyring.Ref{ref})
				}
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				all = append(all, message{ref, sealed, n, n%20 == 19})
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	fresh := keyring.New(open(t, address, master), keyring.Options{})
	seen := map[keyring.Ref]bool{}
	for _, m := range all {
		if seen[m.ref] {
			t.Fatalf("%v was handed out twice", m.ref)
		}
		seen[m.ref] = true
		got, err := fresh.Open(t.Context(), tenant, tenant, m.ref, nil, m.sealed)
		if m.gone && !errors.Is(err, keyring.ErrPunctured) || !m.gone && (err != nil || string(got) != fmt.Sprintf("message %d", m.n)) {
			t.Fatalf("message %d, punctured %v: %q, %v", m.n, m.gone, got, err)
		}
	}
	if len(all) != rings*each {
		t.Fatalf("%d messages", len(all))
	}
}

// A lock excludes other connections, waits no longer than its context, and ends with its session. Who lost it writes
// no more.
func TestLostLockWritesNothing(t *testing.T) {
	address, master := database(t), t.TempDir()
	one, two := open(t, address, master), open(t, address, master)
	ctx := t.Context()
	item := keyring.Item{Kind: keyring.Lease}
	if err := one.Put(ctx, tenant, item, []byte("no lock")); err == nil {
		t.Error("an item was put without its lock")
	}
	unlock, err := one.Lock(ctx, tenant, keyring.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	if err := one.Put(ctx, tenant, item, []byte("first")); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if _, err := two.Lock(short, tenant, keyring.Scope{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("a lock that is held: %v", err)
	}
	other, err := two.Lock(ctx, tenant, keyring.Scope{Chunks: true})
	if err != nil {
		t.Fatalf("another scope's lock: %v", err)
	}
	other()

	endSessions(t, address)
	taken, err := two.Lock(ctx, tenant, keyring.Scope{})
	for try := 0; err != nil && try < 50; try++ { // idle connections of its pool were ended too
		taken, err = two.Lock(ctx, tenant, keyring.Scope{})
	}
	if err != nil {
		t.Fatal(err)
	}
	defer taken()
	if err := one.Put(ctx, tenant, item, []byte("late")); !fault.Is(err, fault.Unavailable) {
		t.Errorf("a put under a lock that was lost: %v", err)
	}
	unlock()
	if got, err := two.Get(ctx, tenant, item); err != nil || string(got) != "first" {
		t.Errorf("the item is %q, %v", got, err)
	}
}

// endSessions ends every other connection to the database.
func endSessions(t *testing.T, address string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	_, err = conn.Exec(t.Context(), `
		SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'`)
	if err != nil {
		t.Fatal(err)
	}
}

func TestItems(t *testing.T) {
	d := open(t, database(t), t.TempDir())
	ctx := t.Context()
	unlock, err := d.Lock(ctx, tenant, keyring.Scope{Chunks: true, Epoch: 7})
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	at := func(index uint32) keyring.Item {
		return keyring.Item{Kind: keyring.Chunk, Epoch: 7, Level: 2, Index: index}
	}
	for index := range uint32(5) {
		for _, data := range []string{"old", "new"} {
			if err := d.Put(ctx, tenant, at(index), []byte(data)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := d.Remove(ctx, tenant, 7, 2, 1, 3); err != nil {
		t.Fatal(err)
	}
	if err := d.Remove(ctx, tenant, 7, 2, 1, 3); err != nil {
		t.Fatalf("absent chunks: %v", err)
	}
	for index := range uint32(6) {
		got, err := d.Get(ctx, tenant, at(index))
		if gone := index > 0 && index != 4; gone != errors.Is(err, keyring.ErrAbsent) || !gone && string(got) != "new" {
			t.Errorf("chunk %d is %q, %v", index, got, err)
		}
	}
	if _, err := d.Get(ctx, [16]byte{1}, at(0)); !errors.Is(err, keyring.ErrAbsent) {
		t.Errorf("another tenant's chunk: %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	address := pgtest.Database(t)
	if _, err := postgres.Open(t.Context(), address, nil); !errors.Is(err, pgdb.ErrOlder) {
		t.Errorf("a database that was not migrated: %v", err)
	}
	if err := postgres.Migrate(t.Context(), address); err != nil {
		t.Fatal(err)
	}
	if _, err := postgres.Open(t.Context(), address+"&options=-csynchronous_commit%3Doff", nil); !errors.Is(err, pgdb.ErrNotDurable) {
		t.Errorf("a session that does not wait for its commits: %v", err)
	}
}

// A secret that is not the one of before is found at start, not at the first entry.
func TestOpenRefusesAnotherSecret(t *testing.T) {
	address := database(t)
	with := func(text string) (*postgres.Driver, error) {
		wrapper, err := keyring.WrapBySecret([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return postgres.Open(t.Context(), address, wrapper)
	}
	first, err := with("0123456789abcdef0123456789abcdef")
	if err != nil {
		t.Fatal(err)
	}
	ring := keyring.New(first, keyring.Options{})
	if err := ring.CreateTenant(t.Context(), tenant); err != nil {
		t.Fatal(err)
	}
	if err := ring.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := with("another-secret-of-thirty-two-bytes"); !errors.Is(err, postgres.ErrOtherWrapper) || strings.Contains(err.Error(), "\n") {
		t.Errorf("another secret: %v", err)
	}
	again, err := with("0123456789abcdef0123456789abcdef")
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}
