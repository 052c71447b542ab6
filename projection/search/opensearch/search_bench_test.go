package opensearch_test

import (
	"slices"
	"testing"
	"time"

	"auditlog/eventstore"
	"auditlog/internal/criteria"
	"auditlog/internal/text"
	"auditlog/projection/search/opensearch/ostest"
	"auditlog/projection/search/searchtest"
	"auditlog/query"
)

// BenchmarkSearch asks an index of one tenant, of AUDITLOG_BENCH_ENTRIES entries: the median and the 99th percentile of
// each question in milliseconds, at the index's own interface.
func BenchmarkSearch(b *testing.B) {
	log := searchtest.NewLog(b)
	count := benchEntries(b, 20_000)
	entries(log, count)
	cfg := config(b, ostest.Address(b), log)
	x := open(b, cfg)
	if _, err := x.Rebuild(b.Context(), nil); err != nil {
		b.Fatal(err)
	}
	words, err := text.Parse("denied retried")
	if err != nil {
		b.Fatal(err)
	}
	two, err := text.Parse("denied eu-central-1")
	if err != nil {
		b.Fatal(err)
	}
	const page = 50
	head := eventstore.Position(log.Head())
	after := func(pages int) *query.Key {
		return &query.Key{Position: max(1, head-eventstore.Position(pages*page)+1)}
	}
	for _, q := range []struct {
		name  string
		query query.IndexQuery
		count int
	}{
		{"newest_page", query.IndexQuery{}, 0},
		{"page_1000", query.IndexQuery{After: after(min(999, count/page-1))}, 0},
		{"actor", query.IndexQuery{Criteria: criteria.Criteria{ActorID: "user-77"}}, 0},
		{"two_words", query.IndexQuery{Criteria: criteria.Criteria{Text: two}}, 0},
		{"two_words_that_never_meet", query.IndexQuery{Criteria: criteria.Criteria{Text: words}}, 0},
		{"by_occurrence", query.IndexQuery{Sort: query.Sort{Occurred: true}}, 0},
		{"count_to_10000", query.IndexQuery{}, 10_000},
		{"count_two_words", query.IndexQuery{Criteria: criteria.Criteria{Text: two}}, 10_000},
	} {
		b.Run(q.name, func(b *testing.B) {
			q.query.Tenant, q.query.Limit = tenant, page
			var took []time.Duration
			for b.Loop() {
				start := time.Now()
				var err error
				if q.count > 0 {
					_, err = x.Count(b.Context(), q.query, q.count)
				} else {
					_, err = x.Find(b.Context(), q.query)
				}
				if err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(start))
			}
			slices.Sort(took)
			at := func(percent int) float64 { return float64(took[(len(took)-1)*percent/100].Microseconds()) / 1000 }
			b.ReportMetric(at(50), "p50-ms")
			b.ReportMetric(at(99), "p99-ms")
			b.ReportMetric(0, "ns/op")
		})
	}
}
