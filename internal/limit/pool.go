package limit

import (
	"sync"
	"time"
)

// Pool bounds how much of something is held at once. One key may hold at most seven times what is free, so a flood of one
// leaves an eighth to others. It is safe for concurrent use; a nil one holds everything.
type Pool struct {
	size int64
	now  func() time.Time

	mu   sync.Mutex
	held int64         // guarded by mu, as all that follows
	by   map[Key]int64 // of each key that holds something

	given   int64     // since began
	began   time.Time // of the present measure of how fast it drains
	drained float64   // a second, in the measure before; below 0 while there was none since the pool was empty
}

// generosity is how many times what is free one key may hold.
const generosity = 7

// measure is over how long the drain rate is taken.
const measure = time.Second

// Bounds of what Wait says.
const (
	minWait = time.Second
	maxWait = 30 * time.Second
)

// NewPool makes a pool of a size; 0 and below: nil, which has no bound.
func NewPool(size int64, now func() time.Time) *Pool {
	if size <= 0 {
		return nil
	}
	if now == nil {
		now = time.Now
	}
	return &Pool{size: size, now: now, by: map[Key]int64{}, began: now(), drained: -1}
}

// Take holds n more for a key, or nothing.
func (p *Pool) Take(key Key, n int64) bool {
	if p == nil {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	mine := p.by[key]
	if free := p.size - p.held; n > free || mine >= generosity*free {
		return false
	}
	if p.held == 0 {
		p.given, p.began, p.drained = 0, p.now(), -1
	}
	p.held += n
	p.by[key] = mine + n
	return true
}

// Give gives back n that a key holds.
func (p *Pool) Give(key Key, n int64) {
	if p == nil || n == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held -= n
	if p.by[key] -= n; p.by[key] == 0 {
		delete(p.by, key)
	}
	p.given += n
	p.drain()
}

// drain starts a new measure when the present one is long enough.
func (p *Pool) drain() {
	if took := p.now().Sub(p.began); took >= measure {
		p.drained = float64(p.given) / took.Seconds()
		p.given, p.began = 0, p.began.Add(took)
	}
}

// Wait is when to try again: the time in which as much was given back lately as is held now, 1 s to 30 s.
func (p *Pool) Wait() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drain()
	switch {
	case p.drained < 0:
		return minWait
	case p.drained == 0:
		return maxWait
	}
	return min(max(time.Duration(float64(p.held)/p.drained*float64(time.Second)), minWait), maxWait)
}

// Held is how much is held.
func (p *Pool) Held() int64 {
	if p == nil {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.held
}

// Size is how much may be held; 0: without bound.
func (p *Pool) Size() int64 {
	if p == nil {
		return 0
	}
	return p.size
}
