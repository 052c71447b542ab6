package timescale_test

import (
	"crypto/rand"
	"fmt"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"auditlog/eventstore"
	"auditlog/eventstore/timescale"
)

// BenchmarkKeys is a flush of 100 entries whose keys are all known (a retry: refused at the first duplicate, then looked up)
// or all fresh, over a table of so many keys; and what a row of it takes on disk, index included.
func BenchmarkKeys(b *testing.B) {
	for _, rows := range []int{1_000, 10_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprint(rows), func(b *testing.B) {
			w := newWorld(b, timescale.Layout{Shards: 1})
			s := w.open(b, timescale.Config{})
			tenant := newTenant(b, s)
			conn := connect(b, w.owner)
			perRow := fillKeys(b, conn, rows)
			tokens := sampleKeys(b, conn)
			b.Run("known", func(b *testing.B) {
				benchKeys(b, s, tenant, eventstore.Replayed, func(i int) (k eventstore.Idempotency) {
					copy(k.Token[:], tokens[i%len(tokens)][:])
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

func benchKeys(b *testing.B, s *timescale.Store, tenant eventstore.Tenant, want eventstore.Status, key func(int) eventstore.Idempotency) {
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
		f := flushOf(tenant, all...)
		b.StartTimer()
		out, err := s.Append(b.Context(), f)
		if err != nil || out[0].Status != want {
			b.Fatalf("%v, %v", out[:min(1, len(out))], err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(n), "µs/key")
}

// fillKeys adds keys of the first tenant's first event, 500 at a time in the table's order, as flushes do; it gives the bytes
// of the table and its index for each.
func fillKeys(b *testing.B, conn *pgx.Conn, rows int) (perRow float64) {
	b.Helper()
	if _, err := conn.Exec(b.Context(), fmt.Sprintf(`
		DO $$
		DECLARE rest integer := %d;
		BEGIN
			WHILE rest > 0 LOOP
				INSERT INTO auditlog.idempotency (tenant, token, fingerprint, position, recorded_at)
				SELECT e.tenant, t.token, '00000000-0000-0000-0000-000000000000', e.position, e.recorded_at
				FROM (SELECT tenant, position, recorded_at FROM auditlog.events ORDER BY "offset" LIMIT 1) e
				CROSS JOIN (SELECT gen_random_uuid() AS token FROM generate_series(1, least(rest, 500)) ORDER BY 1) t;
				rest := rest - 500;
			END LOOP;
		END $$`, rows)); err != nil {
		b.Fatal(err)
	}
	if _, err := conn.Exec(b.Context(), `VACUUM (ANALYZE) auditlog.idempotency`); err != nil {
		b.Fatal(err)
	}
	if err := conn.QueryRow(b.Context(), `SELECT pg_total_relation_size('auditlog.idempotency')::float / $1::int`, rows).Scan(&perRow); err != nil {
		b.Fatal(err)
	}
	return perRow
}

// sampleKeys are some of the stored tokens, in no order.
func sampleKeys(b *testing.B, conn *pgx.Conn) []uuid.UUID {
	b.Helper()
	rows, err := conn.Query(b.Context(), `SELECT token FROM auditlog.idempotency ORDER BY random() LIMIT 20000`)
	if err != nil {
		b.Fatal(err)
	}
	tokens, err := pgx.CollectRows(rows, pgx.RowTo[[16]byte])
	if err != nil {
		b.Fatal(err)
	}
	out := make([]uuid.UUID, len(tokens))
	for i, t := range tokens {
		out[i] = t
	}
	return out
}
