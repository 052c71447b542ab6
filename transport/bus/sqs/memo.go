package sqs

import (
	"sync"

	"auditlog/eventstore"
	"auditlog/projection"
	"auditlog/transport/bus"
)

// memo keeps the payloads of the last few envelopes: the relay sends the same ones to every destination.
type memo struct {
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

func (m *memo) encode(env projection.Envelope) ([][]byte, error) {
	key := envelopeKey{env.Shard, env.From, env.To, env.Epoch, len(env.Events)}
	m.mu.Lock()
	for _, e := range m.kept {
		if e.key == key && e.payloads != nil {
			m.mu.Unlock()
			return e.payloads, nil
		}
	}
	m.mu.Unlock()
	payloads, err := bus.Encode(env)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.kept[m.next%len(m.kept)] = encoded{key, payloads}
	m.next++
	return payloads, nil
}
