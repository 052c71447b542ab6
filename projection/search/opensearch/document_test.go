package opensearch

import (
	"crypto/sha256"
	"fmt"
	"testing"

	"auditlog/eventstore/format"
	"auditlog/internal/entry"
	"auditlog/projection/search/searchtest"
)

// someEntries are folded entries with many words.
func someEntries(tb testing.TB, n int) (out []entry.Entry) {
	log := searchtest.NewLog(tb)
	for i := range n {
		log.Record(searchtest.Tenant(1), format.Public{
			Action: "GetBucketPolicy", Severity: "INFO", Outcome: "success", ActorType: "user", ResourceType: "s3.bucket",
		}, format.Private{
			Actor:     format.Actor{ID: fmt.Sprintf("user-%d", i%50), Email: fmt.Sprintf("user%d@example.com", i%50), SessionID: fmt.Sprintf("ASIA%012X", i*7919)},
			Resource:  format.Resource{ID: fmt.Sprintf("arn:aws:s3:::bucket-%d/object-%d.txt", i%30, i)},
			Message:   "Call from the console was allowed by the policy of the bucket in region \"eu-central-1\" of 東京",
			Source:    format.Source{IP: "10.1.2.3", UserAgent: "aws-cli/2.15.0 Python/3.11.6 Linux/6.1", Service: "s3.amazonaws.com"},
			RequestID: fmt.Sprintf("%032x", i*104729),
			Metadata:  fmt.Appendf(nil, `{"region":"eu-central-1","mfa":%v,"bytes":%d,"a=b":["x","x","%0300d"]}`, i%2 == 0, i, i),
		})
	}
	return log.Entries(searchtest.Tenant(1))
}

// The bytes of documents are part of the rules: what changes them raises rules, for a rebuild.
func TestDocumentBytesStay(t *testing.T) {
	h := sha256.New()
	entries := someEntries(t, 200)
	for i := range entries {
		d := newDocument(&entries[i], 3)
		h.Write(d.appendSource(nil))
	}
	if got := fmt.Sprintf("%x", h.Sum(nil)[:8]); got != "8eff2e89d177c59c" || rules != 1 {
		t.Errorf("documents hash to %s by rules %d", got, rules)
	}
}

// BenchmarkDocument makes documents and their lines: the hot path of a rebuild.
func BenchmarkDocument(b *testing.B) {
	entries := someEntries(b, 100)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		d := newDocument(&entries[i%100], 3)
		indexItem("auditlog-g1-all-2024.03", &d)
	}
}
