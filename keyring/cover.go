package keyring

import (
	"context"
	"errors"
	"fmt"
)

// freshness says whether a look-up may be answered from memory.
type freshness bool

const (
	cachedToo  freshness = false
	storedOnly freshness = true
)

// maxTears bounds how often a look-up begins again because a puncture rewrote what it was reading. Each rewrite is in
// place before the old bytes are wiped, so that needing more means damage.
const maxTears = 4

// cover puts the stored seed above a leaf into s and returns its height; ErrPunctured when there is none. No lock is
// needed: a reader beside a puncture sees the tree before or after it.
func (r *Ring) cover(ctx context.Context, t *tenant, ref Ref, s *seed, f freshness) (height int, err error) {
	if ref.Index >= r.shape.leaves() {
		return 0, fmt.Errorf("keyring: key index %d is outside of an epoch", ref.Index)
	}
	for range maxTears {
		height, err = r.walk(ctx, t, ref, s, f)
		if !errors.Is(err, errTorn) && !errors.Is(err, ErrAbsent) {
			return height, err
		}
		r.forget(t) // an upper chunk read earlier may name a lower one that is gone
	}
	return 0, fmt.Errorf("%w; the key store is damaged: restore this file from the newest backup", err)
}

func (r *Ring) walk(ctx context.Context, t *tenant, ref Ref, s *seed, f freshness) (height int, err error) {
	height = r.shape.height()
	for level, h := range r.shape {
		bottom := r.shape.below(uint8(level))
		item := Item{Kind: Chunk, Epoch: ref.Epoch, Level: uint8(level), Index: ref.Index >> (bottom + h)}
		slot := uint(ref.Index>>bottom) & (1<<h - 1)
		depth, found, err := r.look(ctx, t, item, slot, h, s, f)
		if err != nil {
			return 0, err
		}
		switch found {
		case covered:
			return height - depth, nil
		case dead:
			return 0, ErrPunctured
		case delegated:
			height -= h
		}
	}
	return 0, fmt.Errorf("keyring: a lowest chunk of epoch %d delegates: the key store is damaged", ref.Epoch)
}

// look asks one chunk, in the cache or as stored, for one of its bottom nodes.
func (r *Ring) look(ctx context.Context, t *tenant, i Item, slot uint, h int, s *seed, f freshness) (int, finding, error) {
	key := chunkKey{t, i.Epoch, i.Level, i.Index}
	if f == cachedToo {
		if depth, found, ok := r.chunks.find(key, slot, h, s); ok {
			return depth, found, nil
		}
	}
	generation := t.generation.Load()
	c, err := r.loadChunk(ctx, t, i)
	if err != nil {
		return 0, dead, err
	}
	depth, found := c.find(slot, h, s)
	if f == storedOnly || !r.chunks.add(key, c, generation) {
		c.wipe()
	}
	return depth, found, nil
}

// forget drops the tenant's cached seeds. A look-up that read before this cannot leave its findings behind after it:
// what it adds carries the generation in which it began.
func (r *Ring) forget(t *tenant) {
	t.cachedSince.Store(r.opts.Now().UnixNano())
	t.generation.Add(1)
	r.chunks.drop(t)
	for i := range r.paths {
		r.paths[i].drop(t)
	}
}
