package command

import (
	"time"

	"auditlog/eventstore"
)

// quantum is how many bytes a tenant may send in each of its turns: about eight entries of 600 bytes. A flush has room for
// dozens of turns, so that whoever joins the ring is in the next one; a smaller quantum would only cost more steps.
const quantum = 8 << 10

// ticket is a unit on its way through a lane. While it waits, the lane's mutex guards it; then it is the flush's, and once
// done tells so its caller's.
type ticket struct {
	unit     eventstore.Unit
	bytes    int
	since    time.Time // when it began to wait; zero when it never had to
	outcomes []eventstore.Outcome
	err      error
	place    *Place        // in its sequence; nil for none
	done     chan struct{} // has one token once outcomes and err are set
	late     *time.Timer
	alone    [1]*ticket // itself, as the batch that it makes for a caller who flushes it

	flow       *flow // where it waits; nil when it does not
	prev, next *ticket
}

func (t *ticket) entries() int { return len(t.unit.Drafts) }

// queue holds what waits on a lane: a line for each tenant, in order of arrival, and the tenants in a ring, who take turns
// by deficit round robin on bytes (Shreedhar and Varghese, 1995). Every step costs the same however much waits; what a
// unit larger than the quantum saves up for costs a step for each quantum. Guarded by the lane's mutex.
type queue struct {
	flows map[eventstore.TenantID]*flow
	turn  *flow // whose turn it is; nil when nothing waits
	spare *flow // of tenants that went; linked by next
	held
}

// held is how much waits somewhere.
type held struct{ entries, bytes int }

func (h *held) add(entries, bytes int) { h.entries, h.bytes = h.entries+entries, h.bytes+bytes }

// flow is what waits of one tenant; one of a ring.
type flow struct {
	tenant      eventstore.TenantID
	first, last *ticket
	prev, next  *flow
	credit      int    // bytes that it may still send in this turn
	flight      uint64 // number of the last flush that took something of it
	held
}

// of is how much waits of a tenant.
func (q *queue) of(tenant eventstore.TenantID) held {
	if f := q.flows[tenant]; f != nil {
		return f.held
	}
	return held{}
}

// push puts a ticket at the end of its tenant's line, and a new line before the one whose turn it is: behind all others.
func (q *queue) push(t *ticket) {
	f := q.flows[t.unit.Tenant]
	if f == nil {
		f = q.open(t.unit.Tenant)
	}
	t.flow, t.prev = f, f.last
	if f.last == nil {
		f.first = t
	} else {
		f.last.next = t
	}
	f.last = t
	f.add(t.entries(), t.bytes)
	q.add(t.entries(), t.bytes)
}

func (q *queue) open(tenant eventstore.TenantID) *flow {
	f := q.spare
	if f == nil {
		f = &flow{}
	} else {
		q.spare, f.next = f.next, nil
	}
	f.tenant = tenant
	if q.flows == nil {
		q.flows = map[eventstore.TenantID]*flow{}
	}
	q.flows[tenant] = f
	if q.turn == nil {
		f.prev, f.next, f.credit = f, f, quantum
		q.turn = f
		return f
	}
	f.prev, f.next = q.turn.prev, q.turn
	f.prev.next, f.next.prev = f, f
	return f
}

// head is the ticket that goes next; nil when none waits. A tenant without rivals needs no credit.
func (q *queue) head() *ticket {
	if q.turn == nil {
		return nil
	}
	for q.turn.first.bytes > q.turn.credit && q.turn.next != q.turn {
		q.pass()
	}
	return q.turn.first
}

func (q *queue) pass() {
	q.turn = q.turn.next
	q.turn.credit += quantum
}

// take removes the head and charges its tenant. There is no debt: what went while nobody else waited was nobody's loss.
func (q *queue) take(t *ticket) {
	t.flow.credit = max(0, t.flow.credit-t.bytes)
	q.remove(t)
}

// withdraw removes a ticket whose caller gave up. What a tenant saved up for it is not for others of its units.
func (q *queue) withdraw(t *ticket) {
	if t.prev == nil {
		t.flow.credit = min(t.flow.credit, quantum)
	}
	q.remove(t)
}

// remove takes a waiting ticket out, wherever it stands.
func (q *queue) remove(t *ticket) {
	f := t.flow
	if t.prev == nil {
		f.first = t.next
	} else {
		t.prev.next = t.next
	}
	if t.next == nil {
		f.last = t.prev
	} else {
		t.next.prev = t.prev
	}
	t.flow, t.prev, t.next = nil, nil, nil
	f.add(-t.entries(), -t.bytes)
	q.add(-t.entries(), -t.bytes)
	if f.first == nil {
		q.shut(f)
	}
}

// shut takes a line without tickets out of the ring. Its credit goes with it.
func (q *queue) shut(f *flow) {
	delete(q.flows, f.tenant)
	switch {
	case f.next == f:
		q.turn = nil
	default:
		if q.turn == f {
			q.pass()
		}
		f.prev.next, f.next.prev = f.next, f.prev
	}
	if q.turn == nil {
		q.spare = nil // an idle lane keeps one line at most
	}
	*f = flow{next: q.spare}
	q.spare = f
}
