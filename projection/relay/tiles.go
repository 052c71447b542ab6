package relay

import (
	"context"
	"sync"

	"auditlog/eventstore"
	"auditlog/projection"
)

// tiles are the newest envelopes of one shard. Lanes that are about as far read the store once and send the same tiles,
// which a bus then encodes once.
type tiles struct {
	mu   sync.Mutex // guards the fields below, and lets one lane read what the others need, too
	head eventstore.Offset
	kept [2]projection.Envelope
	next int
}

// maxKept bounds the stored bytes of a kept envelope.
const maxKept = 1 << 20

// read is the envelope from the cursor on, and the shard's head as known by then; an empty range when there is nothing
// beyond the cursor.
func (t *tiles) read(ctx context.Context, source projection.Source, shard eventstore.Shard, epoch uint64, cursor eventstore.Offset, page int) (projection.Envelope, eventstore.Offset, error) {
	none := projection.Envelope{To: cursor}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, env := range t.kept {
		if env.From == cursor && env.To > cursor && env.Epoch == epoch {
			return env, t.head, nil
		}
	}
	head, err := source.ShardHead(ctx, shard)
	if err != nil {
		return none, 0, err
	}
	t.head = max(t.head, head.Offset)
	if t.head <= cursor {
		return none, t.head, nil
	}
	env, err := projection.ReadEnvelope(ctx, source, shard, projection.Range{From: cursor, To: head.Offset}, page)
	if err != nil {
		return none, t.head, err
	}
	env.Epoch = epoch
	t.keep(env)
	return env, t.head, nil
}

func (t *tiles) keep(env projection.Envelope) {
	size := 0
	for i := range env.Events {
		size += len(env.Events[i].Public) + len(env.Events[i].Private)
	}
	if size > maxKept {
		return
	}
	t.kept[t.next%len(t.kept)] = env
	t.next++
}
