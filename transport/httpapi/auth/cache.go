package auth

import (
	"crypto/sha256"
	"sync"
	"time"
)

// cacheSize bounds the remembered tokens; about 400 bytes each. Of 10,000 clients that take turns, a smaller cache forgets
// each before it comes again.
const cacheSize = 1 << 15

type tokenHash [sha256.Size]byte

func hashOf(token string) tokenHash { return sha256.Sum256([]byte(token)) }

// cache remembers verified tokens by hash, never the tokens themselves. When it is full, expired ones go first, then any.
type cache struct {
	max int

	mu   sync.RWMutex
	byID map[tokenHash]*Principal // guarded by mu
}

func newCache(size int) *cache { return &cache{max: size, byID: make(map[tokenHash]*Principal)} }

func (c *cache) get(key tokenHash) *Principal {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.byID[key]
}

func (c *cache) put(key tokenHash, p *Principal, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.byID) >= c.max {
		c.evict(now)
	}
	c.byID[key] = p
}

// evict makes room for at least one. Go's map order is random enough to choose victims.
func (c *cache) evict(now time.Time) {
	for key, p := range c.byID {
		if now.After(p.Expires.Add(Leeway)) {
			delete(c.byID, key)
		}
	}
	for key := range c.byID {
		if len(c.byID) <= c.max-c.max/8 {
			return
		}
		delete(c.byID, key)
	}
}
