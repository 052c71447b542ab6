package opensearch_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"auditlog/eventstore"
	"auditlog/eventstore/format"
	"auditlog/projection/search/opensearch/ostest"
	"auditlog/projection/search/searchtest"
)

// benchEntries is how many entries a benchmark indexes, unless AUDITLOG_BENCH_ENTRIES says otherwise.
func benchEntries(b *testing.B, otherwise int) int {
	b.Helper()
	given := os.Getenv("AUDITLOG_BENCH_ENTRIES")
	if given == "" {
		return otherwise
	}
	n, err := strconv.Atoi(given)
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// BenchmarkRebuild compares a rebuild with a bare client that sends the same documents, 1,000 a request on two connections:
// entries/s of both, and their ratio. Both go through the same proxy, which has kept the documents of the rebuild.
func BenchmarkRebuild(b *testing.B) {
	address := ostest.Address(b)
	log := searchtest.NewLog(b)
	count := benchEntries(b, 20_000)
	entries(log, count)
	target, err := url.Parse(address)
	if err != nil {
		b.Fatal(err)
	}
	keep := &keeper{forward: httputil.NewSingleHostReverseProxy(target)}
	proxy := httptest.NewServer(keep)
	defer proxy.Close()
	cfg := config(b, address, log)
	cfg.Addresses = []string{proxy.URL}
	x := open(b, cfg)
	var ours, bare time.Duration
	for b.Loop() {
		keep.items = nil
		start := time.Now()
		_, err := x.Rebuild(b.Context(), nil)
		ours += time.Since(start)
		if err != nil {
			b.Fatal(err)
		}
		keep.unique()
		if len(keep.items) != count {
			b.Fatalf("%d documents", len(keep.items))
		}
		bare += sendBare(b, proxy.URL, cfg.Prefix, keep.items)
	}
	n := float64(b.N * count)
	b.ReportMetric(n/ours.Seconds(), "entries/s")
	b.ReportMetric(n/bare.Seconds(), "bare-entries/s")
	b.ReportMetric(bare.Seconds()/ours.Seconds(), "ratio")
}

// sendBare indexes the items into an index of their own.
func sendBare(b *testing.B, address, prefix string, items [][]byte) time.Duration {
	b.Helper()
	name := fmt.Sprintf("%s-g%d-bare-2024.03", prefix, 1_000_000+rand.IntN(1_000_000))
	send(b, http.MethodPut, address+"/"+name, nil)
	var requests [][]byte
	for at := 0; at < len(items); at += 1000 {
		var body []byte
		for _, item := range items[at:min(at+1000, len(items))] {
			rest := item[bytes.IndexByte(item, ',')+1:]
			body = fmt.Appendf(body, `{"index":{"_index":%q,%s`, name, rest)
		}
		requests = append(requests, body)
	}
	start := time.Now()
	var all sync.WaitGroup
	for lane := range 2 {
		all.Go(func() {
			for i := lane; i < len(requests); i += 2 {
				send(b, http.MethodPost, address+"/_bulk?filter_path=errors", requests[i])
			}
		})
	}
	all.Wait()
	took := time.Since(start)
	send(b, http.MethodDelete, address+"/"+name, nil)
	return took
}

func send(b *testing.B, method, url string, body []byte) {
	req, err := http.NewRequestWithContext(b.Context(), method, url, bytes.NewReader(body))
	if err != nil {
		b.Error(err)
		return
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		b.Error(err)
		return
	}
	defer res.Body.Close()
	var answer bytes.Buffer
	if _, err := answer.ReadFrom(res.Body); err != nil || res.StatusCode/100 != 2 || bytes.Contains(answer.Bytes(), []byte(`"errors":true`)) {
		b.Errorf("%s: %d %.300s, %v", url, res.StatusCode, answer.Bytes(), err)
	}
}

// keeper is a proxy that keeps the items of _bulk requests.
type keeper struct {
	forward http.Handler
	mu      sync.Mutex
	items   [][]byte
}

func (k *keeper) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/_bulk" && r.URL.Query().Get("filter_path") != "errors" {
		var body bytes.Buffer
		if _, err := body.ReadFrom(r.Body); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		r.Body = http.NoBody
		r2 := r.Clone(r.Context())
		r2.Body, r2.ContentLength = readCloser{bytes.NewReader(body.Bytes())}, int64(body.Len())
		k.mu.Lock()
		k.items = append(k.items, itemsOf(body.Bytes())...)
		k.mu.Unlock()
		r = r2
	}
	k.forward.ServeHTTP(w, r)
}

type readCloser struct{ *bytes.Reader }

func (readCloser) Close() error { return nil }

// entries appends n entries of about 600 bytes.
func entries(log *searchtest.Log, n int) {
	r := rand.New(rand.NewPCG(1, 2))
	pick := func(s ...string) string { return s[r.IntN(len(s))] }
	for i := range n {
		occurred := searchtest.Start + eventstore.Micros(i)*1_000000
		log.Record(tenant, format.Public{
			Action: pick("GetBucketPolicy", "PutObject", "Decrypt", "AssumeRole", "document.shared"), OccurredAt: &occurred, Severity: pick("INFO", "WARNING"),
			Outcome: pick("success", "failure"), ActorType: pick("user", "service"), ResourceType: pick("s3.bucket", "kms.key"),
		}, format.Private{
			Actor:     format.Actor{ID: fmt.Sprintf("user-%d", r.IntN(5000)), Email: fmt.Sprintf("user%d@example.com", r.IntN(5000)), SessionID: fmt.Sprintf("ASIA%012X", r.Uint64()>>16)},
			Resource:  format.Resource{ID: fmt.Sprintf("arn:aws:s3:::bucket-%d/object-%d.txt", r.IntN(300), r.IntN(100000))},
			Message:   "Call from the console was " + pick("allowed", "denied", "retried") + " by policy " + fmt.Sprint(r.IntN(40)) + " in region " + pick("eu-central-1", "us-east-1"),
			Source:    format.Source{IP: fmt.Sprintf("10.%d.%d.%d", r.IntN(4), r.IntN(256), r.IntN(256)), UserAgent: "aws-cli/2.15.0 Python/3.11.6 Linux/6.1", Service: pick("s3", "kms") + ".amazonaws.com"},
			RequestID: fmt.Sprintf("%016x%016x", r.Uint64(), r.Uint64()),
			Metadata:  fmt.Appendf(nil, `{"region":%q,"mfa":%v,"bytes":%d}`, pick("eu-central-1", "us-east-1"), r.IntN(2) == 0, r.IntN(100000)),
		})
	}
}

// unique leaves one of items that were sent again.
func (k *keeper) unique() {
	seen := map[string]bool{}
	k.items = slices.DeleteFunc(k.items, func(item []byte) bool {
		action := string(item[:bytes.IndexByte(item, '\n')])
		again := seen[action]
		seen[action] = true
		return again
	})
}
