package faults

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"auditlog/test/stack"
)

// call is one try of a request.
type call struct {
	at     time.Time
	what   string
	key    string
	status int // 0: no answer came, so nobody knows
	answer string
}

// load is clients of several tenants. Each goes to whichever API answers, logs every call, and repeats under the same key
// what got no good answer, until it has one.
type load struct {
	t     *testing.T
	nodes *nodes
	books []*book

	stop    chan struct{}
	writers sync.WaitGroup
	mu      sync.Mutex
	calls   []call
	turn    atomic.Int64
}

// book is what the clients of one tenant know.
type book struct {
	stack.Tenant

	mu      sync.Mutex
	entries map[string]string // key → id
	at      map[string]int64  // id → position
	amended map[string]string // event of the amendment → entry
	unsure  int               // amendments without an answer
	erased  map[string]string // entry → event
	newest  int64             // position that was acknowledged
}

// pause is a writer's between calls: the load is to meet faults, not to fill the machine.
const pause = 100 * time.Millisecond

func startLoad(t *testing.T, nodes *nodes, tenants []stack.Tenant) *load {
	l := &load{t: t, nodes: nodes, stop: make(chan struct{})}
	for _, tenant := range tenants {
		b := &book{Tenant: tenant, entries: map[string]string{}, at: map[string]int64{}, amended: map[string]string{}, erased: map[string]string{}, newest: 1}
		l.books = append(l.books, b)
		for writer := range 2 {
			l.writers.Go(func() { l.write(b, writer) })
		}
	}
	return l
}

// finish ends the load; every entry has its answer then.
func (l *load) finish() {
	close(l.stop)
	l.writers.Wait()
}

func (l *load) write(b *book, writer int) {
	var last string
	for n := 0; ; n++ {
		select {
		case <-l.stop:
			return
		case <-time.After(pause):
		}
		key := fmt.Sprintf("%d-%d", writer, n)
		switch {
		case n%8 == 3:
			l.bulk(b, key)
		case n%16 == 6 && last != "":
			l.amend(b, last)
		case n%128 == 14 && last != "":
			l.erase(b, last)
			last = ""
		default:
			last = l.single(b, key)
		}
	}
}

func entry(key string) string {
	return fmt.Sprintf(`{"action":"fault.test","actor":{"id":"ann"},"resource":{"type":"thing"},"message":"%s %s","idempotency_key":%q}`, key, strings.Repeat("x", 200), key)
}

func (l *load) single(b *book, key string) (id string) {
	var e struct {
		ID       string
		Position int64
	}
	l.untilAnswered(b, "writer", http.MethodPost, "/api/v1/logs", key, entry(key), http.StatusCreated, &e)
	b.ack(key, e.ID, e.Position)
	return e.ID
}

const bulkSize = 25

func (l *load) bulk(b *book, key string) {
	entries := make([]string, bulkSize)
	for i := range entries {
		entries[i] = entry(fmt.Sprintf("%s-%d", key, i))
	}
	var answer struct {
		Items []struct {
			ID       string
			Position int64
		}
	}
	l.untilAnswered(b, "writer", http.MethodPost, "/api/v1/logs/bulk", key, `{"entries":[`+strings.Join(entries, ",")+`]}`, http.StatusCreated, &answer)
	if len(answer.Items) != bulkSize {
		l.t.Errorf("a bulk of %d entries is answered for %d", bulkSize, len(answer.Items))
	}
	for i, item := range answer.Items {
		b.ack(fmt.Sprintf("%s-%d", key, i), item.ID, item.Position)
	}
}

// amend is tried once: an amendment has no key.
func (l *load) amend(b *book, id string) {
	answer, status := l.try(b, "writer", http.MethodPatch, "/api/v1/logs/"+id, id, `{"message":"xy","reason":"fault test"}`)
	var e struct {
		Position   int64
		Amendments []struct {
			EventID  string `json:"event_id"`
			Position int64
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if status != http.StatusCreated || json.Unmarshal(answer, &e) != nil || len(e.Amendments) == 0 {
		b.unsure++
		return
	}
	a := e.Amendments[len(e.Amendments)-1]
	b.amended[a.EventID] = id
	b.newest = max(b.newest, a.Position)
}

// erase may be repeated: a second erasure gives the first's event.
func (l *load) erase(b *book, id string) {
	var e struct {
		EventID string `json:"event_id"`
	}
	l.untilAnswered(b, "tenant_admin", http.MethodDelete, "/api/v1/logs/"+id, id, `{"reason":"fault test"}`, http.StatusAccepted, &e)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.erased[id] = e.EventID
}

func (b *book) ack(key, id string, position int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.entries[key], b.at[id] = id, position
	b.newest = max(b.newest, position)
}

func (b *book) acked() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.entries)
}

func (b *book) head() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.newest
}

// patience is more than any outage here takes.
const patience = 3 * time.Minute

// untilAnswered repeats a request until it is answered as wanted.
func (l *load) untilAnswered(b *book, role, method, path, key, body string, want int, into any) {
	for deadline := time.Now().Add(patience); ; <-time.After(pause) {
		answer, status := l.try(b, role, method, path, key, body)
		if status == want {
			if err := json.Unmarshal(answer, into); err != nil {
				l.t.Errorf("%s %s answers %s: %v", method, path, answer, err)
			}
			return
		}
		if time.Now().After(deadline) {
			l.t.Errorf("%s %s: the last answer is %d %s", method, path, status, answer)
			return
		}
	}
}

// try sends a request to one of the APIs and logs what came of it.
func (l *load) try(b *book, role, method, path, key, body string) (answer []byte, status int) {
	apis := l.nodes.urls()
	start := time.Now()
	answer, status, err := stack.Call(apis[int(l.turn.Add(1))%len(apis)], b.Tokens[role], method, path, body)
	c := call{at: start, what: method + " " + path, key: b.ID + " " + key, status: status, answer: string(answer)}
	switch {
	case err != nil:
		c.status, c.answer = 0, err.Error()
	case status == http.StatusCreated:
		c.answer = ""
	case status == http.StatusAccepted, status == http.StatusServiceUnavailable:
	default:
		l.t.Errorf("%s answers %d %s", c.what, status, answer)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls = append(l.calls, c)
	return answer, c.status
}

// since are the calls of a time and later.
func (l *load) since(at time.Time) (calls []call) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := len(l.calls) - 1; i >= 0 && !l.calls[i].at.Before(at.Add(-patience)); i-- {
		if !l.calls[i].at.Before(at) {
			calls = append(calls, l.calls[i])
		}
	}
	return calls
}

func (l *load) acked() (n int) {
	for _, b := range l.books {
		n += b.acked()
	}
	return n
}
