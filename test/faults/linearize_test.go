package faults

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"auditlog/test/faults/history"
	"auditlog/test/faults/linear"
	"auditlog/test/stack"
)

// The histories of each tier: few in the gate, many more in the long form.
const (
	gateHistories  = 4
	proofHistories = 500
	decideTime     = time.Minute // for one tenant's history

	tenantsEach = 2
	clientsEach = 4
	gateCalls   = 30 // of a client
	proofCalls  = 50
)

// histories is how many histories a test records, and how many calls each client makes.
func histories() (count, calls int) {
	if cycles > gateCycles {
		return proofHistories, proofCalls
	}
	return gateHistories, gateCalls
}

// linearizable has clients append and read over two APIs whose database is far away, by a distance that changes with each history, and
// now and then out of reach.
func linearizable(t *testing.T, s servers) {
	r := random(t)
	w := s.world(t)
	lines, nodes := s.wired(t, w)
	far := []time.Duration{5 * time.Millisecond, 15 * time.Millisecond, 40 * time.Millisecond}
	count, _ := histories()
	if count > gateHistories {
		far = append(far, 100*time.Millisecond, 330*time.Millisecond)
	}
	for i := range count {
		delay := far[i%len(far)]
		lines.apiPostgres.slow(delay, delay/2)
		record(t, w, nodes, r, fmt.Sprint("history-", i), func() {
			if i%2 == 1 {
				lines.apiPostgres.cut()
				<-time.After(between(r, 50*time.Millisecond, 300*time.Millisecond))
				lines.apiPostgres.mend()
			}
		}, lines.apiPostgres.clear)
	}
}

// TestLinearizableEmbedded does the same with the one process of the embedded tier, which is killed now and then.
func TestLinearizableEmbedded(t *testing.T) {
	r := random(t)
	w := stack.NewEmbedded(t, binary)
	one := startOne(w)
	kill := one.oneVictims()[0]
	count, _ := histories()
	for i := range count {
		record(t, w, one, r, fmt.Sprint("history-", i), func() {
			if i%2 == 1 {
				kill.kill(t)
				kill.revive(t)
			}
		}, func() {})
	}
}

// record has clients of new tenants call for a while, with a fault at some moment, and has what they saw decided on and
// compared with what is stored.
func record(t *testing.T, w *stack.World, to *nodes, r *rand.Rand, slug string, fault, heal func()) {
	t.Helper()
	l := &load{t: t, to: to, history: history.New()}
	var clients sync.WaitGroup
	var all []*recorder
	for i := range tenantsEach {
		tenant := w.Tenant(to.api(0), fmt.Sprint(slug, "-", i))
		b := &book{Tenant: tenant, newest: 1}
		l.books = append(l.books, b)
		for range clientsEach {
			rec := &recorder{t: t, l: l, b: b, r: rand.New(rand.NewPCG(r.Uint64(), 0)), client: len(all)}
			all = append(all, rec)
			clients.Go(rec.call)
		}
	}
	<-time.After(between(r, 50*time.Millisecond, 300*time.Millisecond))
	fault()
	clients.Wait()
	heal()
	var ops []linear.Op
	unknown := 0
	for _, rec := range all {
		ops = append(ops, rec.ops...)
	}
	for _, b := range l.books {
		last := &recorder{t: t, l: l, b: b, client: len(all)}
		last.replay(0)
		ops = append(ops, last.ops...)
	}
	for i := range ops {
		if ops[i].Unknown {
			unknown++
		}
	}
	start := time.Now()
	if err := linear.Check(ops, decideTime); err != nil {
		t.Errorf("%s: %v", slug, err)
		for _, op := range ops {
			t.Logf("%+v", op)
		}
	}
	t.Logf("%s: %d calls of %d clients, %d of unknown outcome; decided in %v", slug, len(ops), len(all), unknown, time.Since(start).Round(time.Millisecond))
	for _, b := range l.books {
		check(t, l, b, nil, to.worker(0).Ops)
	}
}

// recorder is one client.
type recorder struct {
	t      *testing.T
	l      *load
	b      *book
	r      *rand.Rand
	client int
	ops    []linear.Op
}

func (c *recorder) call() {
	_, calls := histories()
	for n := range calls {
		key := fmt.Sprintf("%d-%d", c.client, n)
		switch at := c.r.IntN(20); {
		case at < 10:
			c.append(key)
		case at < 13:
			c.append(key+"-0", key+"-1", key+"-2")
		case at < 17:
			c.replay(c.r.Int64N(c.b.head() + 1))
		default:
			c.list(c.b.head())
		}
	}
}

// note adds a call that began at a time and has just returned.
func (c *recorder) note(call time.Duration, op linear.Op) {
	op.Client, op.Tenant, op.Call, op.Return = c.client, c.b.ID, call, c.l.history.Since()
	c.ops = append(c.ops, op)
}

// append sends entries once. When nobody answers it waits for somebody who does, so that few calls of unknown outcome come
// of one fault.
func (c *recorder) append(keys ...string) {
	r := request{"writer", http.MethodPost, entryPath, entry(keys[0], keys[0]), keys, http.StatusCreated}
	if len(keys) > 1 {
		entries := make([]string, len(keys))
		for i, key := range keys {
			entries[i] = entry(key, key)
		}
		r.path, r.body = entryPath+"/bulk", `{"entries":[`+strings.Join(entries, ",")+`]}`
	}
	call := c.l.history.Since()
	a, status := c.l.try(c.b, r)
	op := linear.Op{Append: keys, Unknown: status != http.StatusCreated}
	switch {
	case op.Unknown:
	case len(keys) == 1:
		op.At = []int64{a.Position}
	default:
		for _, item := range a.Items {
			op.At = append(op.At, item.Position)
		}
	}
	c.note(call, op)
	if op.Unknown {
		until(c.t, "answer after a fault", func() string {
			_, status, err := stack.Call(c.l.to.urls()[0], c.b.Tokens["reader"], http.MethodGet, entryPath+"?limit=1", "")
			if err != nil || status != http.StatusOK {
				return fmt.Sprint(status, err)
			}
			return ""
		})
	}
}

// replay reads the log above a position to its end. A read without an answer says nothing.
func (c *recorder) replay(after int64) {
	call := c.l.history.Since()
	raw, status := c.read("auditor", fmt.Sprint("/api/v1/replay?after=", after))
	if status != http.StatusOK {
		return
	}
	op := linear.Op{After: after, UpTo: after, Whole: true}
	lines := json.NewDecoder(strings.NewReader(string(raw)))
	for {
		var l line
		if lines.Decode(&l) != nil {
			return // it was cut, and says so by having no end
		}
		if l.End {
			break
		}
		e, err := l.event()
		if err != nil {
			c.t.Error(err)
			return
		}
		op.UpTo = l.Position
		if e.Type == "entry.recorded" {
			op.Read = append(op.Read, e.Key)
		}
	}
	c.note(call, op)
}

// list searches for all entries once the index has a position, and takes what the answer says that it is complete to.
func (c *recorder) list(position int64) {
	call := c.l.history.Since()
	raw, status := c.read("reader", fmt.Sprintf("%s?limit=500&wait=10s&min_position=%d", entryPath, position))
	if status != http.StatusOK {
		return
	}
	var page struct {
		Items []struct {
			Position int64
			Message  string
		}
		CompleteTo struct{ Position int64 } `json:"complete_to"`
	}
	if err := json.Unmarshal(raw, &page); err != nil {
		c.t.Errorf("the list answers %s: %v", raw, err)
		return
	}
	op := linear.Op{UpTo: page.CompleteTo.Position}
	for _, item := range slices.Backward(page.Items) { // newest first
		if item.Position <= op.UpTo {
			key, _, _ := strings.Cut(item.Message, " ")
			op.Read = append(op.Read, key)
		}
	}
	if op.UpTo < position {
		c.t.Errorf("a list asked to be complete to %d is complete to %d", position, op.UpTo)
	}
	c.note(call, op)
}

// read asks one of the processes.
func (c *recorder) read(role, path string) ([]byte, int) {
	urls := c.l.to.urls()
	raw, status, err := stack.Call(urls[int(c.l.turn.Add(1))%len(urls)], c.b.Tokens[role], http.MethodGet, path, "")
	if err != nil {
		return nil, 0
	}
	return raw, status
}
