package overload

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
)

const (
	bulkEvery = 20 // of so many requests one is a bulk
	bulkSize  = 20
	// patience is longer than the service may take for any answer.
	patience = 45 * time.Second
	// mostUnderWay bounds what waits for answers: that many requests do not when each has its answer in time.
	mostUnderWay = 20_000
)

// clients send entries and keep what comes of each. No entry is sent twice.
type clients struct {
	t    *testing.T
	url  string
	http *http.Client

	ledger   ledger
	underWay atomic.Int64
}

func newClients(t *testing.T, url string) *clients {
	transport := &http.Transport{MaxIdleConnsPerHost: mostUnderWay, IdleConnTimeout: 30 * time.Second, DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &clients{t: t, url: url, http: &http.Client{Transport: transport}}
}

// request sends the nth request of a tenant, a bulk now and then, and tallies it with the time since it was due.
func (c *clients) request(of *tenant, bulk bool, due time.Time, into *tally) (status int) {
	entries := 1
	if bulk {
		entries = bulkSize
	}
	number := c.ledger.begin(of, entries)
	late := time.Since(due)
	got := c.send(of, number, entries)
	c.ledger.end(number, got)
	into.add(got, late, time.Since(due))
	return got.status
}

// outcome is what came of a request.
type outcome struct {
	status   int // 0: nobody answered
	retry    bool
	problem  string // type and detail of an answer that is no success, or why there is none
	receipts []receipt
}

// receipt is what an acknowledgement says of an entry.
type receipt struct {
	ID       uuid.UUID
	Position int64
}

var filler = strings.Repeat("x", 400)

func entry(number, i int) string {
	return fmt.Sprintf(`{"action":"overload.test","actor":{"id":"ann"},"resource":{"type":"thing","id":"t-1"},"message":"%d.%d %s","idempotency_key":"%d.%d"}`,
		number, i, filler, number, i)
}

func (c *clients) send(of *tenant, number, entries int) outcome {
	path, body := "/api/v1/logs", entry(number, 0)
	if entries > 1 {
		all := make([]string, entries)
		for i := range all {
			all[i] = entry(number, i)
		}
		path, body = path+"/bulk", `{"entries":[`+strings.Join(all, ",")+`]}`
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url+path, strings.NewReader(body))
	if err != nil {
		return outcome{problem: err.Error()}
	}
	req.Header.Set("Authorization", "Bearer "+of.writer)
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return outcome{problem: err.Error()}
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return outcome{problem: err.Error()}
	}
	return read(resp, raw)
}

// read understands an answer.
func read(resp *http.Response, raw []byte) outcome {
	o := outcome{status: resp.StatusCode}
	var answer struct {
		receipt
		Items        []receipt
		Type, Detail string
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return outcome{problem: fmt.Sprintf("%d with %q: %v", resp.StatusCode, raw[:min(len(raw), 200)], err)}
	}
	if o.status != http.StatusCreated {
		o.problem = answer.Type + ": " + answer.Detail
		var seconds int
		n, err := fmt.Sscanf(resp.Header.Get("Retry-After"), "%d", &seconds)
		o.retry = n == 1 && err == nil && seconds > 0
		return o
	}
	if o.receipts = answer.Items; o.receipts == nil {
		o.receipts = []receipt{answer.receipt}
	}
	return o
}

// closed has so many clients of each tenant send, each one request after the other.
func (c *clients) closed(each int, d time.Duration, of ...*tenant) *tally {
	into, until := newTally(), time.Now().Add(d)
	var wg sync.WaitGroup
	for _, tenant := range of {
		for number := range each {
			wg.Go(func() {
				for n := number; time.Now().Before(until); n++ {
					if c.request(tenant, n%bulkEvery == 0, time.Now(), into) != http.StatusCreated {
						time.Sleep(100 * time.Millisecond) // a client's pause before another try
					}
				}
			})
		}
	}
	wg.Wait()
	into.took = d
	return into
}

// sparse is a client that sends an entry, waits for its answer, and then a moment longer.
func (c *clients) sparse(of *tenant, d time.Duration) *tally {
	into, began := newTally(), time.Now()
	for time.Since(began) < d {
		c.request(of, false, time.Now(), into)
		time.Sleep(rand.N(sparsePause)) // the client's own pace
	}
	into.took = time.Since(began)
	return into
}

// sparsePause is more than any flush's length has to do with.
const sparsePause = 50 * time.Millisecond

// open sends at a rate, whatever becomes of what was sent before, until d is over, and waits for the last answer. pick
// says whose the nth request is.
func (c *clients) open(rate float64, d time.Duration, pick func(n int) (of *tenant, bulk bool)) *tally {
	into, began := newTally(), time.Now()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; {
		due := began.Add(time.Duration(float64(n) / rate * float64(time.Second)))
		if due.Sub(began) >= d {
			break
		}
		if time.Now().Before(due) {
			<-tick.C
			continue
		}
		if c.underWay.Load() > mostUnderWay {
			c.t.Fatalf("%d requests have no answer", mostUnderWay)
		}
		of, bulk := pick(n)
		c.underWay.Add(1)
		into.wg.Go(func() {
			defer c.underWay.Add(-1)
			c.request(of, bulk, due, into)
		})
		n++
	}
	into.took = time.Since(began)
	into.wg.Wait()
	return into
}
