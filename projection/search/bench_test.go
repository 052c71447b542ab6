package search_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"auditlog/eventstore"
	"auditlog/eventstore/format"
	"auditlog/internal/criteria"
	"auditlog/internal/text"
	"auditlog/projection/search"
	"auditlog/projection/search/searchtest"
	"auditlog/query"
)

var benchDocs = flag.Int("docs", 20_000, "entries of one tenant that the search benchmarks load")

// entries appends n entries of about 600 bytes: few actions and services, many actors, resources and requests.
func entries(log *searchtest.Log, n int) {
	r := rand.New(rand.NewPCG(1, 2))
	pick := func(s ...string) string { return s[r.IntN(len(s))] }
	for i := range n {
		occurred := searchtest.Start + eventstore.Micros(i)*7_000000 - eventstore.Micros(r.IntN(60))*1_000000
		log.Record(tenant, format.Public{
			Action: pick("GetBucketPolicy", "PutObject", "Decrypt", "AssumeRole", "DescribeInstances", "RunInstances", "document.shared", "CREATE"), OccurredAt: &occurred,
			Severity: pick("INFO", "INFO", "INFO", "WARNING", "ERROR"), Outcome: pick("success", "success", "success", "failure", "denied"),
			ActorType: pick("user", "service"), ResourceType: pick("s3.bucket", "ec2.instance", "kms.key"),
		}, format.Private{
			Actor:     format.Actor{ID: fmt.Sprintf("user-%d", r.IntN(5000)), Email: fmt.Sprintf("user%d@example.com", r.IntN(5000)), SessionID: fmt.Sprintf("ASIA%012X", r.Uint64()>>16)},
			Resource:  format.Resource{ID: fmt.Sprintf("arn:aws:s3:::bucket-%d/object-%d.txt", r.IntN(300), r.IntN(100000))},
			Message:   "Call from the console was " + pick("allowed", "denied", "retried", "throttled") + " by policy " + fmt.Sprint(r.IntN(40)) + " in region " + pick("eu-central-1", "us-east-1", "us-west-2"),
			Source:    format.Source{IP: fmt.Sprintf("10.%d.%d.%d", r.IntN(4), r.IntN(256), r.IntN(256)), UserAgent: "aws-cli/2.15.0 Python/3.11.6 Linux/6.1", Service: pick("s3", "ec2", "kms", "sts") + ".amazonaws.com"},
			RequestID: fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", r.Uint32(), r.IntN(65536), r.IntN(4096), r.IntN(4096), r.Uint64()>>16),
			Metadata:  fmt.Appendf(nil, `{"region":%q,"mfa":%v,"bytes":%d}`, pick("eu-central-1", "us-east-1"), r.IntN(2) == 0, r.IntN(100000)),
		})
	}
}

func applyAll(b *testing.B, x *search.Index, log *searchtest.Log, step eventstore.Offset) {
	b.Helper()
	for at := eventstore.Offset(0); at < log.Head(); at += step {
		if err := x.Apply(b.Context(), log.Envelope(at, min(at+step, log.Head()))); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkApply is the time for one entry, in envelopes of 200 as the relay sends and in pages of 4,000 as a rebuild does.
func BenchmarkApply(b *testing.B) {
	for _, step := range []eventstore.Offset{200, 2000, 4000} {
		b.Run(fmt.Sprint(step), func(b *testing.B) {
			log := searchtest.NewLog(b)
			entries(log, b.N)
			x := open(b, b.TempDir(), log)
			b.ResetTimer()
			applyAll(b, x, log, step)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "entries/s")
		})
	}
}

// BenchmarkFind asks for a page of 50, or counts up to 10,001, over -docs entries of one tenant; p50-ms and p99-ms are
// over all iterations.
func BenchmarkFind(b *testing.B) {
	log := searchtest.NewLog(b)
	entries(log, *benchDocs)
	x := open(b, b.TempDir(), log)
	applyAll(b, x, log, 4000)
	n := eventstore.Position(*benchDocs)
	words := func(q string) criteria.Criteria {
		parsed, err := text.Parse(q)
		if err != nil {
			b.Fatal(err)
		}
		return criteria.Criteria{Text: parsed}
	}
	span := searchtest.Start + eventstore.Micros(n)*7_000000
	from, to := span-40*24*3600_000000-1, span-3600_000000-1
	for _, c := range []struct {
		name string
		c    criteria.Criteria
		q    query.IndexQuery
	}{
		{"all", criteria.Criteria{}, query.IndexQuery{}},
		{"actor", criteria.Criteria{ActorID: "user-77"}, query.IndexQuery{}},
		{"action", criteria.Criteria{Actions: []string{"Decrypt"}}, query.IndexQuery{}},
		{"actions and severity", criteria.Criteria{Actions: []string{"Decrypt", "CREATE"}, Severities: []string{"ERROR"}}, query.IndexQuery{}},
		{"actor and severity", criteria.Criteria{ActorID: "user-77", Severities: []string{"ERROR"}}, query.IndexQuery{}},
		{"metadata", criteria.Criteria{Metadata: []criteria.Metadata{{Path: "mfa", Value: "true"}}}, query.IndexQuery{}},
		{"rare and common word", words("user-77 console"), query.IndexQuery{}},
		{"two common words", words("denied policy"), query.IndexQuery{}},
		{"two words that never meet", words("allowed throttled"), query.IndexQuery{}},
		{"absent", words("absent console"), query.IndexQuery{}},
		{"time", criteria.Criteria{From: &from, To: &to}, query.IndexQuery{}},
		{"time and word", criteria.Criteria{From: &from, To: &to, Text: words("denied").Text}, query.IndexQuery{}},
		{"recorded time", criteria.Criteria{From: &from, RecordedTime: true}, query.IndexQuery{}},
		{"page in the middle", words("denied policy"), query.IndexQuery{After: &query.Key{Position: n / 2}}},
		{"ascending", words("denied policy"), query.IndexQuery{Sort: query.Sort{Ascending: true}}},
		{"by occurred", criteria.Criteria{}, query.IndexQuery{Sort: query.Sort{Occurred: true}}},
		{"by occurred, common", words("denied policy"), query.IndexQuery{Sort: query.Sort{Occurred: true}}},
		{"by occurred, rare", criteria.Criteria{ActorID: "user-77"}, query.IndexQuery{Sort: query.Sort{Occurred: true}}},
		{"by occurred, in the middle", words("denied policy"), query.IndexQuery{Sort: query.Sort{Occurred: true}, After: &query.Key{Position: n / 2, Occurred: searchtest.Start + eventstore.Micros(n/2)*7_000000}}},
	} {
		c.q.Tenant, c.q.Criteria, c.q.Limit = tenant, c.c, 50
		b.Run("page/"+c.name, func(b *testing.B) {
			measure(b, func() error { _, err := x.Find(b.Context(), c.q); return err })
		})
	}
	for name, c := range map[string]criteria.Criteria{"all": {}, "word": words("console"), "time": {From: &from, To: &to}} {
		b.Run("count/"+name, func(b *testing.B) {
			measure(b, func() error {
				_, err := x.Count(b.Context(), query.IndexQuery{Tenant: tenant, Criteria: c}, 10_001)
				return err
			})
		})
	}
}

func measure(b *testing.B, ask func() error) {
	var took []time.Duration
	for b.Loop() {
		start := time.Now()
		if err := ask(); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}
