package relay_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"auditlog/eventstore"
	"auditlog/projection/projtest"
	"auditlog/projection/relay"
)

// lease gives growing epochs and complains about a lease that is acquired before it was given back.
type lease struct {
	tb    testing.TB
	mu    sync.Mutex // guards the fields below
	epoch uint64
	held  bool
	end   context.CancelFunc
}

func (l *lease) Acquire(ctx context.Context, _ eventstore.Shard) (context.Context, uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held {
		l.tb.Error("acquired before it was released")
	}
	l.epoch, l.held = l.epoch+1, true
	ctx, l.end = context.WithCancel(ctx)
	return ctx, l.epoch, nil
}

func (l *lease) Release(_ eventstore.Shard, epoch uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.held || epoch != l.epoch {
		l.tb.Errorf("epoch %d released, held %v under %d", epoch, l.held, l.epoch)
	}
	l.held = false
	l.end()
}

func (l *lease) lose() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.end()
}

// fenced are cursors that know which epoch is the newest.
type fenced struct {
	cursors
	least uint64 // guarded by cursors.mu
	tries map[uint64]int
}

func (c *fenced) Save(ctx context.Context, shard eventstore.Shard, d string, epoch uint64, o eventstore.Offset) error {
	c.mu.Lock()
	if c.tries == nil {
		c.tries = map[uint64]int{}
	}
	c.tries[epoch]++
	old := epoch < c.least
	c.mu.Unlock()
	if old {
		return relay.ErrFenced
	}
	return c.cursors.Save(ctx, shard, d, epoch, o)
}

// The lane that is fenced ends the hold with all its lanes, and tries no more under that epoch. Under the next one they
// go on from the cursors.
func TestFencedLaneEndsTheHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, b, l, c := projtest.NewMemory(), &bus{}, &lease{tb: t}, &fenced{least: 2}
		var failures atomic.Int64
		defer start(t, relay.New(m, b, c, []string{"a", "b"}, relay.Options{Page: 10, Lease: l, Failed: func(string, error) { failures.Add(1) }}))()
		m.Append(30)
		time.Sleep(time.Minute)
		for _, d := range []string{"a", "b"} {
			envs := b.of(d)
			first := 0
			for first < len(envs) && envs[first].Epoch == 1 {
				first++
			}
			if first > 1 {
				t.Errorf("%s: %d envelopes under an epoch that was over at the first", d, first)
			}
			at := eventstore.Offset(0)
			for _, env := range envs[first:] {
				if env.Epoch != 2 || env.From != at {
					t.Errorf("%s: (%d, %d] under epoch %d follows %d", d, env.From, env.To, env.Epoch, at)
				}
				at = env.To
			}
			if at != 30 {
				t.Errorf("%s ends at %d", d, at)
			}
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if n := c.tries[1]; n < 1 || n > 2 || failures.Load() > 0 {
			t.Errorf("%d tries under the old epoch, %d failures", n, failures.Load())
		}
	})
}

// A hold that ends is released once its lanes have ended, and followed by another.
func TestLostHoldIsFollowedByAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, b, l := projtest.NewMemory(), &bus{}, &lease{tb: t}
		defer start(t, relay.New(m, b, &cursors{}, []string{"a"}, relay.Options{Lease: l}))()
		for n := range uint64(5) {
			m.Append(1)
			synctest.Wait()
			envs := b.of("a")
			if last := envs[len(envs)-1]; last.Epoch != n+1 || last.To != eventstore.Offset(n+1) {
				t.Fatalf("envelope (%d, %d] under epoch %d, want %d", last.From, last.To, last.Epoch, n+1)
			}
			l.lose()
			synctest.Wait()
		}
	})
}
