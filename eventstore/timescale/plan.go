package timescale

import "auditlog/eventstore"

// tenantHead is the newest place of a tenant's log while a flush is decided, with what the flush has of it.
type tenantHead struct {
	position eventstore.Position
	offset   eventstore.Offset
	purged   eventstore.Position
	first    eventstore.Position // of this flush; 0: none
	firstOff eventstore.Offset
}

// row is a draft with the place that the plan gives it.
type row struct {
	draft    *eventstore.Draft
	tenant   int32
	position eventstore.Position
	offset   eventstore.Offset
	key      tokenKey // when the draft has an idempotency key
	slot     int64    // that the key gets
}

// known is the event that first used an idempotency key.
type known struct {
	fingerprint int64
	answer      eventstore.Outcome
}

type entryKey struct {
	tenant int32
	entry  eventstore.EventID
}

// target is an entry that a draft is about. answer is the refusal that it meets; a zero one means that the entry may be
// amended and erased.
type target struct{ answer eventstore.Outcome }

// plan decides a flush that the one statement could not: an outcome for each draft, and the rows that the stored ones
// become. It does no I/O: what it needs of the store is put in first.
type plan struct {
	at       eventstore.Micros
	shard    eventstore.Offset
	heads    map[int32]tenantHead
	keys     map[tokenKey]known
	slots    slots
	targets  map[entryKey]target // missing entries are left out
	outcomes []eventstore.Outcome
	rows     []row
}

func newPlan(at eventstore.Micros, shard eventstore.Offset) *plan {
	return &plan{at: at, shard: shard, heads: map[int32]tenantHead{}, keys: map[tokenKey]known{}, slots: slots{}, targets: map[entryKey]target{}}
}

// unit decides one unit. A refused atomic one is decided again with nothing of it stored, so that what it would have done
// to keys and entries is not there for the units behind it.
func (p *plan) unit(t int32, u *eventstore.Unit) {
	if t == 0 {
		for range u.Drafts {
			p.outcomes = append(p.outcomes, eventstore.Outcome{Status: eventstore.TenantMissing})
		}
		return
	}
	undo := undo{outcomes: len(p.outcomes), rows: len(p.rows), shard: p.shard, tenant: t, head: p.heads[t]}
	refused := false
	for i := range u.Drafts {
		o := p.draft(t, u.Tenant, &u.Drafts[i], &undo)
		refused = refused || o.Status != eventstore.Stored && o.Status != eventstore.Replayed
		p.outcomes = append(p.outcomes, o)
	}
	if refused && u.Atomic {
		p.abort(&undo)
	}
}

// undo is what takes a unit back.
type undo struct {
	outcomes, rows int
	shard          eventstore.Offset
	tenant         int32
	head           tenantHead
	keys           []tokenKey
	targets        []targetBefore
}

type targetBefore struct {
	key entryKey
	was target
	had bool
}

func (p *plan) abort(u *undo) {
	for i := range p.outcomes[u.outcomes:] {
		o := &p.outcomes[u.outcomes+i]
		// Replays of what was stored before the unit stay true.
		if o.Status == eventstore.Stored || o.Status == eventstore.Replayed && o.Position > u.head.position {
			*o = eventstore.Outcome{Status: eventstore.Aborted}
		}
	}
	for i := range p.rows[u.rows:] {
		if r := &p.rows[u.rows+i]; r.draft.Idempotency != nil {
			delete(p.slots, r.slot)
		}
	}
	p.rows, p.shard, p.heads[u.tenant] = p.rows[:u.rows], u.shard, u.head
	for _, k := range u.keys {
		delete(p.keys, k)
	}
	for i := len(u.targets) - 1; i >= 0; i-- {
		if t := u.targets[i]; t.had {
			p.targets[t.key] = t.was
		} else {
			delete(p.targets, t.key)
		}
	}
}

func (p *plan) draft(t int32, id eventstore.TenantID, d *eventstore.Draft, u *undo) eventstore.Outcome {
	var key tokenKey
	if d.Idempotency != nil {
		key = keyOf(id, d.Idempotency)
		if k, ok := p.keys[key]; ok {
			if k.fingerprint != fingerprintOf(d.Idempotency) {
				return eventstore.Outcome{Status: eventstore.KeyReused}
			}
			return k.answer
		}
	}
	if isAbout(d) {
		if entry, ok := p.targets[entryKey{t, d.EntryID}]; !ok {
			return eventstore.Outcome{Status: eventstore.TargetMissing}
		} else if entry.answer.Status != 0 {
			return entry.answer
		}
	}
	o := p.store(t, d)
	switch d.Type {
	case eventstore.EntryRecorded:
		p.setTarget(entryKey{t, d.ID}, target{}, u)
	case eventstore.EntryErased:
		refusal := o
		refusal.Status = eventstore.TargetErased
		p.setTarget(entryKey{t, d.EntryID}, target{refusal}, u)
	}
	if d.Idempotency != nil {
		replay := o
		replay.Status = eventstore.Replayed
		p.keys[key] = known{fingerprintOf(d.Idempotency), replay}
		u.keys = append(u.keys, key)
		r := &p.rows[len(p.rows)-1]
		r.key, r.slot = key, p.slots.take(key)
	}
	return o
}

func (p *plan) setTarget(k entryKey, t target, u *undo) {
	was, had := p.targets[k]
	u.targets = append(u.targets, targetBefore{k, was, had})
	p.targets[k] = t
}

// store gives a draft its place.
func (p *plan) store(t int32, d *eventstore.Draft) eventstore.Outcome {
	p.shard++
	h := p.heads[t]
	h.position, h.offset = h.position+1, p.shard
	if h.first == 0 {
		h.first, h.firstOff = h.position, h.offset
	}
	p.heads[t] = h
	p.rows = append(p.rows, row{draft: d, tenant: t, position: h.position, offset: h.offset})
	return eventstore.Outcome{Status: eventstore.Stored, ID: d.ID, Position: h.position, RecordedAt: p.at}
}

// isAbout tells the drafts that need an entry to be about.
func isAbout(d *eventstore.Draft) bool {
	return d.Type == eventstore.EntryAmended || d.Type == eventstore.EntryErased
}
