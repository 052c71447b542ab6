package limit

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"
)

// Key says whose rate it is: an id, or a hash of a name.
type Key [16]byte

// Verdict is what a limiter says.
type Verdict struct {
	OK        bool
	Rate      Rate          // that holds for the key
	Remaining int64         // what would pass now, after this
	Wait      time.Duration // when not OK: after which it may pass
}

// Options of a Limiter. Zero values take the defaults.
type Options struct {
	Keys int              // that are remembered; default 32,768
	Own  map[Key]Rate     // of keys that have a rate of their own
	Now  func() time.Time // default time.Now
}

const (
	defaultKeys = 1 << 15
	stripes     = 32
)

// Limiter keeps a rate for each key. It is safe for concurrent use; a nil one lets everything pass.
type Limiter struct {
	name  string
	rate  Rate
	own   map[Key]Rate
	now   func() time.Time
	epoch time.Time
	keys  int // in each stripe

	parts atomic.Int64  // processes that share the rate, this one included
	wake  chan struct{} // told that keys wait for the ledger; of the Sharer, nil without one

	stripes [stripes]stripe
}

type stripe struct {
	mu    sync.Mutex
	cells map[Key]cell // guarded by mu, as the next
	asks  []Key        // those of cells that wait for the ledger
}

// New makes a limiter of a name, by which processes that share the rate know it.
func New(name string, rate Rate, o Options) *Limiter {
	rate.check()
	for _, r := range o.Own {
		r.check()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Keys <= 0 {
		o.Keys = defaultKeys
	}
	l := &Limiter{name: name, rate: rate, own: o.Own, now: o.Now, epoch: o.Now(), keys: max(o.Keys/stripes, 1)}
	l.parts.Store(1)
	for i := range l.stripes {
		l.stripes[i].cells = map[Key]cell{}
	}
	return l
}

// Take lets n events of a key pass, or none of them.
func (l *Limiter) Take(key Key, n int) Verdict { return l.decide(key, int64(n), true) }

// Look tells whether one event would pass.
func (l *Limiter) Look(key Key) Verdict { return l.decide(key, 1, false) }

func (l *Limiter) decide(key Key, n int64, take bool) Verdict {
	if l == nil {
		return Verdict{OK: true}
	}
	rate := l.of(key)
	if rate.Off() {
		return Verdict{OK: true}
	}
	now, parts := int64(l.now().Sub(l.epoch)), l.parts.Load()
	s := &l.stripes[stripeOf(key)]
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.cells[key]
	v := Verdict{Rate: rate}
	if take {
		v.OK = c.take(rate, n, parts, now)
	} else {
		v.OK = c.left(rate, parts, now) >= n
	}
	v.Remaining = c.left(rate, parts, now)
	if !v.OK {
		v.Wait = time.Duration(c.wait(rate, n, parts, now))
	}
	if l.wake != nil && parts > 1 {
		if !v.OK {
			c.lacked = min(max(c.lacked, n), rate.Burst())
		}
		if c.asking == quiet && c.asks(rate, now) {
			c.asking = waiting
			s.asks = append(s.asks, key)
			select {
			case l.wake <- struct{}{}:
			default: // it is awake
			}
		}
	}
	if take || c.asking != quiet {
		s.put(key, c, now, l)
	}
	return v
}

func (l *Limiter) of(key Key) Rate {
	if len(l.own) > 0 {
		if r, ok := l.own[key]; ok {
			return r
		}
	}
	return l.rate
}

// Keys is how many keys are remembered.
func (l *Limiter) Keys() (n int) {
	for i := range l.stripes {
		s := &l.stripes[i]
		s.mu.Lock()
		n += len(s.cells)
		s.mu.Unlock()
	}
	return n
}

// stripeOf spreads keys: both ends of a UUIDv7 and of a hash differ.
func stripeOf(key Key) uint64 {
	return (binary.LittleEndian.Uint64(key[8:]) * 0x9E3779B97F4A7C15) >> 59
}

// examined is how many keys are looked at to make room for one: enough that those at rest go faster than new ones come.
const examined = 8

// put keeps a cell. When there is no room it drops what is at rest among a few, and if nothing is, the one that is the
// nearest to it.
func (s *stripe) put(key Key, c cell, now int64, l *Limiter) {
	if _, known := s.cells[key]; !known && len(s.cells) >= l.keys {
		var nearest Key
		seen, least := 0, int64(0)
		for k, other := range s.cells { // begins anywhere
			if other.idle(l.of(k), now) {
				delete(s.cells, k)
			} else if seen == 0 || other.full < least {
				nearest, least = k, other.full
			}
			if seen++; seen == examined {
				break
			}
		}
		if len(s.cells) >= l.keys {
			delete(s.cells, nearest)
		}
	}
	s.cells[key] = c
}
