package sqlitedb_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"auditlog/internal/sqlitedb"
	"auditlog/migrations"
)

func TestOpenMigratesAndReopens(t *testing.T) {
	path := filepath.Join(t.TempDir(), "with space?.db")
	for range 2 {
		db, err := sqlitedb.Open(t.Context(), path, sqlitedb.Options{Durable: true, Migrations: migrations.SQLite("relay")})
		if err != nil {
			t.Fatal(err)
		}
		var mode string
		var sync int
		if err := db.Write.QueryRow("PRAGMA journal_mode").Scan(&mode); err != nil || mode != "wal" {
			t.Fatalf("journal_mode = %q, %v", mode, err)
		}
		if err := db.Write.QueryRow("PRAGMA synchronous").Scan(&sync); err != nil || sync != 2 {
			t.Fatalf("synchronous = %d, %v; want 2 (FULL)", sync, err)
		}
		if _, err := db.Read.Exec("DELETE FROM cursors"); err == nil {
			t.Fatal("the read pool can write")
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v; want 0600", info.Mode(), err)
	}
}

func TestOpenNamesDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	if err := os.WriteFile(path, []byte("this is not a database, and long enough to be looked at as one. It really is not."), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := sqlitedb.Open(t.Context(), path, sqlitedb.Options{Migrations: migrations.SQLite("relay")})
	if !errors.Is(err, sqlitedb.ErrCorrupt) {
		t.Fatalf("got %v, want ErrCorrupt", err)
	}
}

func TestOpenNamesDamageBehindTheFirstPage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	o := sqlitedb.Options{Migrations: migrations.SQLite("relay")}
	db, err := sqlitedb.Open(t.Context(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 4096; i < len(raw); i++ {
		raw[i] = 0x5a
	}
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlitedb.Open(t.Context(), path, o); !errors.Is(err, sqlitedb.ErrCorrupt) {
		t.Fatalf("got %v, want ErrCorrupt", err)
	}
}
