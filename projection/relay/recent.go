package relay

import (
	"sync"

	"auditlog/eventstore"
	"auditlog/projection"
)

// recent keeps the last few envelopes, so that lanes of one shard which are about as far read the store once and send
// the same tiles, which a bus then encodes once.
type recent struct {
	mu   sync.Mutex // guards the fields below
	kept [4]projection.Envelope
	next int
}

// maxKept bounds the stored bytes of a kept envelope.
const maxKept = 2 << 20

// from is a kept envelope that starts at the offset.
func (r *recent) from(shard eventstore.Shard, o eventstore.Offset, epoch uint64) (projection.Envelope, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, env := range r.kept {
		if env.Shard == shard && env.From == o && env.To > o && env.Epoch == epoch {
			return env, true
		}
	}
	return projection.Envelope{}, false
}

func (r *recent) keep(env projection.Envelope) {
	size := 0
	for i := range env.Events {
		size += len(env.Events[i].Public) + len(env.Events[i].Private)
	}
	if size > maxKept {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kept[r.next%len(r.kept)] = env
	r.next++
}
