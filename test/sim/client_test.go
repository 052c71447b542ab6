package sim

import (
	"context"
	"errors"
	"time"

	"auditlog/eventstore"
	"auditlog/internal/fault"
)

// try is one request of a client and what it knows of it.
type try struct {
	who              string
	tenant           eventstore.TenantID
	drafts           []eventstore.Draft
	atomic           bool
	called, returned time.Duration
	fate             fate
	outcomes         []eventstore.Outcome
}

type fate string

const (
	acknowledged fate = "acknowledged"
	refused      fate = "refused"
	unknown      fate = "unknown"
)

// client sends requests one after the other, and those with a key again until they are acknowledged.
type client struct {
	*world
	no     int
	s      *stream
	drafts int
}

func (w *world) newClient(n int) *client {
	return &client{world: w, no: n, s: w.stream("client/%d", n)}
}

func (c *client) work(ops int) {
	for range ops {
		c.s.wait(c.s.between(0, 12*time.Millisecond))
		tenant, size := c.s.n(tenants), 1
		if c.s.one(20) {
			size = 2 + c.s.n(8)
		}
		u := eventstore.Unit{Tenant: eventstore.TenantID{15: byte(tenant + 1)}, Atomic: c.s.n(2) == 0}
		keyed := c.s.n(2) == 0
		for range size {
			u.Drafts = append(u.Drafts, c.draft(tenant, keyed))
		}
		for range 5 {
			if c.send(eventstore.Shard(tenant%shards), u) == acknowledged || !keyed {
				break
			}
			for i := range u.Drafts { // a request that is sent again makes new events, of the same keys
				u.Drafts[i].ID = c.id()
			}
			c.s.wait(c.s.between(time.Millisecond, 200*time.Millisecond))
		}
	}
}

// id is a new event's.
func (c *client) id() eventstore.EventID {
	c.drafts++
	return eventstore.EventID{0: 1, 7: byte(c.no), 14: byte(c.drafts >> 8), 15: byte(c.drafts)}
}

func (c *client) draft(tenant int, keyed bool) eventstore.Draft {
	kind := byte(sound)
	switch c.s.n(120) {
	case 0:
		kind = poisonous
	case 1:
		kind = panics
	}
	d := eventstore.Draft{ID: c.id(), Type: eventstore.EntryRecorded}
	d.Public, d.Private = append([]byte{kind}, d.ID[:]...), []byte{byte(c.drafts)}
	if keyed && c.s.n(8) > 0 {
		key := byte(c.s.n(keyspace))
		d.Idempotency = &eventstore.Idempotency{Token: [32]byte{byte(tenant), key}, Fingerprint: [32]byte{key}}
		if c.s.one(4) {
			d.Idempotency.Fingerprint[1] = 1 // another body
		}
	}
	return d
}

// send sends a request to some process and writes down what becomes of it.
func (c *client) send(shard eventstore.Shard, u eventstore.Unit) fate {
	p := c.node(c.s.n(slots))
	if p == nil {
		return refused // no connection: nothing was sent
	}
	u.Drafts = append([]eventstore.Draft(nil), u.Drafts...) // the appender keeps them
	t := &try{who: c.s.name, tenant: u.Tenant, drafts: u.Drafts, atomic: u.Atomic, called: c.now()}
	patience := c.s.between(2*time.Second, 5*time.Second)
	if c.s.one(8) {
		patience = c.s.between(time.Millisecond, 50*time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.s.until(patience))
	r := p.serve(ctx, shard, u)
	cancel()
	c.s.wait(c.s.between(50*time.Microsecond, 3*time.Millisecond))
	t.returned, t.fate = c.now(), c.judge(r)
	if t.fate == acknowledged {
		t.outcomes = r.outcomes
	}
	first := int64(0)
	if len(t.outcomes) > 0 {
		first = int64(t.outcomes[0].Position)
	}
	c.note(c.s.name, string(t.fate), int64(t.called), int64(len(u.Drafts)), first)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tries = append(c.tries, t)
	return t.fate
}

// judge is what a client may conclude from a reply, by the promises of package command.
func (c *client) judge(r reply) fate {
	switch {
	case r.cut || c.s.one(3): // the answer is lost on its way
		return unknown
	case r.err == nil:
		return acknowledged
	case errors.Is(r.err, context.DeadlineExceeded) || errors.Is(r.err, context.Canceled):
		return unknown
	case fault.Is(r.err, fault.Overloaded):
		c.sometimes("request refused")
		return refused
	}
	return unknown
}
