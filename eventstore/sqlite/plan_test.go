package sqlite

import (
	"testing"

	"pgregory.net/rapid"

	"auditlog/eventstore"
)

// TestPlanAgainstModel decides random flushes and compares with a model that copies everything at each unit.
func TestPlanAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var p plan
		p.reset()
		p.at, p.hasTargets = 7, true
		m := model{keys: map[byte]modelKey{}, entries: map[byte]byte{}}
		n := byte(0)
		for range rapid.IntRange(1, 5).Draw(t, "units") {
			u := eventstore.Unit{Atomic: rapid.Bool().Draw(t, "atomic")}
			for range rapid.IntRange(1, 5).Draw(t, "drafts") {
				n++
				d := eventstore.Draft{ID: eventstore.EventID{n}, Type: eventstore.EntryRecorded}
				if about := rapid.ByteRange(0, 6).Draw(t, "about"); about > 0 {
					d.EntryID = eventstore.EventID{about}
					d.Type = rapid.SampledFrom([]eventstore.Type{eventstore.EntryAmended, eventstore.EntryErased}).Draw(t, "type")
				}
				if key := rapid.ByteRange(0, 3).Draw(t, "key"); key > 0 {
					d.Idempotency = &eventstore.Idempotency{Token: [32]byte{key}, Fingerprint: [32]byte{rapid.ByteRange(1, 2).Draw(t, "body")}}
				}
				u.Drafts = append(u.Drafts, d)
			}
			from := len(p.outcomes)
			p.unit(1, &u)
			for i, want := range m.unit(u) {
				if got := p.outcomes[from+i]; got.Status != want.Status || got.Position != want.Position || got.ID != want.ID {
					t.Fatalf("draft %d: %+v, want %+v", i, got, want)
				}
			}
		}
		if len(p.rows) != m.position || int(p.shard) != m.position || int(p.heads[1].position) != m.position {
			t.Fatalf("%d rows, offset %d, head %+v; want %d", len(p.rows), p.shard, p.heads[1], m.position)
		}
		for i, r := range p.rows {
			if int(r.position) != i+1 || int(r.offset) != i+1 {
				t.Fatalf("row %d: %+v", i, r)
			}
		}
	})
}

// model is one tenant's log in the plainest form.
type model struct {
	position int
	keys     map[byte]modelKey
	entries  map[byte]byte // entry → its erasure, 0 for none
	places   map[byte]int
}

type modelKey struct{ body, id byte }

func (m *model) clone() model {
	c := model{m.position, map[byte]modelKey{}, map[byte]byte{}, map[byte]int{}}
	for k, v := range m.keys {
		c.keys[k] = v
	}
	for k, v := range m.entries {
		c.entries[k] = v
	}
	for k, v := range m.places {
		c.places[k] = v
	}
	return c
}

func (m *model) unit(u eventstore.Unit) []eventstore.Outcome {
	next, out, refused := m.clone(), []eventstore.Outcome(nil), false
	for _, d := range u.Drafts {
		o := next.draft(d)
		refused = refused || o.Status != eventstore.Stored && o.Status != eventstore.Replayed
		out = append(out, o)
	}
	if !refused || !u.Atomic {
		*m = next
		return out
	}
	for i, o := range out {
		inUnit := o.Status == eventstore.Replayed && int(o.Position) > m.position
		if o.Status == eventstore.Stored || inUnit {
			out[i] = eventstore.Outcome{Status: eventstore.Aborted}
		}
	}
	return out
}

func (m *model) draft(d eventstore.Draft) eventstore.Outcome {
	if k := d.Idempotency; k != nil {
		if old, ok := m.keys[k.Token[0]]; ok {
			if old.body != k.Fingerprint[0] {
				return eventstore.Outcome{Status: eventstore.KeyReused}
			}
			return m.at(eventstore.Replayed, old.id)
		}
	}
	if d.Type != eventstore.EntryRecorded {
		eraser, ok := m.entries[d.EntryID[0]]
		if !ok {
			return eventstore.Outcome{Status: eventstore.TargetMissing}
		}
		if eraser != 0 {
			return m.at(eventstore.TargetErased, eraser)
		}
	}
	m.position++
	m.places[d.ID[0]] = m.position
	switch d.Type {
	case eventstore.EntryRecorded:
		m.entries[d.ID[0]] = 0
	case eventstore.EntryErased:
		m.entries[d.EntryID[0]] = d.ID[0]
	}
	if k := d.Idempotency; k != nil {
		m.keys[k.Token[0]] = modelKey{k.Fingerprint[0], d.ID[0]}
	}
	return m.at(eventstore.Stored, d.ID[0])
}

func (m *model) at(s eventstore.Status, id byte) eventstore.Outcome {
	return eventstore.Outcome{Status: s, ID: eventstore.EventID{id}, Position: eventstore.Position(m.places[id])}
}
