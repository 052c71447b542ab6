package command

import (
	"time"

	"auditlog/eventstore"
)

// A newcomer beside a flood waits for the flush in flight and its own, and where the store is far away both are
// long. So one unit at a time may overtake: it is sent at once, beside the flush in flight, and the store's lock puts the
// two in order as it does those of two processes. It may when flushes take slow or longer, when each of the tenants that
// fly or wait has a crowd of entries on average (many tenants with little share a flush as well as they would fly alone,
// which costs the store a commit for each), and when its tenant has nothing else on the lane, so that no unit passes
// another of its own tenant's: what comes behind it waits until it has landed.
const (
	slow  = 30 * time.Millisecond
	crowd = 16 // entries
)

// passes tells whether a unit overtakes the flush in flight.
func (l *lane) passes(t *ticket) bool {
	tenants, entries := l.load.tenants+len(l.queue.flows), l.load.entries+l.queue.entries
	return l.ahead == nil && len(l.flying) > 0 && entries >= crowd*tenants && t.bytes <= quantum && l.pace.flush() >= slow &&
		!l.has(t.unit.Tenant)
}

// has tells whether the lane has anything of a tenant, waiting or flying.
func (l *lane) has(tenant eventstore.TenantID) bool {
	if l.queue.flows[tenant] != nil {
		return true
	}
	for _, t := range l.flying {
		if t.unit.Tenant == tenant {
			return true
		}
	}
	return l.ahead != nil && l.ahead.unit.Tenant == tenant
}

// overtake flushes the caller's own ticket beside the flush in flight.
func (l *lane) overtake(t *ticket) {
	defer func() {
		if l.passed() {
			if batch := l.next(); batch != nil {
				go l.drain(batch)
			}
		}
		l.a.busy.Done()
	}()
	l.flush(t.alone[:])
}

// passed notes the end of overtaking, and tells whether what waits was waiting for that.
func (l *lane) passed() (resume bool) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ahead = nil
	if resume = l.paused; resume {
		l.paused, l.began = false, now
	}
	return resume
}

// turn is the ticket that goes next; nil when none may. Those of the tenant that overtakes stay behind its unit.
func (l *lane) turn() *ticket {
	for {
		t := l.queue.head()
		if t == nil || l.ahead == nil || t.unit.Tenant != l.ahead.unit.Tenant {
			return t
		}
		if t.flow.next == t.flow {
			return nil
		}
		t.flow.credit = min(t.flow.credit, quantum)
		l.queue.pass()
	}
}
