package keyring

import "crypto/sha256"

// seed is the secret of one tree node; at depth 20 it is the AES-256 key of one message.
type seed [32]byte

// child puts child b (0 left, 1 right) of parent into dst, which may be parent itself. One compression block.
func child(dst, parent *seed, b byte) {
	var in [49]byte
	copy(in[:], "auditlog/tree/v1")
	copy(in[16:], parent[:])
	in[48] = b
	*dst = sha256.Sum256(in[:])
}

// descend replaces s, a seed at height from above leaf index, by the one at height to above the same leaf.
func descend(s *seed, index uint32, from, to int) {
	for h := from - 1; h >= to; h-- {
		child(s, s, byte(index>>h)&1)
	}
}

// shape is the height of each chunk level, from the top.
type shape []int

// fullShape is that of event format version 1: 2^20 leaves. Heights of at most 7 keep a node's number in one byte, a
// chunk within 64 seeds, and whatever one puncture rewrites within 4 KiB.
var fullShape = shape{7, 7, 6}

// maxHeight bounds a tree, and so the stack of a lease.
const maxHeight = 20

func (s shape) height() int {
	total := 0
	for _, h := range s {
		total += h
	}
	return total
}

func (s shape) leaves() uint32 { return 1 << s.height() }

// below is the height of the roots of the chunks under the given level: 0 for the last one.
func (s shape) below(level uint8) int { return s[level+1:].height() }

// leaseStack hands out the leaves of one subtree in order. It holds the seeds that cover the leaves not yet handed out
// and no others, so what was handed out cannot be derived from it.
type leaseStack struct {
	epoch   uint32
	next    uint32 // leaf that pop hands out
	end     uint32 // first leaf behind the subtree
	top     int    // number of seeds on the stack
	seeds   [maxHeight + 1]seed
	heights [maxHeight + 1]uint8
}

// begin fills an empty stack with the subtree of the given height whose first leaf is start.
func (l *leaseStack) begin(epoch, start uint32, height int, s *seed) {
	l.epoch, l.next, l.end = epoch, start, start+1<<height
	l.seeds[0], l.heights[0], l.top = *s, uint8(height), 1
}

// pop moves the next leaf into key; the stack must not be empty. About two hashes on average.
func (l *leaseStack) pop(key *seed) Ref {
	l.top--
	*key = l.seeds[l.top]
	clear(l.seeds[l.top][:])
	for h := l.heights[l.top]; h > 0; {
		h--
		child(&l.seeds[l.top], key, 1)
		l.heights[l.top] = h
		l.top++
		child(key, key, 0)
	}
	ref := Ref{Epoch: l.epoch, Index: l.next}
	l.next++
	return ref
}

// wipe forgets what was not handed out; those leaves are wasted.
func (l *leaseStack) wipe() { *l = leaseStack{} }
