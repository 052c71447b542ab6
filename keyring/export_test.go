package keyring

import (
	"context"
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
