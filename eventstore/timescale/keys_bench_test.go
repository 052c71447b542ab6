package timescale_test

import (
	"slices"
	"testing"

	"auditlog/eventstore"
	"auditlog/eventstore/storetest"
	"auditlog/eventstore/timescale"
)

func BenchmarkKeys(b *testing.B) {
	worlds := map[eventstore.Store]world{}
	storetest.BenchmarkKeys(b, storetest.KeyTable{
		New: func(b *testing.B) eventstore.Store {
			w := newWorld(b, timescale.Layout{Shards: 1})
			s := w.open(b, timescale.Config{})
			worlds[s] = w
			return s
		},
		Fill: func(b *testing.B, s eventstore.Store, tenant eventstore.TenantID, tokens [][32]byte) (bytes int64) {
			conn := connect(b, worlds[s].owner)
			for some := range slices.Chunk(tokens, 500) {
				slots, rests := timescale.KeysOf(tenant, some)
				if _, err := conn.Exec(b.Context(), `
					INSERT INTO auditlog.idempotency (slot, rest, fingerprint, position)
					SELECT k.slot, k.rest, 0, 1 FROM unnest($1::bigint[], $2::bigint[]) AS k (slot, rest) ORDER BY k.slot`, slots, rests); err != nil {
					b.Fatal(err)
				}
			}
			if _, err := conn.Exec(b.Context(), `VACUUM (ANALYZE) auditlog.idempotency`); err != nil {
				b.Fatal(err)
			}
			if err := conn.QueryRow(b.Context(), `SELECT pg_total_relation_size('auditlog.idempotency')`).Scan(&bytes); err != nil {
				b.Fatal(err)
			}
			return bytes
		},
	})
}
