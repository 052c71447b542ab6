package readmodel_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"auditlog/eventstore"
	"auditlog/projection"
	"auditlog/projection/find"
	"auditlog/projection/projtest"
	"auditlog/projection/readmodel"
	"auditlog/projection/stats"
)

// BenchmarkApply is what it costs to count, and to find, entries that are about 500 actors, 2,000 subjects and 150
// combinations: opening their private parts included, opening the projection not.
func BenchmarkApply(b *testing.B) {
	w := projtest.New(b)
	tenant, rnd := w.Tenant("acme"), rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var drafts []eventstore.Draft
		for range 100 {
			drafts = append(drafts, w.Draft(tenant, projtest.Entry{
				Actor: fmt.Sprintf("actor-%d", rnd.IntN(500)), Subjects: []string{fmt.Sprintf("subject-%d", rnd.IntN(2000))},
				Action: fmt.Sprintf("action-%d", rnd.IntN(50)), Resource: fmt.Sprintf("type-%d", rnd.IntN(3)),
			}))
		}
		w.Tick()
		w.Append(tenant, drafts...)
	}
	events := w.Events()
	deps := readmodel.Deps{Store: w.Store, Opener: w.Opener}
	for name, homes := range map[string]func(tb testing.TB) readmodel.Home{
		"SQLite":     func(tb testing.TB) readmodel.Home { return readmodel.Folder(tb.TempDir()) },
		"PostgreSQL": projtest.NewDatabases(b).New,
	} {
		for _, size := range []int{500, 1000, 4000} {
			for _, which := range []string{"stats", "find"} {
				b.Run(fmt.Sprintf("%s/%s/%d", name, which, size), func(b *testing.B) {
					for b.Loop() {
						b.StopTimer()
						p := open(b, which, homes(b), deps)
						b.StartTimer()
						for i := 0; i < len(events); i += size {
							part := events[i:min(i+size, len(events))]
							env := projection.Envelope{From: part[0].Offset - 1, To: part[len(part)-1].Offset, Events: part}
							if err := p.Apply(b.Context(), env); err != nil {
								b.Fatal(err)
							}
						}
						b.StopTimer()
						if err := p.Close(); err != nil {
							b.Fatal(err)
						}
						b.StartTimer()
					}
					b.ReportMetric(float64(len(events))*float64(b.N)/b.Elapsed().Seconds(), "events/s")
				})
			}
		}
	}
}

func open(b *testing.B, which string, home readmodel.Home, deps readmodel.Deps) (p projtest.Dumper) {
	b.Helper()
	var err error
	if which == "stats" {
		p, err = stats.Open(b.Context(), home, deps, nil, nil)
	} else {
		p, err = find.Open(b.Context(), home, deps, nil)
	}
	if err != nil {
		b.Fatal(err)
	}
	return p
}
