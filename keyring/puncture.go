package keyring

import (
	"context"
	"fmt"
	"slices"

	"auditlog/internal/fault"
)

// Puncture destroys the keys of the given leaves: on return they are gone from the store and from this process. Leaves
// already punctured are passed over, so an interrupted call is finished by repeating it. Each stored chunk is rewritten at
// most once per call, hence purge a range by one call. Leaves that were never leased are refused (fault.Invalid).
func (r *Ring) Puncture(ctx context.Context, tenant [16]byte, refs []Ref) error {
	t, err := r.tenant(ctx, tenant)
	if err != nil || len(refs) == 0 {
		return err
	}
	used, err := r.loadCounter(ctx, t)
	if err != nil {
		return err
	}
	leaves := map[uint32][]uint32{} // by epoch
	for _, ref := range refs {
		if ref.Index >= r.shape.leaves() || !used.passed(ref) {
			return fault.Newf(fault.Invalid, "key %d of epoch %d was never handed out", ref.Index, ref.Epoch)
		}
		leaves[ref.Epoch] = append(leaves[ref.Epoch], ref.Index)
	}
	// Also after a failure: part of the work may be durable.
	defer r.forget(t)
	defer t.dropLeaseOver(leaves)
	for epoch, indexes := range leaves {
		slices.Sort(indexes)
		if err := r.punctureEpoch(ctx, t, epoch, slices.Compact(indexes)); err != nil {
			return err
		}
	}
	return nil
}

// dropLeaseOver wastes the rest of the running lease when one of its coming leaves was punctured, which only happens to
// a leaf that sealed nothing: handing it out would seal a message that nobody can open.
func (t *tenant) dropLeaseOver(leaves map[uint32][]uint32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.lease.top == 0 {
		return
	}
	for _, index := range leaves[t.lease.epoch] {
		if index >= t.lease.next && index < t.lease.end {
			t.lease.wipe()
			return
		}
	}
}

func (r *Ring) punctureEpoch(ctx context.Context, t *tenant, epoch uint32, leaves []uint32) error {
	unlock, err := r.driver.Lock(ctx, t.id, Scope{Chunks: true, Epoch: epoch})
	if err != nil {
		return fmt.Errorf("lock key epoch: %w", err)
	}
	defer unlock()
	item := Item{Kind: Chunk, Epoch: epoch}
	root, err := r.loadChunk(ctx, t, item)
	if err != nil {
		return fmt.Errorf("%w; restore it from the newest backup", err)
	}
	s := strike{ring: r, tenant: t, item: item, chunk: root}
	defer s.chunk.wipe()
	return s.run(ctx, leaves)
}

// strike punctures the leaves below one chunk. Order is what makes a crash harmless: a child chunk is durable before its
// parent loses the covering seed, and a child is removed only after its parent has ceased to delegate to it.
type strike struct {
	ring    *Ring
	tenant  *tenant
	item    Item
	chunk   *chunk
	changed bool
	dead    [][2]uint32 // bottom nodes without keys, first and last: whatever lies below them is to be removed
}

func (s *strike) height() int { return s.ring.shape[s.item.Level] }
func (s *strike) below() int  { return s.ring.shape.below(s.item.Level) }

// run leaves an emptied chunk to its parent, which removes it; the root is kept even when empty.
func (s *strike) run(ctx context.Context, leaves []uint32) error {
	if err := s.visit(ctx, 1, 0, leaves); err != nil {
		return err
	}
	if s.chunk.empty() && s.item.Level > 0 {
		return nil
	}
	if s.changed {
		if err := s.ring.store(ctx, s.tenant, s.item, s.chunk.encode()); err != nil {
			return err
		}
	}
	return s.removeDead(ctx)
}

// visit walks to the seeds that cover the leaves, all of which lie below node.
func (s *strike) visit(ctx context.Context, node uint, depth int, leaves []uint32) error {
	switch {
	case len(leaves) == 0:
		return nil
	case s.chunk.has(node):
		held := s.chunk.take(node)
		defer clear(held[:])
		s.changed = true
		return s.split(ctx, node, depth, &held, leaves)
	case depth < s.height():
		left, right := s.halves(node, depth, leaves)
		if err := s.visit(ctx, 2*node, depth+1, left); err != nil {
			return err
		}
		return s.visit(ctx, 2*node+1, depth+1, right)
	case s.below() == 0:
		return nil // punctured before
	}
	slot := node - 1<<depth
	if s.chunk.isDelegated(slot) {
		return s.enter(ctx, slot, leaves)
	}
	s.kill(node, depth) // before; a crash may have left chunks below
	return nil
}

// split puts, in place of a seed that was taken out, those of the subtrees in which no leaf is punctured.
func (s *strike) split(ctx context.Context, node uint, depth int, held *seed, leaves []uint32) error {
	switch {
	case len(leaves) == 0:
		s.chunk.put(node, held)
		return nil
	case len(leaves) == 1<<(s.height()-depth+s.below()):
		s.kill(node, depth)
		return nil
	case depth == s.height():
		return s.descend(ctx, node-1<<depth, rootChunk(held), true, leaves)
	}
	var l, r seed
	child(&l, held, 0)
	child(&r, held, 1)
	defer clear(l[:])
	defer clear(r[:])
	left, right := s.halves(node, depth, leaves)
	if err := s.split(ctx, 2*node, depth+1, &l, left); err != nil {
		return err
	}
	return s.split(ctx, 2*node+1, depth+1, &r, right)
}

// enter punctures leaves below a bottom node that has a chunk of its own.
func (s *strike) enter(ctx context.Context, slot uint, leaves []uint32) error {
	if len(leaves) == 1<<s.below() {
		s.abandon(slot)
		return nil
	}
	c, err := s.ring.loadChunk(ctx, s.tenant, s.childItem(slot))
	if err != nil {
		return fmt.Errorf("%w; restore it from the newest backup", err)
	}
	return s.descend(ctx, slot, c, false, leaves)
}

func (s *strike) childItem(slot uint) Item {
	i := s.item
	i.Level++
	i.Index = i.Index<<s.height() | uint32(slot)
	return i
}

// descend strikes the child chunk of a bottom node; fresh when it is not stored yet.
func (s *strike) descend(ctx context.Context, slot uint, c *chunk, fresh bool, leaves []uint32) error {
	lower := strike{ring: s.ring, tenant: s.tenant, item: s.childItem(slot), chunk: c, changed: fresh}
	defer c.wipe()
	if err := lower.run(ctx, leaves); err != nil {
		return err
	}
	if c.empty() {
		s.abandon(slot)
	} else {
		s.chunk.delegate(slot)
	}
	return nil
}

// abandon turns a delegated bottom node into a dead one.
func (s *strike) abandon(slot uint) {
	s.chunk.undelegate(slot)
	s.changed = true
	s.kill(slot|1<<s.height(), s.height())
}

// kill notes that the bottom nodes below node hold nothing.
func (s *strike) kill(node uint, depth int) {
	if s.below() == 0 {
		return
	}
	up := s.height() - depth
	first := uint32(node-1<<depth) << up
	s.dead = append(s.dead, [2]uint32{first, first + 1<<up - 1})
}

// removeDead removes every chunk that lies below a dead bottom node, on all levels; most never existed.
func (s *strike) removeDead(ctx context.Context) error {
	for _, span := range s.dead {
		first, last := span[0]|s.item.Index<<s.height(), span[1]|s.item.Index<<s.height()
		for level := s.item.Level + 1; int(level) < len(s.ring.shape); level++ {
			if err := s.ring.driver.Remove(ctx, s.tenant.id, s.item.Epoch, level, first, last); err != nil {
				return fmt.Errorf("remove keys below %s: %w", s.ring.driver.Place(s.tenant.id, s.item), err)
			}
			h := s.ring.shape[level]
			first, last = first<<h, last<<h|(1<<h-1)
		}
	}
	return nil
}

// halves parts sorted leaves at the middle of the node's range.
func (s *strike) halves(node uint, depth int, leaves []uint32) (left, right []uint32) {
	size := uint32(1) << (s.height() - depth + s.below())
	start := s.item.Index<<(s.height()+s.below()) + uint32(node-1<<depth)*size
	at, _ := slices.BinarySearch(leaves, start+size/2)
	return leaves[:at], leaves[at:]
}
