package sqlite_test

import (
	"crypto/sha256"
	"path/filepath"
	"testing"

	"auditlog/eventstore"
	"auditlog/eventstore/sqlite"
)

// storedBytes of one event of about 600 bytes of JSON.
const storedBytes = 430

// BenchmarkAppendBulk is one flush of one unit of 1,000; compare BenchmarkBareBulk.
func BenchmarkAppendBulk(b *testing.B) { benchAppend(b, 1, 1000) }

// BenchmarkAppendSingles is one flush of 64 units of one draft; compare BenchmarkBareSingles.
func BenchmarkAppendSingles(b *testing.B) { benchAppend(b, 64, 1) }

// BenchmarkAppendKeyed is a bulk whose entries have idempotency keys: one more row each, at random places of its index.
func BenchmarkAppendKeyed(b *testing.B) {
	s := open(b, filepath.Join(b.TempDir(), "events.db"))
	tenant := newTenant(b, s)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		all := drafts(1000, storedBytes)
		for i := range all {
			all[i].Idempotency = &eventstore.Idempotency{Token: sha256.Sum256(all[i].ID[:])}
		}
		b.StartTimer()
		if _, err := s.Append(b.Context(), flush(eventstore.Unit{Tenant: tenant, Drafts: all})); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(1000*b.N)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkReadShard is a page of 1,000 as relay and projections read it.
func BenchmarkReadShard(b *testing.B) {
	s := open(b, filepath.Join(b.TempDir(), "events.db"))
	tenant := newTenant(b, s)
	for range 20 {
		if _, err := s.Append(b.Context(), flush(eventstore.Unit{Tenant: tenant, Drafts: drafts(1000, storedBytes)})); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	var after eventstore.Offset
	for b.Loop() {
		page, err := s.ReadShard(b.Context(), 0, after%19_000, 1000)
		if err != nil || len(page) != 1000 {
			b.Fatal(len(page), err)
		}
		after += 1000
	}
	b.ReportMetric(float64(1000*b.N)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkGet is one event by id; BenchmarkPositionAt a cursor that lags behind the head.
func BenchmarkGet(b *testing.B) {
	s := open(b, filepath.Join(b.TempDir(), "events.db"))
	tenant := newTenant(b, s)
	all := drafts(1000, storedBytes)
	if _, err := s.Append(b.Context(), flush(eventstore.Unit{Tenant: tenant, Drafts: all})); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n++
		if _, err := s.Get(b.Context(), tenant, all[n%len(all)].ID); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPositionAt(b *testing.B) {
	s := open(b, filepath.Join(b.TempDir(), "events.db"))
	tenant := newTenant(b, s)
	for range 20 {
		if _, err := s.Append(b.Context(), flush(eventstore.Unit{Tenant: tenant, Drafts: drafts(1000, 10)})); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if p, _, err := s.PositionAt(b.Context(), tenant, 19_000); err != nil || p != 19_000 {
			b.Fatal(p, err)
		}
	}
}

func BenchmarkBareBulk(b *testing.B)    { benchBare(b, 1000) }
func BenchmarkBareSingles(b *testing.B) { benchBare(b, 64) }

func benchAppend(b *testing.B, units, perUnit int) {
	s := open(b, filepath.Join(b.TempDir(), "events.db"))
	tenant := newTenant(b, s)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		f := flush()
		for range units {
			f.Units = append(f.Units, eventstore.Unit{Tenant: tenant, Drafts: drafts(perUnit, storedBytes)})
		}
		b.StartTimer()
		if _, err := s.Append(b.Context(), f); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(units*perUnit*b.N)/b.Elapsed().Seconds(), "events/s")
}

func benchBare(b *testing.B, rows int) {
	base, err := sqlite.OpenBaseline(filepath.Join(b.TempDir(), "bare.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer base.Close()
	var offset eventstore.Offset
	events := make([]eventstore.Event, rows)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		for i, d := range drafts(rows, storedBytes) {
			offset++
			events[i] = eventstore.Event{
				Offset: offset, Position: eventstore.Position(offset), RecordedAt: 1, ID: d.ID, Type: d.Type,
				Public: d.Public, Private: d.Private, Key: d.Key,
			}
		}
		b.StartTimer()
		if err := base.Insert(b.Context(), events); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(rows*b.N)/b.Elapsed().Seconds(), "events/s")
}
