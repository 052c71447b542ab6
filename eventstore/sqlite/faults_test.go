package sqlite_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"auditlog/eventstore"
	"auditlog/eventstore/sqlite"
	"auditlog/internal/fault"
	"auditlog/internal/sqlitedb"
)

func TestFullDisk(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "events.db"))
	tenant := newTenant(t, s)
	before, err := s.Head(t.Context(), tenant)
	if err != nil {
		t.Fatal(err)
	}
	f := flush(eventstore.Unit{Tenant: tenant, Drafts: drafts(500, storedBytes)})
	s.LimitPages(t, 10)
	for range 2 {
		if _, err := s.Append(t.Context(), f); !fault.Is(err, fault.Unavailable) {
			t.Fatalf("append on a full disk: %v", err)
		}
	}
	if after, err := s.Head(t.Context(), tenant); err != nil || after != before {
		t.Fatalf("head %+v, %v; want %+v", after, err, before)
	}
	s.LimitPages(t, -1)
	if err := s.Ping(t.Context()); err != nil {
		t.Fatalf("Ping with room again: %v", err)
	}
	got, err := s.Append(t.Context(), f)
	if err != nil || got[0].Position != before.Position+1 || len(got) != 500 {
		t.Fatalf("append with room again: %v", err)
	}
}

// A connection that is stuck in a transaction is given up after one failed append.
func TestBrokenConnection(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "events.db"))
	tenant := newTenant(t, s)
	s.Break(t)
	f := flush(eventstore.Unit{Tenant: tenant, Drafts: drafts(3, 10)})
	if _, err := s.Append(t.Context(), f); err == nil {
		t.Fatal("append inside a stray transaction succeeded")
	}
	if got, err := s.Append(t.Context(), f); err != nil || got[2].Position != 4 {
		t.Fatalf("the next append: %+v, %v", got, err)
	}
}

func TestMisuse(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "events.db"))
	tenant := newTenant(t, s)
	u := eventstore.Unit{Tenant: tenant, Drafts: drafts(1, 10)}
	if _, err := s.Append(t.Context(), eventstore.Flush{Units: []eventstore.Unit{u}}); err == nil {
		t.Error("a flush without an id was stored")
	}
	f := flush(u)
	f.Shard = 1
	if _, err := s.Append(t.Context(), f); err == nil {
		t.Error("a flush to a shard that does not exist was stored")
	}
	f.Shard = 0
	if _, err := s.Append(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	f.Units = []eventstore.Unit{{Tenant: tenant, Drafts: drafts(1, 10)}}
	if _, err := s.Append(t.Context(), f); err == nil {
		t.Error("a flush id was used for other drafts")
	}
	if got, err := s.Append(t.Context(), flush()); err != nil || len(got) != 0 {
		t.Errorf("an empty flush: %v, %v", got, err)
	}
}

func TestClosedStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.db")
	s, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	newTenant(t, s)
	waiting := s.Appended(0)
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(path + "-wal"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the log was not folded back into the file: %v", err)
	}
	<-waiting // whoever waits for appends must learn that there will be none
	<-s.Appended(0)
	if _, err := s.Append(t.Context(), flush()); !fault.Is(err, fault.Unavailable) {
		t.Errorf("append to a closed store: %v", err)
	}
	if err := s.Ping(t.Context()); !fault.Is(err, fault.Unavailable) {
		t.Errorf("ping of a closed store: %v", err)
	}
}

func TestDamagedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.db")
	if err := os.WriteFile(path, slices.Repeat([]byte("no database "), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.Open(t.Context(), path, sqlite.Options{}); !errors.Is(err, sqlitedb.ErrCorrupt) {
		t.Fatalf("got %v", err)
	}
}

// A context ends the wait for the writer.
func TestContextEndsTheWait(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "events.db"))
	tenant := newTenant(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	building, leave := make(chan struct{}), make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		_, _, err := s.Purge(context.WithoutCancel(ctx), tenant, 1, func(eventstore.Purge) (eventstore.Draft, error) {
			close(building)
			<-leave
			return eventstore.Draft{}, errors.New("left")
		})
		ended <- err
	}()
	<-building // the writer is taken
	time.AfterFunc(time.Millisecond, cancel)
	_, err := s.Append(ctx, flush(eventstore.Unit{Tenant: tenant, Drafts: drafts(1, 10)}))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("append: %v", err)
	}
	close(leave)
	if err := <-ended; err == nil {
		t.Error("the purge did not fail")
	}
}

// The write-ahead log begins anew while appends go on, so that it does not grow with them.
func TestLogIsKeptShort(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.db")
	s := open(t, path)
	tenant := newTenant(t, s)
	const mib = 1 << 20
	for range 60 { // 120 MiB, below what SQLite's own checkpoint waits for
		if _, err := s.Append(t.Context(), flush(eventstore.Unit{Tenant: tenant, Drafts: drafts(32, 64<<10)})); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(path + "-wal")
	if err != nil || info.Size() > 80*mib {
		t.Errorf("the log grew to %d MiB, turning at %d; %v", info.Size()/mib, sqlite.TurnPages*4096/mib, err)
	}
}

// Flush rows do not grow with the log, in the file and in memory.
func TestOldFlushesAreForgotten(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "events.db"))
	tenant := newTenant(t, s)
	first := flush(eventstore.Unit{Tenant: tenant, Drafts: drafts(1, 10)})
	for i := range sqlite.KeepFlushes + 100 {
		f := first
		if i > 0 {
			f = flush(eventstore.Unit{Tenant: tenant, Drafts: drafts(1, 10)})
		}
		if _, err := s.Append(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	// Nobody sends so old a flush again. If someone did, its events would still not be stored twice.
	if _, err := s.Append(t.Context(), first); err == nil {
		t.Error("the first flush is still known, or was stored twice")
	}
}
