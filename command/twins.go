package command

import "auditlog/eventstore"

// twin tells whether another draft with the same idempotency key is on the draft's lane, waiting or in flight, whether or
// not somebody still waits for it. It decides nothing, which is the store's to do: it only lets a request that waited in
// vain say so. Its cost grows with what the tenant has waiting, so it is for that case alone.
func (a *Appender) twin(shard eventstore.Shard, tenant eventstore.TenantID, d *eventstore.Draft) bool {
	if d.Idempotency == nil {
		return false
	}
	l := &a.lanes[shard]
	l.mu.Lock()
	defer l.mu.Unlock()
	if t := l.ahead; t != nil && t.unit.Tenant == tenant && hasTwin(t.unit.Drafts, d) {
		return true
	}
	for _, t := range l.flying {
		if t.unit.Tenant == tenant && hasTwin(t.unit.Drafts, d) {
			return true
		}
	}
	if f := l.queue.flows[tenant]; f != nil {
		for t := f.first; t != nil; t = t.next {
			if hasTwin(t.unit.Drafts, d) {
				return true
			}
		}
	}
	return false
}

func hasTwin(drafts []eventstore.Draft, d *eventstore.Draft) bool {
	for i := range drafts {
		if o := &drafts[i]; o.Idempotency != nil && o.Idempotency.Token == d.Idempotency.Token && o.ID != d.ID {
			return true
		}
	}
	return false
}
