package command_test

import (
	"context"
	"fmt"
	"testing"

	"auditlog/command"
	"auditlog/eventstore"
	"auditlog/internal/canon"
)

// typical is an entry of about 600 bytes.
func typical(i int) string {
	return fmt.Sprintf(`{"action":"document.shared","actor":{"type":"user","id":"user-%06d","name":"Ada Lovelace","email":"ada%d@example.org","session_id":"sess-%08x"},`+
		`"resource":{"type":"document","id":"doc-%08d","name":"Quarterly plan"},"severity":"INFO","outcome":"success","message":"shared with the finance group",`+
		`"source":{"ip":"10.1.%d.%d","user_agent":"Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/128.0","service":"drive"},"request_id":"req-%016x",`+
		`"occurred_at":"2026-11-23T10:15:00.123456Z","metadata":{"group":"finance","permission":"read","link":true,"count":%d},"idempotency_key":"bench-%d"}`,
		i, i, i, i, i%200, i%250, i, i, i)
}

func BenchmarkParseEntry(b *testing.B) {
	body := []byte(typical(7))
	d := command.Defaults{Now: noon}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		doc, err := canon.Parse(body, canon.Limits{})
		if err != nil {
			b.Fatal(err)
		}
		if e, broken := command.ParseEntry(doc.Root(), "", d); e == nil {
			b.Fatal(broken)
		}
		doc.Release()
	}
}

// instantLog takes everything and stores nothing, so that what remains is the cost of this package.
type instantLog struct{}

func (instantLog) Append(_ context.Context, f eventstore.Flush) ([]eventstore.Outcome, error) {
	var out []eventstore.Outcome
	for _, u := range f.Units {
		if out == nil {
			out = make([]eventstore.Outcome, 0, len(f.Units)*len(u.Drafts))
		}
		for i := range u.Drafts {
			out = append(out, eventstore.Outcome{Status: eventstore.Stored, ID: u.Drafts[i].ID, Position: 1})
		}
	}
	return out, nil
}

func instant(command.Log) command.Log { return instantLog{} }

func BenchmarkRecord(b *testing.B) {
	w := newWorldOver(b, instant, command.AppenderOptions{})
	e := mustEntry(b, typical(7))
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.Record(ctx, w.writer, e); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBulk counts per bulk of 1,000 entries, parsed before.
func BenchmarkBulk(b *testing.B) {
	w := newWorldOver(b, instant, command.AppenderOptions{})
	items := make([]command.BulkItem, command.MaxBulk)
	for i := range items {
		items[i].Entry = mustEntry(b, typical(i))
	}
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.Bulk(ctx, w.writer, items, true); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*len(items)), "µs/entry")
}

// BenchmarkSubmit is the appender alone, with one caller and with many.
func BenchmarkSubmit(b *testing.B) {
	ctx := context.Background()
	u := unit(1)
	b.Run("alone", func(b *testing.B) {
		a := command.NewAppender(instantLog{}, 1, command.AppenderOptions{})
		b.ReportAllocs()
		for b.Loop() {
			if _, err := a.Submit(ctx, 0, u); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("together", func(b *testing.B) {
		a := command.NewAppender(instantLog{}, 1, command.AppenderOptions{})
		b.SetParallelism(32)
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := a.Submit(ctx, 0, u); err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
}
