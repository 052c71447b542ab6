package keyring

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
	"time"
)

// counter is the tenant's durable mark: every (epoch, index) below it may have been used.
type counter struct{ epoch, next uint32 }

func (c counter) passed(ref Ref) bool {
	return ref.Epoch < c.epoch || ref.Epoch == c.epoch && ref.Index < c.next
}

func (r *Ring) loadCounter(ctx context.Context, t *tenant) (counter, error) {
	plain, err := r.load(ctx, t, Item{Kind: Lease})
	if err != nil {
		// Beginning anew would use keys twice.
		return counter{}, fmt.Errorf("%w; restore the newest copy of it, do not remove it", err)
	}
	c := counter{}
	if len(plain) == 8 {
		c = counter{binary.BigEndian.Uint32(plain), binary.BigEndian.Uint32(plain[4:])}
	}
	if len(plain) != 8 || c.next > r.shape.leaves() {
		return counter{}, fmt.Errorf("read %s: not a lease counter", r.driver.Place(t.id, Item{Kind: Lease}))
	}
	return c, nil
}

func (r *Ring) storeCounter(ctx context.Context, t *tenant, c counter) error {
	plain := binary.BigEndian.AppendUint32(nil, c.epoch)
	return r.store(ctx, t, Item{Kind: Lease}, binary.BigEndian.AppendUint32(plain, c.next))
}

// plant stores a new random root as the only seed of an epoch that nobody has used yet.
func (r *Ring) plant(ctx context.Context, t *tenant, epoch uint32) error {
	var root seed
	defer clear(root[:])
	if _, err := io.ReadFull(r.opts.Rand, root[:]); err != nil {
		return fmt.Errorf("random seed: %w", err)
	}
	c := rootChunk(&root)
	defer c.wipe()
	return r.store(ctx, t, Item{Kind: Chunk, Epoch: epoch}, c.encode())
}

// nextEpoch plants the epoch after the counter's. The caller holds the tenant's lock and stores the counter returned.
func (r *Ring) nextEpoch(ctx context.Context, t *tenant, c counter) (counter, error) {
	if c.epoch == math.MaxUint32 {
		return c, errors.New("keyring: the tenant has used up all key epochs")
	}
	c = counter{epoch: c.epoch + 1}
	return c, r.plant(ctx, t, c.epoch)
}

// StartEpoch makes the tenant's coming leases begin in a new epoch. Call it for each tenant after the key store was restored
// from a backup, before anything is sealed: the counter restored with it is behind what was handed out.
func (r *Ring) StartEpoch(ctx context.Context, tenant [16]byte) error {
	t, err := r.tenant(ctx, tenant)
	if err != nil {
		return err
	}
	unlock, err := r.driver.Lock(ctx, t.id, Scope{})
	if err != nil {
		return fmt.Errorf("lock key tenant: %w", err)
	}
	defer unlock()
	c, err := r.loadCounter(ctx, t)
	if err != nil {
		return err
	}
	if c, err = r.nextEpoch(ctx, t, c); err != nil {
		return err
	}
	if err := r.storeCounter(ctx, t, c); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lease.wipe()
	return nil
}

// next hands out the tenant's next leaf and its key, from the running lease or from a new one.
func (r *Ring) next(ctx context.Context, t *tenant, key *seed) (Ref, error) {
	for {
		t.mu.Lock()
		if t.lease.top > 0 {
			ref := t.lease.pop(key)
			t.mu.Unlock()
			return ref, nil
		}
		t.mu.Unlock()
		if err := r.refill(ctx, t); err != nil {
			return Ref{}, err
		}
	}
}

// refill takes a lease when the running one is used up. One goroutine does so, the others wait for it.
func (r *Ring) refill(ctx context.Context, t *tenant) error {
	select {
	case t.refilling <- struct{}{}:
		defer func() { <-t.refilling }()
	case <-ctx.Done():
		return fmt.Errorf("wait for a lease of keys: %w", context.Cause(ctx))
	}
	t.mu.Lock()
	filled, leaves, taken := t.lease.top > 0, t.leaves, t.taken
	t.mu.Unlock()
	if filled {
		return nil
	}
	now := r.opts.Now()
	leaves = r.leaseSize(leaves, now.Sub(taken))
	var l leaseStack
	if err := r.take(ctx, t, leaves, &l); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if r.closed.Load() {
		l.wipe()
		return errClosed
	}
	t.lease, t.leaves, t.taken = l, leaves, now
	l.wipe()
	return nil
}

// leaseSize is how many leaves to take after a lease of last leaves went by in lasted. It follows the traffic: a bulk of
// a thousand from a cold tenant takes three leases, a tenant that writes rarely wastes little at a restart.
func (r *Ring) leaseSize(last uint32, lasted time.Duration) uint32 {
	low, high := uint32(r.opts.MinLease), min(uint32(r.opts.MaxLease), r.shape.leaves())
	low = min(low, high)
	switch {
	case last == 0:
		return low
	case lasted < time.Second:
		last *= 4
	case lasted < 10*time.Second:
		last *= 2
	case lasted > 10*time.Minute:
		last /= 2
	}
	return min(max(last, low), high)
}

// take leases an aligned subtree of the given number of leaves, a power of two. The counter is durable before any key of
// it leaves this function.
func (r *Ring) take(ctx context.Context, t *tenant, leaves uint32, l *leaseStack) error {
	unlock, err := r.driver.Lock(ctx, t.id, Scope{})
	if err != nil {
		return fmt.Errorf("lock lease of keys: %w", err)
	}
	defer unlock()
	c, err := r.loadCounter(ctx, t)
	if err != nil {
		return err
	}
	start := (c.next + leaves - 1) &^ (leaves - 1)
	if start+leaves > r.shape.leaves() {
		if c, err = r.nextEpoch(ctx, t, c); err != nil {
			return err
		}
		start = 0
	}
	height := bits.TrailingZeros32(leaves)
	var root seed
	defer clear(root[:])
	at, err := r.cover(ctx, t, Ref{c.epoch, start}, &root, storedOnly)
	if err != nil {
		return fmt.Errorf("lease keys: %w", err)
	}
	if at < height {
		return fmt.Errorf("keyring: keys from %d of epoch %d were destroyed before they were leased", start, c.epoch)
	}
	descend(&root, start, at, height)
	if err := r.storeCounter(ctx, t, counter{c.epoch, start + leaves}); err != nil {
		return err
	}
	l.begin(c.epoch, start, height, &root)
	return nil
}
