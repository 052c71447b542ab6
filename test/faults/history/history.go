package history

import (
	"fmt"
	"net/http"
	"sync"
	"time"
)

// Call is one try to store entries: a request, and what came of it. The times are the client's, since the history began.
type Call struct {
	Sent, Returned time.Duration
	Tenant         string
	To             string   // the process that it was sent to
	What           string   // e.g. "POST /api/v1/logs"
	Keys           []string // of the entries in it
	Status         int      // of the answer; 0: none came, so nobody knows
	Answer         string   // of an answer that is no success, or why there is none
	Receipts       []Receipt
}

// Receipt is what an acknowledgement says of one entry, in the order of the call's keys.
type Receipt struct {
	ID       string
	Position int64
}

// Acknowledged tells whether the entries must be there from now on.
func (c *Call) Acknowledged() bool { return c.Status == http.StatusCreated }

// Refused tells an answer that promises that nothing of this try was stored: a client's mistake. What a 5xx or a silence
// means is not known.
func (c *Call) Refused() bool {
	return c.Status >= 400 && c.Status < 500
}

func (c *Call) String() string {
	status := fmt.Sprint(c.Status)
	if c.Status == 0 {
		status = "no answer"
	}
	return fmt.Sprintf("%v to %v %s to %s: %s %s", c.Sent.Round(time.Millisecond), c.Returned.Round(time.Millisecond), c.What, c.To, status, c.Answer)
}

// History is every call of all clients. It is safe for concurrent use.
type History struct {
	start time.Time

	mu    sync.Mutex
	calls []Call
	under map[int]time.Duration // calls without an answer yet: number → sent
	to    map[int]string
	next  int
}

// New begins a history.
func New() *History {
	return &History{start: time.Now(), under: map[int]time.Duration{}, to: map[int]string{}}
}

// Since is the history's clock.
func (h *History) Since() time.Duration { return time.Since(h.start) }

// Begin notes a call before it is sent. What it gives ends the call, filled in by the client but for its times and process.
func (h *History) Begin(to string) (end func(Call)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	number, sent := h.next, h.Since()
	h.next++
	h.under[number], h.to[number] = sent, to
	return func(c Call) {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.under, number)
		delete(h.to, number)
		c.Sent, c.Returned, c.To = sent, h.Since(), to
		h.calls = append(h.calls, c)
	}
}

// UnderWay is how many calls have no answer yet, to one process, or to all: "".
func (h *History) UnderWay(to string) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, name := range h.to {
		if to == "" || name == to {
			n++
		}
	}
	return n
}

// From are the calls that returned at a time or later, in the order in which they returned.
func (h *History) From(at time.Duration) []Call {
	h.mu.Lock()
	defer h.mu.Unlock()
	first := len(h.calls)
	for first > 0 && h.calls[first-1].Returned >= at {
		first--
	}
	return append([]Call(nil), h.calls[first:]...)
}

// Of are the calls of a tenant.
func (h *History) Of(tenant string) (calls []Call) {
	for _, c := range h.From(0) {
		if c.Tenant == tenant {
			calls = append(calls, c)
		}
	}
	return calls
}
