package keyring

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

type chunkKey struct {
	tenant *tenant
	epoch  uint32
	level  uint8
	index  uint32
}

// chunkCache keeps a bounded number of decrypted chunks and evicts those that were not used since the hand of a clock
// last passed. A chunk inside is wiped when it leaves, so it is never lent out: find copies the one seed asked for.
type chunkCache struct {
	mu   sync.RWMutex
	held map[chunkKey]int // place in ring
	ring []cachedChunk    // bounded by its capacity; a nil chunk is a free place
	hand int
}

type cachedChunk struct {
	key   chunkKey
	chunk *chunk
	used  atomic.Bool
}

func newChunkCache(size int) *chunkCache {
	return &chunkCache{held: map[chunkKey]int{}, ring: make([]cachedChunk, size)}
}

func (c *chunkCache) find(key chunkKey, slot uint, height int, s *seed) (depth int, f finding, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	at, ok := c.held[key]
	if !ok {
		return 0, dead, false
	}
	if e := &c.ring[at]; !e.used.Load() {
		e.used.Store(true)
	}
	depth, f = c.ring[at].chunk.find(slot, height, s)
	return depth, f, true
}

// add takes over a chunk that was read in the given generation; false when it is not wanted.
func (c *chunkCache) add(key chunkKey, read *chunk, generation uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.held[key]; ok || key.tenant.generation.Load() != generation {
		return false
	}
	for c.ring[c.hand].chunk != nil && c.ring[c.hand].used.Swap(false) {
		c.hand = (c.hand + 1) % len(c.ring)
	}
	c.free(c.hand)
	c.ring[c.hand].key, c.ring[c.hand].chunk = key, read
	c.held[key] = c.hand
	c.hand = (c.hand + 1) % len(c.ring)
	return true
}

func (c *chunkCache) drop(t *tenant) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, at := range c.held {
		if key.tenant == t {
			c.free(at)
		}
	}
}

// free wipes and empties one place; mu is held.
func (c *chunkCache) free(at int) {
	e := &c.ring[at]
	if e.chunk == nil {
		return
	}
	delete(c.held, e.key)
	e.chunk.wipe()
	e.key, e.chunk = chunkKey{}, nil
	e.used.Store(false)
}

// pathHeight is that of the subtrees for which a path is remembered: 64 leaves.
const pathHeight = 6

// path is the line of seeds from the top of a 64-leaf subtree, or from the seed stored inside it, down to one leaf. A
// neighbour's key is derived from where the two lines part: two hashes on average when leaves come in order.
type path struct {
	epoch uint32
	index uint32
	top   int                  // height of the highest seed held
	seeds [pathHeight + 1]seed // by height; seeds[0] is the leaf's key
}

// begin puts the line from s, at the given height, to the leaf.
func (p *path) begin(ref Ref, s *seed, height int) {
	p.epoch, p.index, p.top = ref.Epoch, ref.Index, min(height, pathHeight)
	descend(s, ref.Index, height, p.top)
	p.seeds[p.top] = *s
	p.derive(p.top)
}

// turn moves the line to another leaf; false when no seed held is above that leaf.
func (p *path) turn(ref Ref) bool {
	parting := bits.Len32(p.index ^ ref.Index)
	if p.epoch != ref.Epoch || parting > p.top {
		return false
	}
	p.index = ref.Index
	p.derive(parting)
	return true
}

// derive makes the seeds below the given height follow index.
func (p *path) derive(height int) {
	for h := height - 1; h >= 0; h-- {
		child(&p.seeds[h], &p.seeds[h+1], byte(p.index>>h)&1)
	}
}

// pathSlot remembers one path of whichever tenant came last.
type pathSlot struct {
	mu     sync.Mutex
	tenant *tenant // nil when empty
	path   path
}

func (r *Ring) pathSlot(t *tenant, ref Ref) *pathSlot {
	mix := uint64(ref.Epoch)<<32 | uint64(ref.Index>>pathHeight)
	for i, b := range t.id[8:] {
		mix ^= uint64(b) << (8 * i)
	}
	mix *= 0x9E3779B97F4A7C15 // 2^64 / golden ratio: spreads neighbours
	mix ^= mix >> 32
	return &r.paths[mix%uint64(len(r.paths))]
}

// key derives the leaf's key when the slot holds a seed above it.
func (p *pathSlot) key(t *tenant, ref Ref, key *seed) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tenant != t || !p.path.turn(ref) {
		return false
	}
	*key = p.path.seeds[0]
	return true
}

// keep replaces what the slot holds by a path read in the given generation.
func (p *pathSlot) keep(t *tenant, read *path, generation uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t.generation.Load() == generation {
		p.tenant, p.path = t, *read
	}
}

func (p *pathSlot) drop(t *tenant) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tenant == t {
		p.tenant, p.path = nil, path{}
	}
}
