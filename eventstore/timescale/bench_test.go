package timescale_test

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"auditlog/command"
	"auditlog/eventstore"
	"auditlog/eventstore/timescale"
)

// storedBytes of one event of about 600 bytes of JSON.
const storedBytes = 430

// BenchmarkAppendBulk is one flush of one unit of 1,000; compare BenchmarkBareCopy.
func BenchmarkAppendBulk(b *testing.B) { benchAppend(b, 1, 1000) }

// BenchmarkAppendSingles is one flush of 64 units of one draft.
func BenchmarkAppendSingles(b *testing.B) { benchAppend(b, 64, 1) }

func benchAppend(b *testing.B, units, perUnit int) {
	s := newWorld(b, timescale.Layout{}).open(b, timescale.Config{})
	tenant := newTenant(b, s)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		f := eventstore.Flush{ID: eventstore.FlushID(uuid.New()), Shard: tenant.Shard}
		for range units {
			f.Units = append(f.Units, eventstore.Unit{Tenant: tenant.ID, Drafts: drafts(perUnit, storedBytes)})
		}
		b.StartTimer()
		if _, err := s.Append(b.Context(), f); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(units*perUnit*b.N)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkAppender is single entries of 256 callers, of one tenant and of many in turn, through the lanes that the service
// puts before the store. It also tells what an event takes on disk, indexes included.
func BenchmarkAppender(b *testing.B) {
	for _, tenants := range []int{1, 1024} {
		b.Run(fmt.Sprint("tenants=", tenants), func(b *testing.B) { benchAppender(b, tenants) })
	}
}

func benchAppender(b *testing.B, tenants int) {
	const callers = 256
	w := newWorld(b, timescale.Layout{})
	s := w.open(b, timescale.Config{})
	lanes := command.NewAppender(s, s.Shards(), command.AppenderOptions{})
	defer func() {
		if err := lanes.Close(context.Background()); err != nil {
			b.Error(err)
		}
	}()
	var of []eventstore.Tenant
	for range tenants {
		of = append(of, newTenant(b, s))
	}
	b.SetParallelism(callers / runtime.GOMAXPROCS(0))
	var next atomic.Int64
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			t := &of[next.Add(1)%int64(tenants)]
			if _, err := lanes.Submit(b.Context(), t.Shard, eventstore.Unit{Tenant: t.ID, Drafts: drafts(1, storedBytes)}); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	var bytes int64
	err := connect(b, w.owner).QueryRow(b.Context(), `
		SELECT sum(pg_total_relation_size(i.inhrelid)) FROM pg_inherits i WHERE i.inhparent = 'auditlog.events'::regclass`).Scan(&bytes)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(bytes)/float64(b.N), "bytes/event")
}

// BenchmarkBareCopy copies rows of the same columns into the same table, 1,000 a statement, over one connection.
func BenchmarkBareCopy(b *testing.B) {
	w := newWorld(b, timescale.Layout{})
	w.open(b, timescale.Config{})
	conn := connect(b, w.owner)
	columns := []string{"recorded_at", "offset", "position", "tenant", "key_epoch", "key_index", "shard", "id", "type", "public", "private"}
	n := int64(0)
	for b.Loop() {
		b.StopTimer()
		var rows [][]any
		at := time.Now().UTC()
		for _, d := range drafts(1000, storedBytes) {
			n++
			rows = append(rows, []any{at, n, n, int32(1), int32(1), int32(n), int16(0), [16]byte(d.ID), string(d.Type), d.Public, d.Private})
		}
		b.StartTimer()
		if _, err := conn.CopyFrom(b.Context(), pgx.Identifier{"auditlog", "events"}, columns, pgx.CopyFromRows(rows)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(1000*b.N)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkReadShard is a page of 1,000 as relay and projections read it.
func BenchmarkReadShard(b *testing.B) {
	s := newWorld(b, timescale.Layout{}).open(b, timescale.Config{})
	tenant := newTenant(b, s)
	for range 20 {
		mustAppend(b, s, flushOf(tenant, drafts(1000, storedBytes)...))
	}
	b.ReportAllocs()
	var after eventstore.Offset
	for b.Loop() {
		page, err := s.ReadShard(b.Context(), tenant.Shard, after%19_000, 1000)
		if err != nil || len(page) != 1000 {
			b.Fatal(len(page), err)
		}
		after += 1000
	}
	b.ReportMetric(float64(1000*b.N)/b.Elapsed().Seconds(), "events/s")
}
