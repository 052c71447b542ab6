package bus

import (
	"sync"

	"auditlog/eventstore"
	"auditlog/projection"
)

// Memo encodes envelopes and keeps the payloads of the last few: the relay sends the same ones to every destination.
// The zero value is ready. It is safe for concurrent use.
type Memo struct {
	mu   sync.Mutex // guards the fields below; not held while encoding
	kept [4]encoded
	next int
}

type encoded struct {
	key      envelopeKey
	payloads [][]byte
}

// envelopeKey names what an envelope holds: the events of a range are the same for ever, but for those removed since.
type envelopeKey struct {
	shard    eventstore.Shard
	from, to eventstore.Offset
	epoch    uint64
	events   int
}

// Encode is what the function of that name gives. Callers share the payloads and must not change them.
func (m *Memo) Encode(env projection.Envelope) ([][]byte, error) {
	key := envelopeKey{env.Shard, env.From, env.To, env.Epoch, len(env.Events)}
	m.mu.Lock()
	for _, e := range m.kept {
		if e.key == key && e.payloads != nil {
			m.mu.Unlock()
			return e.payloads, nil
		}
	}
	m.mu.Unlock()
	payloads, err := Encode(env)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.kept[m.next%len(m.kept)] = encoded{key, payloads}
	m.next++
	return payloads, nil
}
