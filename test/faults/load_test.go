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

	"auditlog/test/faults/history"
	"auditlog/test/stack"
)

// targets are the processes that requests can go to.
type targets interface {
	urls() []string
	said() string // the end of what they say, for a failure
}

// load is clients of several tenants. Each goes to whichever process answers and logs every call. Most entries are sent
// again under the same key until they have a good answer; some are sent once, whatever comes of it; some must be refused.
type load struct {
	t       *testing.T
	to      targets
	history *history.History
	books   []*book
	bulks   int         // entries in a bulk
	urged   atomic.Bool // no pause between calls

	stop    chan struct{}
	writers sync.WaitGroup
	turn    atomic.Int64
}

// book is what the clients of one tenant know beside the history of its entries.
type book struct {
	stack.Tenant

	mu      sync.Mutex
	acks    int
	newest  int64             // position that was acknowledged
	amended map[string]string // event of the amendment → entry
	unsure  int               // amendments without an answer
	erased  map[string]string // entry → event
}

const (
	// pause is a writer's between calls: the load is to meet faults, not to fill the machine.
	pause = 100 * time.Millisecond
	// writersEach is how many clients a tenant has.
	writersEach = 3
	bulkSize    = 25
)

func startLoad(t *testing.T, to targets, tenants []stack.Tenant) *load {
	l := &load{t: t, to: to, history: history.New(), bulks: bulkSize, stop: make(chan struct{})}
	if entriesWanted > 0 {
		l.bulks = 8 * bulkSize
	}
	for _, tenant := range tenants {
		b := &book{Tenant: tenant, newest: 1, amended: map[string]string{}, erased: map[string]string{}}
		l.books = append(l.books, b)
		for writer := range writersEach {
			l.writers.Go(func() { l.write(b, writer) })
		}
	}
	return l
}

// finish ends the load; every entry that is repeated has its answer then.
func (l *load) finish() {
	close(l.stop)
	l.writers.Wait()
}

func (l *load) write(b *book, writer int) {
	var last, lastKey string
	for n := 0; ; n++ {
		if !l.urged.Load() {
			select {
			case <-l.stop:
			case <-time.After(pause):
			}
		}
		select {
		case <-l.stop:
			return
		default:
		}
		key := fmt.Sprintf("%d-%d", writer, n)
		switch {
		case n%8 == 3:
			l.bulk(b, key)
		case n%8 == 5:
			l.once(b, key)
		case n%16 == 1:
			l.refused(b, key, lastKey, n/16)
		case n%16 == 6 && last != "":
			l.amend(b, last)
		case n%128 == 14 && last != "":
			l.erase(b, last)
			last = ""
		default:
			last, lastKey = l.single(b, key), key
		}
	}
}

const entryPath = "/api/v1/logs"

// entry is a body whose message begins with its key; the idempotency key is mostly the same.
func entry(key, idempotency string) string {
	return fmt.Sprintf(`{"action":"fault.%d","actor":{"id":"ann"},"resource":{"type":"thing"},"message":"%s %s","idempotency_key":%q}`,
		len(key)%3+int(key[len(key)-1])%2, key, strings.Repeat("x", 200), idempotency)
}

// request is one write.
type request struct {
	role, method, path, body string
	keys                     []string // of entries
	want                     int      // the status of a good answer
}

func (l *load) single(b *book, key string) (id string) {
	return l.untilAnswered(b, request{"writer", http.MethodPost, entryPath, entry(key, key), []string{key}, http.StatusCreated}).ID
}

// once sends an entry and leaves it at that.
func (l *load) once(b *book, key string) {
	l.try(b, request{"writer", http.MethodPost, entryPath, entry(key, key), []string{key}, http.StatusCreated})
}

// refused sends what must never be stored: a bad entry, a good one in a bulk with a bad one, and one under another's
// idempotency key.
func (l *load) refused(b *book, key, other string, turn int) {
	bad := strings.Replace(entry(key+"-b", key+"-b"), `"fault.`, `"fault `, 1)
	r := request{"writer", http.MethodPost, entryPath, bad, []string{key + "-b"}, http.StatusUnprocessableEntity}
	switch {
	case turn%3 == 1:
		r.path, r.body, r.keys = entryPath+"/bulk", `{"entries":[`+entry(key+"-a", key+"-a")+`,`+bad+`]}`, []string{key + "-a", key + "-b"}
	case turn%3 == 2 && other != "":
		r.body, r.keys = entry(key+"-r", other), []string{key + "-r"}
	}
	l.try(b, r)
}

func (l *load) bulk(b *book, key string) {
	entries, keys := make([]string, l.bulks), make([]string, l.bulks)
	for i := range entries {
		keys[i] = fmt.Sprintf("%s-%d", key, i)
		entries[i] = entry(keys[i], keys[i])
	}
	l.untilAnswered(b, request{"writer", http.MethodPost, entryPath + "/bulk", `{"entries":[` + strings.Join(entries, ",") + `]}`, keys, http.StatusCreated})
}

// amend is tried once: an amendment has no key.
func (l *load) amend(b *book, id string) {
	a, status := l.try(b, request{"writer", http.MethodPatch, entryPath + "/" + id, `{"message":"xy","reason":"fault test"}`, nil, http.StatusCreated})
	b.mu.Lock()
	defer b.mu.Unlock()
	if status != http.StatusCreated || len(a.Amendments) == 0 {
		b.unsure++
		return
	}
	last := a.Amendments[len(a.Amendments)-1]
	b.amended[last.EventID] = id
	b.newest = max(b.newest, last.Position)
}

// erase may be repeated: a second erasure gives the first's event.
func (l *load) erase(b *book, id string) {
	a := l.untilAnswered(b, request{"tenant_admin", http.MethodDelete, entryPath + "/" + id, `{"reason":"fault test"}`, nil, http.StatusAccepted})
	b.mu.Lock()
	defer b.mu.Unlock()
	b.erased[id] = a.EventID
}

// head is the newest position that was acknowledged.
func (b *book) head() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.newest
}

// acked is how many entries were acknowledged, over all tenants.
func (l *load) acked() (n int) {
	for _, b := range l.books {
		b.mu.Lock()
		n += b.acks
		b.mu.Unlock()
	}
	return n
}

// patience is more than any outage here takes.
const patience = 3 * time.Minute

// untilAnswered repeats a request until it has a good answer.
func (l *load) untilAnswered(b *book, r request) answer {
	for deadline := time.Now().Add(patience); ; <-time.After(pause) {
		a, status := l.try(b, r)
		if status == r.want {
			return a
		}
		if time.Now().After(deadline) {
			l.t.Errorf("%s %s of %v: the last answer is %d %s", r.method, r.path, r.keys, status, a.text)
			return answer{}
		}
	}
}

// answer is what writes are answered with, of all kinds.
type answer struct {
	ID       string
	Position int64
	Items    []history.Receipt
	EventID  string `json:"event_id"`

	Amendments []struct {
		EventID  string `json:"event_id"`
		Position int64
	}
	text string
}

// again are the answers that bid a client to repeat a request: none, a twin that has not finished, a limit, and an outage.
var again = map[int]bool{0: true, http.StatusConflict: true, http.StatusTooManyRequests: true, http.StatusServiceUnavailable: true}

// try sends a request to one of the processes and logs what came of it.
func (l *load) try(b *book, r request) (a answer, status int) {
	urls := l.to.urls()
	url := urls[int(l.turn.Add(1))%len(urls)]
	end := l.history.Begin(url)
	raw, status, err := stack.Call(url, b.Tokens[r.role], r.method, r.path, r.body)
	c := history.Call{Tenant: b.ID, What: r.method + " " + r.path, Keys: r.keys, Status: status}
	a.text = string(raw)
	if err == nil && status < http.StatusBadRequest {
		err = json.Unmarshal(raw, &a)
	}
	switch {
	case err != nil: // also an answer that was cut
		c.Status, c.Answer = 0, err.Error()
	case status == http.StatusCreated && r.keys != nil:
		c.Receipts = a.Items
		if c.Receipts == nil {
			c.Receipts = []history.Receipt{{ID: a.ID, Position: a.Position}}
		}
		if len(c.Receipts) != len(r.keys) {
			l.t.Errorf("%s of %d entries is answered for %d", c.What, len(r.keys), len(c.Receipts))
		}
		b.ack(c.Receipts)
	default:
		c.Answer = a.text
	}
	if c.Status != r.want && !again[c.Status] {
		l.t.Errorf("%s of %v answers %d %s", c.What, r.keys, status, a.text)
	}
	end(c)
	return a, c.Status
}

func (b *book) ack(receipts []history.Receipt) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.acks += len(receipts)
	for _, r := range receipts {
		b.newest = max(b.newest, r.Position)
	}
}
