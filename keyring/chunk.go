package keyring

import (
	"encoding/binary"
	"errors"
	"math/bits"
	"slices"
)

// chunk is one stored piece of a punctured tree: the seeds, within a subtree of height ≤ 7, that cover its unpunctured
// leaves. Nodes are numbered as in a heap: the chunk's root is 1, the children of n are 2n and 2n+1. A bottom node is
// in one of three states: covered by a seed at or above it, delegated to a chunk of the next level, or dead.
type chunk struct {
	present   [4]uint64 // bit n: a seed of node n is held
	delegated [2]uint64 // bit s: bottom node s has a chunk of its own
	seeds     []seed    // of the present nodes, by number
}

const chunkHeader = (4 + 2) * 8

func rootChunk(s *seed) *chunk {
	c := new(chunk)
	c.put(1, s)
	return c
}

func (c *chunk) has(node uint) bool { return c.present[node>>6]>>(node&63)&1 == 1 }

// rank is the number of seeds held for nodes below the given one.
func (c *chunk) rank(node uint) int {
	n := bits.OnesCount64(c.present[node>>6] & (1<<(node&63) - 1))
	for _, word := range c.present[:node>>6] {
		n += bits.OnesCount64(word)
	}
	return n
}

func (c *chunk) put(node uint, s *seed) {
	if len(c.seeds) == cap(c.seeds) { // grown here rather than by Insert, which would leave a copy behind
		grown := append(make([]seed, 0, 64), c.seeds...)
		clear(c.seeds)
		c.seeds = grown
	}
	c.seeds = slices.Insert(c.seeds, c.rank(node), *s)
	c.present[node>>6] |= 1 << (node & 63)
}

// take removes the node's seed and returns it.
func (c *chunk) take(node uint) seed {
	at := c.rank(node)
	s := c.seeds[at]
	c.seeds = slices.Delete(c.seeds, at, at+1) // Delete clears the freed tail
	c.present[node>>6] &^= 1 << (node & 63)
	return s
}

func (c *chunk) isDelegated(slot uint) bool { return c.delegated[slot>>6]>>(slot&63)&1 == 1 }
func (c *chunk) delegate(slot uint)         { c.delegated[slot>>6] |= 1 << (slot & 63) }
func (c *chunk) undelegate(slot uint)       { c.delegated[slot>>6] &^= 1 << (slot & 63) }

func (c *chunk) empty() bool { return len(c.seeds) == 0 && c.delegated == [2]uint64{} }

func (c *chunk) wipe() {
	clear(c.seeds[:cap(c.seeds)])
	*c = chunk{}
}

// finding is what a chunk says about one of its bottom nodes.
type finding uint8

const (
	dead finding = iota
	covered
	delegated
)

// find looks up bottom node slot of a chunk of the given height. When it is covered, s receives the covering seed, which
// lies depth levels below the chunk's root.
func (c *chunk) find(slot uint, height int, s *seed) (depth int, f finding) {
	for depth = 0; depth <= height; depth++ {
		if node := 1<<depth | slot>>(height-depth); c.has(node) {
			*s = c.seeds[c.rank(node)]
			return depth, covered
		}
	}
	if c.isDelegated(slot) {
		return height, delegated
	}
	return height, dead
}

// encode gives the bit sets, little-endian, then the seeds in order of their nodes: at most 48 + 64·32 bytes.
func (c *chunk) encode() []byte {
	out := make([]byte, 0, chunkHeader+len(c.seeds)*len(seed{}))
	for _, word := range append(c.present[:], c.delegated[:]...) {
		out = binary.LittleEndian.AppendUint64(out, word)
	}
	for i := range c.seeds {
		out = append(out, c.seeds[i][:]...)
	}
	return out
}

var errChunkForm = errors.New("not a chunk of seeds")

// decodeChunk reads what encode wrote and wipes it.
func decodeChunk(in []byte) (*chunk, error) {
	defer clear(in)
	if len(in) < chunkHeader || (len(in)-chunkHeader)%len(seed{}) != 0 {
		return nil, errChunkForm
	}
	c := new(chunk)
	held := 0
	for i := range c.present {
		c.present[i] = binary.LittleEndian.Uint64(in[8*i:])
		held += bits.OnesCount64(c.present[i])
	}
	for i := range c.delegated {
		c.delegated[i] = binary.LittleEndian.Uint64(in[32+8*i:])
	}
	if held != (len(in)-chunkHeader)/len(seed{}) {
		return nil, errChunkForm
	}
	c.seeds = make([]seed, held)
	for i := range c.seeds {
		copy(c.seeds[i][:], in[chunkHeader+i*len(seed{}):])
	}
	return c, nil
}
