package opensearch_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"auditlog/eventstore/format"
	"auditlog/internal/criteria"
	"auditlog/internal/fault"
	"auditlog/projection"
	"auditlog/projection/search/opensearch"
	"auditlog/projection/search/opensearch/ostest"
	"auditlog/projection/search/searchtest"
	"auditlog/query"
)

// proxy stands between an index and the real server. bulk, when it is set, answers _bulk requests; forward sends one on.
type proxy struct {
	*httptest.Server
	forward http.Handler

	mu    sync.Mutex
	bulk  func(w http.ResponseWriter, r *http.Request, items [][]byte)
	all   func(w http.ResponseWriter, r *http.Request) (done bool)
	bulks int
	asked int
}

func newProxy(t *testing.T, address string) *proxy {
	t.Helper()
	target, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{forward: httputil.NewSingleHostReverseProxy(target)}
	p.Server = httptest.NewUnstartedServer(p)
	return p
}

func (p *proxy) set(bulk func(w http.ResponseWriter, r *http.Request, items [][]byte)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bulk = bulk
}

func (p *proxy) setAll(all func(w http.ResponseWriter, r *http.Request) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all = all
}

// requests is how many came.
func (p *proxy) requests() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked
}

func (p *proxy) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bulks
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	bulk, all := p.bulk, p.all
	p.asked++
	if r.URL.Path == "/_bulk" {
		p.bulks++
	}
	p.mu.Unlock()
	if all != nil && all(w, r) {
		return
	}
	if bulk == nil || r.URL.Path != "/_bulk" {
		p.forward.ServeHTTP(w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	bulk(w, r, itemsOf(body))
}

// itemsOf cuts a _bulk body into its items.
func itemsOf(body []byte) (items [][]byte) {
	lines := bytes.SplitAfter(body, []byte("\n"))
	for i := 0; i < len(lines) && len(lines[i]) > 0; i++ {
		item := lines[i]
		if bytes.HasPrefix(item, []byte(`{"index"`)) {
			item = append(bytes.Clone(item), lines[i+1]...)
			i++
		}
		items = append(items, item)
	}
	return items
}

type answer struct {
	Errors bool              `json:"errors"`
	Items  []json.RawMessage `json:"items"`
}

// pass sends items on and gives the server's verdicts.
func (p *proxy) pass(r *http.Request, items [][]byte) (a answer) {
	if len(items) == 0 {
		return a
	}
	rec := httptest.NewRecorder()
	sent := r.Clone(r.Context())
	sent.Body = io.NopCloser(bytes.NewReader(bytes.Join(items, nil)))
	sent.ContentLength = -1
	sent.Header.Del("Accept-Encoding")
	p.forward.ServeHTTP(rec, sent)
	if err := json.Unmarshal(rec.Body.Bytes(), &a); err != nil {
		panic(http.ErrAbortHandler) // the client is gone, or the server
	}
	return a
}

func reply(w http.ResponseWriter, a answer) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(a)
}

func verdict(status int, kind, reason string) json.RawMessage {
	b, err := json.Marshal(map[string]any{"index": map[string]any{"status": status, "error": map[string]string{"type": kind, "reason": reason}}})
	if err != nil {
		panic(err)
	}
	return b
}

// world is an index behind a proxy, over a log of entries that all hold the word "text".
type world struct {
	*testing.T
	proxy *proxy
	log   *searchtest.Log
	cfg   opensearch.Config
	x     *opensearch.Index
}

func newWorld(t *testing.T, entries int, change func(*opensearch.Config)) *world {
	t.Helper()
	address := ostest.Address(t)
	w := &world{T: t, proxy: newProxy(t, address), log: searchtest.NewLog(t)}
	w.proxy.Start()
	t.Cleanup(w.proxy.Close)
	w.cfg = config(t, address, w.log)
	w.cfg.Addresses = []string{w.proxy.URL}
	w.cfg.Requests = opensearch.Requests{Timeout: patient, Patience: 20 * time.Second}
	if change != nil {
		change(&w.cfg)
	}
	w.x = open(t, w.cfg)
	w.record(entries)
	return w
}

var tenant = searchtest.Tenant(1)

func (w *world) record(n int) {
	for range n {
		w.log.Record(tenant, format.Public{Action: "READ", Severity: "INFO"}, format.Private{Message: "text"})
	}
}

// whole is everything in one envelope.
func (w *world) whole() projection.Envelope { return w.log.Envelope(0, w.log.Head()) }

func (w *world) apply() {
	w.Helper()
	if err := w.x.Apply(w.Context(), w.whole()); err != nil {
		w.Fatal(err)
	}
}

// await waits until everything is visible.
func (w *world) await() {
	w.Helper()
	for deadline := time.Now().Add(90 * time.Second); ; {
		changed := w.x.Changed()
		visible, err := w.x.Visible(w.Context(), 0)
		if err == nil && visible == w.log.Head() {
			return
		}
		select {
		case <-changed:
		case <-time.After(time.Until(deadline)):
			w.Fatalf("visible is %d, %v; the head is %d", visible, err, w.log.Head())
		}
	}
}

// expect checks which entries are found, all of a tenant's by default.
func (w *world) expect(want int) {
	w.Helper()
	w.await()
	keys, err := w.x.Find(w.Context(), query.IndexQuery{Tenant: tenant, Criteria: criteria.Criteria{}, Limit: 10_000})
	if err != nil || len(keys) != want {
		w.Fatalf("found %d, %v; want %d", len(keys), err, want)
	}
	n, err := w.x.Count(w.Context(), query.IndexQuery{Tenant: tenant}, 10_000)
	if err != nil || n != want {
		w.Fatalf("counted %d, %v; want %d", n, err, want)
	}
}

// Half of the items are refused for now, three times over: only those are sent again.
func TestItemsRefusedForNowAreSentAgainAlone(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusTooManyRequests, http.StatusServiceUnavailable} {
		w := newWorld(t, 100, nil)
		var sizes []int
		w.proxy.set(func(rw http.ResponseWriter, r *http.Request, items [][]byte) {
			sizes = append(sizes, len(items))
			half := len(items) / 2
			if len(sizes) > 3 {
				half = 0
			}
			a := w.proxy.pass(r, items[half:])
			for range half {
				a.Items = append([]json.RawMessage{verdict(status, "opensearch_rejected_execution_exception", "too much")}, a.Items...)
				a.Errors = true
			}
			reply(rw, a)
		})
		w.apply()
		if want := []int{100, 50, 25, 12}; len(sizes) != 4 || sizes[0] != want[0] || sizes[1] != want[1] || sizes[2] != want[2] || sizes[3] != want[3] {
			t.Errorf("%d: sent %v items, want %v", status, sizes, want)
		}
		w.proxy.set(nil)
		w.expect(100)
	}
}

func TestOutageLeavesTheRangeToTheNextDelivery(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 20, func(c *opensearch.Config) { c.Requests.Patience = 300 * time.Millisecond })
	for name, answer := range map[string]func(rw http.ResponseWriter, r *http.Request, items [][]byte){
		"503": func(rw http.ResponseWriter, _ *http.Request, _ [][]byte) {
			rw.WriteHeader(http.StatusServiceUnavailable)
		},
		"429 for all": func(rw http.ResponseWriter, _ *http.Request, _ [][]byte) {
			rw.WriteHeader(http.StatusTooManyRequests)
		},
		"errors without verdicts": func(rw http.ResponseWriter, _ *http.Request, _ [][]byte) {
			_, _ = rw.Write([]byte(`{"errors":true,"items":[]}`))
		},
		"no JSON": func(rw http.ResponseWriter, _ *http.Request, _ [][]byte) { _, _ = rw.Write([]byte(`<html>`)) },
		"cut off": func(http.ResponseWriter, *http.Request, [][]byte) { panic(http.ErrAbortHandler) },
		"no rights": func(rw http.ResponseWriter, r *http.Request, items [][]byte) {
			reply(rw, answerAll(len(items), verdict(http.StatusForbidden, "security_exception", "no permissions")))
		},
		"blocked": func(rw http.ResponseWriter, r *http.Request, items [][]byte) {
			reply(rw, answerAll(len(items), verdict(http.StatusForbidden, "cluster_block_exception", "disk is full")))
		},
	} {
		w.proxy.set(answer)
		err := w.x.Apply(t.Context(), w.whole())
		var poison *projection.Poison
		if err == nil || errors.As(err, &poison) {
			t.Errorf("%s: %v, want an error that passes", name, err)
		}
		if r, err := w.x.Progress(t.Context(), 0); err != nil || len(r) != 0 {
			t.Errorf("%s: recorded %v, %v", name, r, err)
		}
	}
	w.proxy.set(nil)
	w.apply()
	w.expect(20)
}

func answerAll(n int, v json.RawMessage) (a answer) {
	for range n {
		a.Items = append(a.Items, v)
	}
	a.Errors = true
	return a
}

// The server does the work and its answer is lost, or comes too late: sending again changes nothing.
func TestLostAnswersAreHarmless(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 50, func(c *opensearch.Config) { c.Requests.Timeout = time.Second })
	slow := make(chan struct{})
	t.Cleanup(func() { close(slow) })
	var late atomic.Bool
	w.proxy.set(func(rw http.ResponseWriter, r *http.Request, items [][]byte) {
		a := w.proxy.pass(r.WithContext(t.Context()), items)
		if !late.Swap(true) {
			<-slow // far past the timeout
		}
		reply(rw, a)
	})
	w.rest(w.x)
	if n := w.proxy.count(); n < 2 { // a slow machine may miss more than the first answer
		t.Errorf("%d requests: nothing was sent again", n)
	}
	w.proxy.set(nil)
	w.expect(50)
}

// One document in a hundred is refused for ever by the real server: it is parked with the server's reason, and all
// others are found.
func TestPoisonIsParkedAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 100, nil)
	bad := w.log.Envelope(41, 42).Events[0].ID.String()
	w.proxy.set(func(rw http.ResponseWriter, r *http.Request, items [][]byte) {
		for i := range items {
			if bytes.Contains(items[i], []byte(bad)) {
				items[i] = bytes.Replace(items[i], []byte(`"words":`), []byte(`"surprise":1,"words":`), 1)
			}
		}
		reply(rw, w.proxy.pass(r, items))
	})
	parking := &parking{}
	runner := projection.NewRunner(w.x, w.log, parking, projection.RunnerOptions{Log: w.cfg.Log})
	if err := runner.Handle(t.Context(), w.whole()); err != nil {
		t.Fatal(err)
	}
	if len(parking.all) != 1 || parking.all[0].Range != (projection.Range{From: 41, To: 42}) || !strings.Contains(parking.all[0].Reason, "strict_dynamic_mapping_exception") {
		t.Fatalf("parked %+v", parking.all)
	}
	w.expect(99)
	w.proxy.set(nil)
	if n, err := runner.Replay(t.Context()); err != nil || n != 1 || len(parking.all) != 0 {
		t.Fatalf("replayed %d, %v; parked %+v", n, err, parking.all)
	}
	w.record(1) // what is applied next brings the refresh about
	w.apply()
	w.expect(101)
}

// A server that takes less at once gets less; a document that it never takes is poison.
func TestTooLargeRequestsAreSplit(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 40, nil)
	var sizes []int
	w.proxy.set(func(rw http.ResponseWriter, r *http.Request, items [][]byte) {
		sizes = append(sizes, len(items))
		if len(items) > 10 {
			rw.WriteHeader(http.StatusRequestEntityTooLarge)
			return
		}
		reply(rw, w.proxy.pass(r, items))
	})
	w.apply()
	if len(sizes) != 7 {
		t.Errorf("requests of %v items", sizes)
	}
	w.expect(40)
	w.proxy.set(func(rw http.ResponseWriter, r *http.Request, items [][]byte) {
		rw.WriteHeader(http.StatusRequestEntityTooLarge)
	})
	w.record(1)
	var poison *projection.Poison
	if err := w.x.Apply(t.Context(), w.log.Envelope(40, 41)); !errors.As(err, &poison) {
		t.Errorf("a document that is too large: %v", err)
	}
}

// Readers get an error while the server does not answer, or not for every shard: never half of an answer.
func TestSearchesAreWholeOrFail(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 5, nil)
	w.apply()
	w.expect(5)
	for name, c := range map[string]struct {
		status int
		body   string
		kind   fault.Kind
	}{
		"503":          {503, `{}`, fault.Unavailable},
		"429":          {429, `{}`, fault.Overloaded},
		"half":         {200, `{"_shards":{"total":2,"failed":1},"timed_out":false,"hits":{"hits":[]}}`, fault.Unavailable},
		"out of time":  {200, `{"_shards":{"total":1,"failed":0},"timed_out":true,"hits":{"hits":[]}}`, fault.QueryTooCostly},
		"no JSON":      {200, `<html>`, fault.Unavailable},
		"odd sort key": {200, `{"_shards":{"total":1,"failed":0},"hits":{"hits":[{"sort":[]}]}}`, fault.Unavailable},
	} {
		w.proxy.mu.Lock()
		w.proxy.all = func(rw http.ResponseWriter, r *http.Request) bool {
			if !strings.HasSuffix(r.URL.Path, "/_search") {
				return false
			}
			rw.WriteHeader(c.status)
			_, _ = rw.Write([]byte(c.body))
			return true
		}
		w.proxy.mu.Unlock()
		keys, err := w.x.Find(t.Context(), query.IndexQuery{Tenant: tenant, Limit: 10})
		if !fault.Is(err, c.kind) || keys != nil {
			t.Errorf("%s: %v, %v; want %v", name, keys, err, c.kind)
		}
	}
}

// parking keeps parked ranges in memory.
type parking struct{ all []projection.Parked }

func (p *parking) Park(_ context.Context, parked projection.Parked) error {
	p.all = append(p.all, parked)
	return nil
}

func (p *parking) Parked(context.Context, string) ([]projection.Parked, error) {
	return slices.Clone(p.all), nil
}

func (p *parking) Unpark(_ context.Context, parked projection.Parked) error {
	p.all = slices.DeleteFunc(p.all, func(e projection.Parked) bool { return e.Range == parked.Range })
	return nil
}
