package storetest

import (
	"crypto/rand"
	"fmt"
	"testing"

	"auditlog/eventstore"
)

// KeyTable is a driver's table of idempotency keys, for BenchmarkKeys.
type KeyTable struct {
	// New makes an empty store, whose tenants are on shard 0.
	New func(b *testing.B) eventstore.Store
	// Fill adds keys of a tenant's event at position 1, as flushes of 500 entries would, and gives the bytes that table
	// and index grew by.
	Fill func(b *testing.B, s eventstore.Store, tenant eventstore.TenantID, tokens [][32]byte) (bytes int64)
}

// BenchmarkKeys is a flush of 100 entries of 430 stored bytes whose keys are all known (a retry) or all fresh, over a table
// of so many keys; and what a row of it takes on disk.
func BenchmarkKeys(b *testing.B, table KeyTable) {
	for _, rows := range []int{1_000, 10_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprint(rows), func(b *testing.B) {
			s := &bench{TB: b, Store: table.New(b), ctx: b.Context()}
			tenant := s.tenant()
			tokens := make([][32]byte, rows)
			for i := range tokens {
				_, _ = rand.Read(tokens[i][:]) // never fails
			}
			perRow := float64(table.Fill(b, s.Store, tenant, tokens)) / float64(rows)
			b.Run("known", func(b *testing.B) {
				s.benchKeys(b, tenant, eventstore.Replayed, func(i int) [32]byte { return tokens[i*7919%rows] })
				b.ReportMetric(perRow, "bytes/row")
			})
			b.Run("fresh", func(b *testing.B) {
				s.benchKeys(b, tenant, eventstore.Stored, func(int) (token [32]byte) {
					_, _ = rand.Read(token[:])
					return token
				})
			})
		})
	}
}

func (s *bench) benchKeys(b *testing.B, tenant eventstore.TenantID, want eventstore.Status, token func(i int) [32]byte) {
	const perFlush, bytes = 100, 430
	n := 0
	for b.Loop() {
		b.StopTimer()
		all := entries(perFlush)
		for i := range all {
			all[i].Public, all[i].Private = make([]byte, bytes/2), make([]byte, bytes/2)
			all[i].Idempotency = &eventstore.Idempotency{Token: token(n)}
			n++
		}
		f := flush(unit(tenant, all...))
		b.StartTimer()
		out, err := s.Append(b.Context(), f)
		if err != nil || out[0].Status != want {
			b.Fatalf("%v, %v", out[:min(1, len(out))], err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(n), "µs/key")
}
