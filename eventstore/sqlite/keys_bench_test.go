package sqlite_test

import (
	"bytes"
	"database/sql"
	"path/filepath"
	"slices"
	"testing"

	"auditlog/eventstore"
	"auditlog/eventstore/storetest"
)

func BenchmarkKeys(b *testing.B) {
	paths := map[eventstore.Store]string{}
	storetest.BenchmarkKeys(b, storetest.KeyTable{
		New: func(b *testing.B) eventstore.Store {
			path := filepath.Join(b.TempDir(), "events.db")
			s := open(b, path)
			paths[s] = path
			return s
		},
		Fill: func(b *testing.B, s eventstore.Store, _ eventstore.TenantID, tokens [][32]byte) int64 {
			return fillKeys(b, paths[s], tokens)
		},
	})
}

// fillKeys adds keys of the first tenant, 500 at a time in the table's order, as flushes do.
func fillKeys(b *testing.B, path string, tokens [][32]byte) (grown int64) {
	b.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	size := func() (n int64) {
		if err := db.QueryRowContext(b.Context(), `SELECT (SELECT page_count FROM pragma_page_count) * (SELECT page_size FROM pragma_page_size)`).Scan(&n); err != nil {
			b.Fatal(err)
		}
		return n
	}
	before := size()
	tx, err := db.BeginTx(b.Context(), nil)
	if err != nil {
		b.Fatal(err)
	}
	insert, err := tx.PrepareContext(b.Context(), `
		INSERT INTO idempotency (tenant, token, fingerprint, position) VALUES ((SELECT min(no) FROM tenants), ?, zeroblob(32), 1)`)
	if err != nil {
		b.Fatal(err)
	}
	for some := range slices.Chunk(slices.Clone(tokens), 500) {
		slices.SortFunc(some, func(x, y [32]byte) int { return bytes.Compare(x[:], y[:]) })
		for _, token := range some {
			if _, err := insert.ExecContext(b.Context(), token[:]); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := tx.Commit(); err != nil {
		b.Fatal(err)
	}
	return size() - before
}
