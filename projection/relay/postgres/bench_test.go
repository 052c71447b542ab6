package postgres_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"auditlog/eventstore"
)

// BenchmarkSave moves the cursors of 16 shards and 5 destinations, all at the same time.
func BenchmarkSave(b *testing.B) {
	_, address := database(b)
	db := open(b, address)
	epochs := make([]uint64, 16)
	for shard := range epochs {
		var err error
		if _, epochs[shard], err = db.Acquire(b.Context(), eventstore.Shard(shard)); err != nil {
			b.Fatal(err)
		}
	}
	var lanes, n atomic.Int64
	b.SetParallelism(40) // 80 lanes on two cores
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		lane := int(lanes.Add(1))
		shard := lane % 16
		for pb.Next() {
			err := db.Save(b.Context(), eventstore.Shard(shard), fmt.Sprint("d", lane/16%5), epochs[shard], eventstore.Offset(n.Add(1)))
			if err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "saves/s")
}
