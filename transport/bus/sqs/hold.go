package sqs

import (
	"context"
	"slices"
	"sync"
	"time"
)

// holds are the received messages of one subscription that are neither acknowledged nor given back. Each is extended
// at half of its time of being invisible.
type holds struct {
	inflight *inflight
	period   time.Duration // the queue's visibility

	mu   sync.Mutex           // guards the fields below
	held map[string]time.Time // by receipt handle: when it is due to be extended
	none chan struct{}        // closed when held is empty; nil while nobody waits for it
}

// add begins to hold a message that was received just now.
func (h *holds) add(handle string, received time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.held[handle] = received.Add(h.period / 2)
}

// giveBack ends a hold and makes the message visible after d.
func (h *holds) giveBack(handle string, d time.Duration) {
	h.drop(handle, func() { h.inflight.changes.add(visibility{handle, d}) })
}

// delete ends a hold and deletes the message. Nobody waits for it: one that stays comes again, which is harmless.
func (h *holds) delete(handle string) {
	h.drop(handle, func() { h.inflight.deletes.add(handle) })
}

// drop ends a hold, if there is one, and does then, which must not wait. Both are one step to release.
func (h *holds) drop(handle string, then func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, held := h.held[handle]; !held {
		return
	}
	delete(h.held, handle)
	then()
	if len(h.held) == 0 && h.none != nil {
		close(h.none)
		h.none = nil
	}
}

// keep extends what is held until ctx ends.
func (h *holds) keep(ctx context.Context) {
	tick := time.NewTicker(h.period / 8)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			h.extend(now)
		}
	}
}

// extend renews the messages that are due. What could not be renewed is due again at the next tick.
func (h *holds) extend(now time.Time) {
	h.mu.Lock()
	var due []visibility
	for handle, at := range h.held {
		if !now.Before(at) {
			due = append(due, visibility{handle, h.period})
		}
	}
	h.mu.Unlock()
	for batch := range slices.Chunk(due, maxBatch) {
		errs := h.inflight.change(batch)
		h.mu.Lock()
		for i, v := range batch {
			if _, still := h.held[v.handle]; still && (errs == nil || errs[i] == nil) {
				h.held[v.handle] = now.Add(h.period / 2)
			}
		}
		h.mu.Unlock()
	}
}

// settled waits until nothing is held or ctx ends.
func (h *holds) settled(ctx context.Context) {
	h.mu.Lock()
	if len(h.held) == 0 {
		h.mu.Unlock()
		return
	}
	if h.none == nil {
		h.none = make(chan struct{})
	}
	none := h.none
	h.mu.Unlock()
	select {
	case <-none:
	case <-ctx.Done():
	}
}

// release gives back all that is still held, at once.
func (h *holds) release() {
	h.mu.Lock()
	handles := make([]string, 0, len(h.held))
	for handle := range h.held {
		handles = append(handles, handle)
	}
	h.mu.Unlock()
	for _, handle := range handles {
		h.giveBack(handle, 0)
	}
}
