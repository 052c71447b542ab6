package bus

import (
	"sync"

	"auditlog/eventstore"
	"auditlog/projection"
)

// Memo encodes envelopes and keeps the newest payloads of each shard: the relay sends the same ones to every destination,
// at about the same time. The zero value is ready. It is safe for concurrent use.
type Memo struct {
	mu     sync.Mutex // guards shards
	shards map[eventstore.Shard]*memory
}

// memory is a shard's. Whoever needs what another is encoding waits for it.
type memory struct {
	mu   sync.Mutex // guards the fields below
	kept [2]encoded
	next int
}

type encoded struct {
	key     envelopeKey
	payload []byte
}

// envelopeKey names what an envelope of a shard holds: the events of a range are the same for ever, but for those removed
// since, and those that a destination does not want.
type envelopeKey struct {
	from, to eventstore.Offset
	epoch    uint64
	events   int
	first    eventstore.Offset // of the events; 0: none
}

// Encode is what the function of that name gives. Callers share the payload and must not change it.
func (m *Memo) Encode(env projection.Envelope) ([]byte, error) {
	key := envelopeKey{from: env.From, to: env.To, epoch: env.Epoch, events: len(env.Events)}
	if key.events == 0 {
		return Encode(env) // it takes no time
	}
	key.first = env.Events[0].Offset
	of := m.of(env.Shard)
	of.mu.Lock()
	defer of.mu.Unlock()
	for _, e := range of.kept {
		if e.key == key && e.payload != nil {
			return e.payload, nil
		}
	}
	payload, err := Encode(env)
	if err != nil {
		return nil, err
	}
	of.kept[of.next%len(of.kept)] = encoded{key, payload}
	of.next++
	return payload, nil
}

func (m *Memo) of(shard eventstore.Shard) *memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.shards == nil {
		m.shards = map[eventstore.Shard]*memory{}
	}
	if m.shards[shard] == nil {
		m.shards[shard] = &memory{}
	}
	return m.shards[shard]
}
