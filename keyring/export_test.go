package keyring

import (
	"context"
	"errors"
	"testing"
)

// NewShaped makes a Ring over smaller trees.
func NewShaped(d Driver, o Options, heights ...int) *Ring { return newRing(d, o, heights) }

// StoredSeeds walks the chunks of an epoch as stored. It returns how many seeds they hold and the state of every leaf:
// true where a seed covers it.
func StoredSeeds(tb testing.TB, r *Ring, id [16]byte, epoch uint32) (seeds int, readable []bool) {
	tb.Helper()
	t, err := r.tenant(context.Background(), id)
	if err != nil {
		tb.Fatal(err)
	}
	readable = make([]bool, r.shape.leaves())
	var walk func(i Item)
	walk = func(i Item) {
		c, err := r.loadChunk(context.Background(), t, i)
		if err != nil {
			tb.Fatal(err)
		}
		h, below := r.shape[i.Level], r.shape.below(i.Level)
		var s seed
		for slot := range uint(1) << h {
			child := Item{Kind: Chunk, Epoch: epoch, Level: i.Level + 1, Index: i.Index<<h | uint32(slot)}
			switch _, found := c.find(slot, h, &s); found {
			case covered:
				for leaf := range 1 << below {
					readable[int(child.Index)<<below+leaf] = true
				}
			case delegated:
				walk(child)
			}
		}
		seeds += len(c.seeds)
	}
	walk(Item{Kind: Chunk, Epoch: epoch})
	return seeds, readable
}

// LeafKey is the key that Open uses for a leaf.
func LeafKey(tb testing.TB, r *Ring, id [16]byte, ref Ref) [32]byte {
	tb.Helper()
	t, err := r.tenant(context.Background(), id)
	if err != nil {
		tb.Fatal(err)
	}
	var s scratch
	if err := r.leafKey(context.Background(), t, ref, &s); err != nil {
		tb.Fatal(err)
	}
	return s.key
}

// Leaves hands out the leaves below a root as a lease does.
func Leaves(root [32]byte, height int) func() (Ref, [32]byte) {
	l := new(leaseStack)
	l.begin(0, 0, height, (*seed)(&root))
	return func() (Ref, [32]byte) {
		var key seed
		ref := l.pop(&key)
		return ref, key
	}
}

// LeavesStillHeld tells which leaves follow from the bytes that a lease keeps after handing out some. It tries every
// 32 bytes of the stack, in use or not, as every node of the tree.
func LeavesStillHeld(root [32]byte, height, handedOut int) (held []uint32) {
	l := new(leaseStack)
	l.begin(0, 0, height, (*seed)(&root))
	var key seed
	for range handedOut {
		l.pop(&key)
	}
	kept := map[seed]bool{}
	for _, s := range l.seeds {
		kept[s] = true
	}
	for index := range uint32(1) << height {
		for at := height; at >= 0; at-- {
			s := seed(root)
			descend(&s, index, height, at)
			if kept[s] {
				held = append(held, index)
				break
			}
		}
	}
	return held
}

// Orphan is a stored chunk to which no other delegates, with the leaves that its seeds cover.
type Orphan struct {
	Item   Item
	Leaves []uint32
}

// Orphans lists the chunks that a crash left beside the tree.
func Orphans(tb testing.TB, r *Ring, id [16]byte, epoch uint32) (orphans []Orphan) {
	tb.Helper()
	t, err := r.tenant(context.Background(), id)
	if err != nil {
		tb.Fatal(err)
	}
	reached := map[Item]bool{}
	var walk func(i Item)
	walk = func(i Item) {
		reached[i] = true
		c, err := r.loadChunk(context.Background(), t, i)
		if err != nil {
			tb.Fatal(err)
		}
		for slot := range uint(1) << r.shape[i.Level] {
			if c.isDelegated(slot) {
				walk(Item{Kind: Chunk, Epoch: epoch, Level: i.Level + 1, Index: i.Index<<r.shape[i.Level] | uint32(slot)})
			}
		}
	}
	walk(Item{Kind: Chunk, Epoch: epoch})
	for level := range r.shape {
		h, below := r.shape[level], r.shape.below(uint8(level))
		for index := range r.shape.leaves() >> (h + below) {
			item := Item{Kind: Chunk, Epoch: epoch, Level: uint8(level), Index: index}
			c, err := r.loadChunk(context.Background(), t, item)
			if errors.Is(err, ErrAbsent) || reached[item] {
				continue
			}
			if err != nil {
				tb.Fatal(err)
			}
			o := Orphan{Item: item}
			var s seed
			for slot := range uint32(1) << h {
				if _, found := c.find(uint(slot), h, &s); found == covered {
					for leaf := range uint32(1) << below {
						o.Leaves = append(o.Leaves, (index<<h|slot)<<below|leaf)
					}
				}
			}
			orphans = append(orphans, o)
		}
	}
	return orphans
}
