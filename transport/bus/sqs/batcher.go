package sqs

import (
	"sync"
	"time"
)

// batcher gathers items into batches of at most maxBatch and maxBytes. A batch goes when it is full, and otherwise no
// sooner than linger after the one before: the first item after a pause goes at once, alone.
type batcher[T any] struct {
	linger   time.Duration
	maxBytes int
	size     func(T) int
	send     func([]T) []error // one error for each item, or nil when all went well

	mu      sync.Mutex // guards the fields below
	waiting []ticket[T]
	bytes   int
	last    time.Time   // when a batch last went
	timer   *time.Timer // nil while nothing waits
	sending sync.WaitGroup
}

type ticket[T any] struct {
	item T
	done chan error // with room for one
}

// add takes an item. The channel gives its outcome once.
func (b *batcher[T]) add(item T) <-chan error {
	t, size := ticket[T]{item, make(chan error, 1)}, b.size(item)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.bytes+size > b.maxBytes {
		b.goNow()
	}
	b.waiting, b.bytes = append(b.waiting, t), b.bytes+size
	switch {
	case len(b.waiting) == maxBatch:
		b.goNow()
	case b.timer == nil:
		var timer *time.Timer
		timer = time.AfterFunc(max(0, b.linger-time.Since(b.last)), func() {
			b.mu.Lock()
			defer b.mu.Unlock()
			if b.timer == timer { // else its batch went while it waited for the lock, and the next has a timer of its own
				b.goNow()
			}
		})
		b.timer = timer
	}
	return t.done
}

// goNow sends what waits, in a goroutine of its own. It is called with the lock.
func (b *batcher[T]) goNow() {
	if b.timer != nil {
		b.timer.Stop()
		b.timer = nil
	}
	if len(b.waiting) == 0 {
		return
	}
	batch := b.waiting
	b.waiting, b.bytes, b.last = nil, 0, time.Now()
	b.sending.Go(func() {
		items := make([]T, len(batch))
		for i, t := range batch {
			items[i] = t.item
		}
		errs := b.send(items)
		for i, t := range batch {
			if errs == nil {
				t.done <- nil
			} else {
				t.done <- errs[i]
			}
		}
	})
}

// drain sends what waits and returns when every batch has its answer. Nothing may be added meanwhile.
func (b *batcher[T]) drain() {
	b.mu.Lock()
	b.goNow()
	b.mu.Unlock()
	b.sending.Wait()
}
