package sqlite

import (
	"auditlog/eventstore"
)

// place is the newest place of a tenant's log.
type place struct {
	position eventstore.Position
	offset   eventstore.Offset
}

// row is a draft with the place that the plan gives it.
type row struct {
	draft    *eventstore.Draft
	tenant   int64
	position eventstore.Position
	offset   eventstore.Offset
}

type tokenKey struct {
	tenant int64
	token  [32]byte
}

// known is the event that first used an idempotency key.
type known struct {
	fingerprint [32]byte
	answer      eventstore.Outcome
}

type entryKey struct {
	tenant int64
	entry  eventstore.EventID
}

// target is what is known of an entry that a draft is about. by is the answer to a draft that comes after its erasure.
type target struct {
	refusal eventstore.Status // 0: it may be amended and erased
	by      eventstore.Outcome
}

// plan decides a flush: an outcome for each draft, and the rows that the stored ones become. It does no I/O: what it
// needs of the store is given first. Its memory is used again for the next flush.
type plan struct {
	at       eventstore.Micros
	shard    eventstore.Offset
	heads    map[int64]place // of the tenants in the flush
	keys     map[tokenKey]known
	targets  map[entryKey]target // of every draft that has one; missing ones have their refusal
	outcomes []eventstore.Outcome
	rows     []row

	hasTargets bool
	undoKeys   []tokenKey // added by the unit in work
	undoTarget []undoTarget
}

type undoTarget struct {
	key entryKey
	was target
	had bool
}

func (p *plan) reset() {
	if p.keys == nil {
		p.heads, p.keys, p.targets = map[int64]place{}, map[tokenKey]known{}, map[entryKey]target{}
	}
	clear(p.heads)
	clear(p.keys)
	clear(p.targets)
	clear(p.rows[:cap(p.rows)]) // drafts are the caller's: let go of them
	p.rows, p.outcomes, p.hasTargets = p.rows[:0], nil, false
}

// unit decides one unit of a tenant; tenant 0 is one that does not exist.
func (p *plan) unit(tenant int64, u *eventstore.Unit) {
	if tenant == 0 {
		for range u.Drafts {
			p.outcomes = append(p.outcomes, eventstore.Outcome{Status: eventstore.TenantMissing})
		}
		return
	}
	first, firstRow, head, shard := len(p.outcomes), len(p.rows), p.heads[tenant], p.shard
	p.undoKeys, p.undoTarget = p.undoKeys[:0], p.undoTarget[:0]
	refused := false
	for i := range u.Drafts {
		o := p.draft(tenant, &u.Drafts[i])
		refused = refused || o.Status != eventstore.Stored && o.Status != eventstore.Replayed
		p.outcomes = append(p.outcomes, o)
	}
	if refused && u.Atomic {
		p.rows, p.heads[tenant], p.shard = p.rows[:firstRow], head, shard
		p.abort(p.outcomes[first:], head.position)
	}
}

// abort takes back what the unit in work did. Replays of events stored before the unit stay true.
func (p *plan) abort(outcomes []eventstore.Outcome, before eventstore.Position) {
	for i := range outcomes {
		o := &outcomes[i]
		if o.Status == eventstore.Stored || o.Status == eventstore.Replayed && o.Position > before {
			*o = eventstore.Outcome{Status: eventstore.Aborted}
		}
	}
	for _, k := range p.undoKeys {
		delete(p.keys, k)
	}
	for i := len(p.undoTarget) - 1; i >= 0; i-- {
		if u := p.undoTarget[i]; u.had {
			p.targets[u.key] = u.was
		} else {
			delete(p.targets, u.key)
		}
	}
}

func (p *plan) draft(tenant int64, d *eventstore.Draft) eventstore.Outcome {
	var key tokenKey
	if d.Idempotency != nil {
		key = tokenKey{tenant, d.Idempotency.Token}
		if k, ok := p.keys[key]; ok {
			if k.fingerprint != d.Idempotency.Fingerprint {
				return eventstore.Outcome{Status: eventstore.KeyReused}
			}
			return k.answer
		}
	}
	if isAbout(d) {
		if t, ok := p.targets[entryKey{tenant, d.EntryID}]; !ok {
			return eventstore.Outcome{Status: eventstore.TargetMissing}
		} else if t.refusal != 0 {
			return t.by
		}
	}
	o := p.store(tenant, d)
	if d.Idempotency != nil {
		replay := o
		replay.Status = eventstore.Replayed
		p.keys[key] = known{d.Idempotency.Fingerprint, replay}
		p.undoKeys = append(p.undoKeys, key)
	}
	return o
}

func (p *plan) store(tenant int64, d *eventstore.Draft) eventstore.Outcome {
	p.shard++
	head := place{p.heads[tenant].position + 1, p.shard}
	p.heads[tenant] = head
	p.rows = append(p.rows, row{d, tenant, head.position, head.offset})
	o := eventstore.Outcome{Status: eventstore.Stored, ID: d.ID, Position: head.position, RecordedAt: p.at}
	if p.hasTargets {
		p.follow(tenant, d, o)
	}
	return o
}

// follow keeps targets true for the drafts behind d.
func (p *plan) follow(tenant int64, d *eventstore.Draft, o eventstore.Outcome) {
	switch d.Type {
	case eventstore.EntryRecorded:
		p.setTarget(entryKey{tenant, d.ID}, target{})
	case eventstore.EntryErased:
		o.Status = eventstore.TargetErased
		p.setTarget(entryKey{tenant, d.EntryID}, target{eventstore.TargetErased, o})
	}
}

func (p *plan) setTarget(k entryKey, t target) {
	was, had := p.targets[k]
	p.undoTarget = append(p.undoTarget, undoTarget{k, was, had})
	p.targets[k] = t
}

// isAbout tells the drafts that need an entry to be about.
func isAbout(d *eventstore.Draft) bool {
	return d.Type == eventstore.EntryAmended || d.Type == eventstore.EntryErased
}
