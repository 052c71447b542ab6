package sqlite_test

import (
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
