package sqlite_test

import (
	"crypto/rand"
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"

	"auditlog/eventstore"
)

// BenchmarkKeys is a flush of 100 entries whose keys are all known (a retry, which only looks up) or all fresh, over a table
// of so many keys; and what a row of it takes on disk.
func BenchmarkKeys(b *testing.B) {
	for _, rows := range []int{1_000, 10_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprint(rows), func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "events.db")
			s := open(b, path)
			tenant := newTenant(b, s)
			perRow := fillKeys(b, path, rows)
			tokens := sampleKeys(b, path)
			b.Run("known", func(b *testing.B) {
				benchKeys(b, s, tenant, eventstore.Replayed, func(i int) (k eventstore.Idempotency) {
					k.Token = tokens[i%len(tokens)]
					return k
				})
				b.ReportMetric(perRow, "bytes/row")
			})
			b.Run("fresh", func(b *testing.B) {
				benchKeys(b, s, tenant, eventstore.Stored, func(int) (k eventstore.Idempotency) {
					_, _ = rand.Read(k.Token[:]) // never fails
					return k
				})
			})
		})
	}
}

func benchKeys(b *testing.B, s eventstore.Store, tenant eventstore.TenantID, want eventstore.Status, key func(int) eventstore.Idempotency) {
	const perFlush = 100
	n := 0
	for b.Loop() {
		b.StopTimer()
		all := drafts(perFlush, storedBytes)
		for i := range all {
			k := key(n)
			all[i].Idempotency = &k
			n++
		}
		b.StartTimer()
		out, err := s.Append(b.Context(), flush(eventstore.Unit{Tenant: tenant, Drafts: all}))
		if err != nil || out[0].Status != want {
			b.Fatalf("%v, %v", out[:min(1, len(out))], err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(n), "µs/key")
}

// fillKeys adds keys of the first tenant's first event, 500 at a time in the table's order, as flushes do; it gives the
// bytes that the file grew by for each.
func fillKeys(b *testing.B, path string, rows int) (perRow float64) {
	b.Helper()
	db := raw(b, path)
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
	for left := rows; left > 0; left -= 500 {
		if _, err := tx.ExecContext(b.Context(), `
			WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
			INSERT INTO idempotency (tenant, token, fingerprint, position)
			SELECT (SELECT min(no) FROM tenants), token, zeroblob(32), 1 FROM (SELECT randomblob(32) AS token FROM n ORDER BY token)`, min(left, 500)); err != nil {
			b.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		b.Fatal(err)
	}
	return float64(size()-before) / float64(rows)
}

// sampleKeys are some of the stored tokens, in no order.
func sampleKeys(b *testing.B, path string) (tokens [][32]byte) {
	b.Helper()
	rows, err := raw(b, path).QueryContext(b.Context(), `SELECT token FROM idempotency ORDER BY random() LIMIT 20000`)
	if err != nil {
		b.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var token []byte
		if err := rows.Scan(&token); err != nil {
			b.Fatal(err)
		}
		tokens = append(tokens, [32]byte(token))
	}
	if err := rows.Err(); err != nil {
		b.Fatal(err)
	}
	return tokens
}

func raw(b *testing.B, path string) *sql.DB {
	b.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = db.Close() })
	return db
}
