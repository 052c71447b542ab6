package opensearch_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"auditlog/internal/fault"
	"auditlog/query"
)

// What OpenSearch 3.6 answers to a search while its queue is full, while its memory is short, and when the search used up
// the time that it was given.
const (
	queueFull = `{"error":{"root_cause":[{"type":"rejected_execution_exception","reason":"rejected execution"}],"type":"search_phase_execution_exception",` +
		`"reason":"all shards failed","phase":"query","grouped":true,"failed_shards":[{"shard":0,"index":"t","reason":{"type":"rejected_execution_exception",` +
		`"reason":"rejected execution"}}],"caused_by":{"type":"rejected_execution_exception","reason":"rejected execution"}},"status":429}`
	memoryShort = `{"error":{"root_cause":[{"type":"circuit_breaking_exception","reason":"[parent] Data too large","durability":"TRANSIENT"}],` +
		`"type":"circuit_breaking_exception","reason":"[parent] Data too large","durability":"TRANSIENT"},"status":429}`
	timeUsed = `{"error":{"root_cause":[{"type":"query_phase_execution_exception","reason":"Time exceeded"}],"type":"search_phase_execution_exception",` +
		`"reason":"all shards failed","phase":"query","grouped":true,"failed_shards":[{"shard":0,"index":"t","reason":{"type":"query_phase_execution_exception",` +
		`"reason":"Time exceeded"}}],"caused_by":{"type":"query_phase_execution_exception","reason":"Time exceeded"}},"status":500}`
	timeUsedAndQueueFull = `{"error":{"root_cause":[{"type":"query_phase_execution_exception","reason":"Time exceeded"}],"type":"search_phase_execution_exception",` +
		`"reason":"all shards failed","phase":"query","grouped":true,"failed_shards":[{"shard":0,"index":"t","reason":{"type":"query_phase_execution_exception",` +
		`"reason":"Time exceeded"}},{"shard":0,"index":"u","reason":{"type":"rejected_execution_exception","reason":"rejected execution"}}]},"status":500}`
	otherFailure = `{"error":{"root_cause":[{"type":"query_phase_execution_exception","reason":"Failed to sort"}],"type":"search_phase_execution_exception",` +
		`"reason":"all shards failed","phase":"query","grouped":true,"failed_shards":[{"shard":0,"index":"t","reason":{"type":"query_phase_execution_exception",` +
		`"reason":"Failed to sort"}}]},"status":500}`
)

// answerSearches has the proxy answer each _search.
func (w *world) answerSearches(answer http.HandlerFunc) {
	w.proxy.setAll(func(rw http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/_search") {
			return false
		}
		answer(rw, r)
		return true
	})
}

// A server that is busy with others is no reason to ask less, only to ask later: 503. A question that used up its time
// while the server was at work on it asks too much: 422.
func TestBusyIsNotTooCostly(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 5, nil)
	w.apply()
	w.expect(5)
	for name, c := range map[string]struct {
		status int
		body   string
		kind   fault.Kind
	}{
		"queue full":                {429, queueFull, fault.Overloaded},
		"memory short":              {429, memoryShort, fault.Overloaded},
		"a proxy before the server": {429, `Too Many Requests`, fault.Overloaded},
		"time used":                 {500, timeUsed, fault.QueryTooCostly},
		"time used, told otherwise": {200, `{"_shards":{"total":1,"failed":0},"timed_out":true,"hits":{"hits":[]}}`, fault.QueryTooCostly},
		"time used in one index, another's queue full": {500, timeUsedAndQueueFull, fault.Unavailable},
		"another failure": {500, otherFailure, fault.Unavailable},
	} {
		w.answerSearches(func(rw http.ResponseWriter, _ *http.Request) {
			rw.WriteHeader(c.status)
			_, _ = rw.Write([]byte(c.body))
		})
		for call, ask := range map[string]func() error{
			"find":  func() error { _, err := w.x.Find(t.Context(), query.IndexQuery{Tenant: tenant, Limit: 10}); return err },
			"count": func() error { _, err := w.x.Count(t.Context(), query.IndexQuery{Tenant: tenant}, 10); return err },
		} {
			err := ask()
			f, ok := errors.AsType[*fault.Error](err)
			if !ok || f.Kind != c.kind || (f.RetryAfter > 0) != (c.kind != fault.QueryTooCostly) {
				t.Errorf("%s: %s: %v, want %v", name, call, err, c.kind)
			}
		}
	}
}

// A search whose answer does not come in time may have waited all of it in the server's queue.
func TestSearchThatIsNotAnsweredInTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 5, nil)
	w.apply()
	w.expect(5)
	asked := make(chan []byte, 1)
	w.answerSearches(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked <- body
		<-r.Context().Done()
	})
	const limit = 400 * time.Millisecond
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	_, err := w.x.Find(ctx, query.IndexQuery{Tenant: tenant, Limit: 1})
	if f, ok := errors.AsType[*fault.Error](err); !ok || f.Kind != fault.Overloaded || f.RetryAfter <= 0 {
		t.Errorf("without an answer: %v", err)
	}
	var body struct{ Timeout string }
	if err := json.Unmarshal(<-asked, &body); err != nil {
		t.Fatal(err)
	}
	if given, err := time.ParseDuration(body.Timeout); err != nil || given <= 0 || given >= limit {
		t.Errorf("the server was given %q of %s", body.Timeout, limit)
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	if _, err := w.x.Find(gone, query.IndexQuery{Tenant: tenant, Limit: 1}); !errors.Is(err, context.Canceled) || !fault.Is(err, fault.Internal) {
		t.Errorf("a caller who left: %v", err)
	}
}

// The real server says by itself when a question uses up its time. It looks between segments, by a clock of 200 ms.
func TestServerTellsThatTimeIsUsedUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0, nil)
	for range 8 { // a segment each
		from := w.log.Head()
		w.record(40)
		if err := w.x.Apply(t.Context(), w.log.Envelope(from, w.log.Head())); err != nil {
			t.Fatal(err)
		}
		w.await()
	}
	w.expect(320)
	w.answerSearches(func(rw http.ResponseWriter, r *http.Request) {
		var body map[string]any
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		all := body["query"].(map[string]any)["bool"].(map[string]any)
		all["filter"] = append(all["filter"].([]any), json.RawMessage(
			`{"script":{"script":{"source":"double x = 0; for (int i = 0; i < params.n; i++) { x += Math.sin(i) } return x < params.n","params":{"n":500000}}}}`))
		body["timeout"] = "1ms"
		slow, err := json.Marshal(body)
		if err != nil {
			t.Error(err)
		}
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(slow)), int64(len(slow))
		w.proxy.forward.ServeHTTP(rw, r)
	})
	if n, err := w.x.Count(t.Context(), query.IndexQuery{Tenant: tenant}, 1000); !fault.Is(err, fault.QueryTooCostly) {
		t.Errorf("a question that takes long: %d, %v", n, err)
	}
}
