package sim

import (
	"context"
	"errors"
	"sync"
	"time"

	"auditlog/eventstore"
	"auditlog/projection/relay"
)

const leaseLife = 2 * time.Second

var errLost = errors.New("the connection broke")

// coordinator keeps leases and cursors, durably.
type coordinator struct {
	*clock
	mu      sync.Mutex // guards all; held for an instant
	leases  [shards]lease
	cursors map[lane]eventstore.Offset
	fenced  map[hold]time.Duration // when a lane was told that its lease is gone
	bus     *bus
}

type lane struct {
	shard       eventstore.Shard
	destination string
}

type hold struct {
	holder string
	shard  eventstore.Shard
	epoch  uint64
}

type lease struct {
	holder string
	epoch  uint64
	until  time.Duration
}

func newCoordinator(c *clock, b *bus) *coordinator {
	return &coordinator{clock: c, bus: b, cursors: map[lane]eventstore.Offset{}, fenced: map[hold]time.Duration{}}
}

// acquire takes the lease unless another holds it.
func (c *coordinator) acquire(shard eventstore.Shard, holder string) (epoch uint64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := &c.leases[shard]
	if l.until > c.now() {
		return 0, false
	}
	*l = lease{holder, l.epoch + 1, c.now() + leaseLife}
	c.note(holder, "lease", int64(shard), int64(l.epoch))
	return l.epoch, true
}

func (c *coordinator) renew(h hold) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := &c.leases[h.shard]
	if l.holder != h.holder || l.epoch != h.epoch {
		return false
	}
	l.until = c.now() + leaseLife
	return true
}

func (c *coordinator) release(h hold) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l := &c.leases[h.shard]; l.holder == h.holder && l.epoch == h.epoch {
		l.until = 0
	}
}

// save moves a cursor for the holder of the lease alone, and never beyond what the bus took.
func (c *coordinator) save(h hold, destination string, o eventstore.Offset) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	l, at := c.leases[h.shard], lane{h.shard, destination}
	if l.holder != h.holder || l.epoch != h.epoch {
		c.sometimes("fenced relay")
		c.fenced[h] = c.now()
		c.note(h.holder, "fenced "+destination, int64(h.shard), int64(h.epoch))
		return relay.ErrFenced
	}
	if !c.bus.took(at, o) {
		c.broken("relay", "the cursor of shard %d to %s is at %d, beyond what the bus took", h.shard, destination, o)
	}
	c.cursors[at] = max(c.cursors[at], o)
	c.note(h.holder, "cursor "+destination, int64(h.shard), int64(o))
	return nil
}

// mayPublish holds a lane to what it was told: nothing is begun under an epoch that is over.
func (c *coordinator) mayPublish(h hold) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at, told := c.fenced[h]; told && at < c.now() {
		c.broken("relay", "%s goes on under epoch %d of shard %d, which it was told is over", h.holder, h.epoch, h.shard)
	}
}

func (c *coordinator) cursor(at lane) eventstore.Offset {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cursors[at]
}

// leases are the leases as one process sees them.
type leases struct {
	p       *process
	streams [shards]*stream
}

func newLeases(p *process) *leases {
	l := &leases{p: p}
	for i := range l.streams {
		l.streams[i] = p.w.stream("%s/lease/%d", p.name, i)
	}
	return l
}

// Acquire implements relay.Lease.
func (l *leases) Acquire(ctx context.Context, shard eventstore.Shard) (context.Context, uint64, error) {
	s := l.streams[shard]
	for {
		if err := l.p.pause(ctx, s, s.between(time.Millisecond, 400*time.Millisecond)); err != nil {
			return nil, 0, err
		}
		if s.one(5) {
			return nil, 0, errLost
		}
		if epoch, ok := l.p.w.coordinator.acquire(shard, l.p.name); ok {
			h := hold{l.p.name, shard, epoch}
			held, end := context.WithCancel(ctx)
			keeper := l.p.w.stream("%s/keep/%d/%d", l.p.name, shard, epoch)
			l.p.running.Go(func() { l.keep(held, end, keeper, h) })
			return held, epoch, nil
		}
	}
}

// keep renews a hold until it ends. Some lose it and know; some sleep while it goes to another, and wake up sure of it.
func (l *leases) keep(held context.Context, end context.CancelFunc, s *stream, h hold) {
	defer end()
	for {
		if l.p.pause(held, s, s.between(leaseLife/4, leaseLife/2)) != nil {
			return
		}
		switch {
		case s.one(8):
			l.p.w.sometimes("lease lost")
			return
		case s.one(12):
			l.p.w.sometimes("relay asleep beyond its lease")
			_ = l.p.pause(held, s, leaseLife+s.between(0, 3*leaseLife))
			return
		}
		if !l.p.w.coordinator.renew(h) {
			return
		}
	}
}

// Release implements relay.Lease. A dead process releases nothing.
func (l *leases) Release(shard eventstore.Shard, epoch uint64) {
	if !l.p.gone() {
		l.p.w.coordinator.release(hold{l.p.name, shard, epoch})
	}
}

// cursors are the relay's cursors as one process sees them.
type cursors struct {
	p       *process
	streams map[lane]*stream
}

func newCursors(p *process) *cursors {
	c := &cursors{p, map[lane]*stream{}}
	for shard := range shards {
		for _, d := range destinations {
			c.streams[lane{eventstore.Shard(shard), d}] = p.w.stream("%s/cursor/%d/%s", p.name, shard, d)
		}
	}
	return c
}

// Load implements relay.Cursors.
func (c *cursors) Load(ctx context.Context, shard eventstore.Shard, destination string) (eventstore.Offset, error) {
	at := lane{shard, destination}
	s := c.streams[at]
	if err := c.p.pause(ctx, s, s.usual()); err != nil {
		return 0, err
	}
	if s.one(5) {
		return 0, errLost
	}
	return c.p.w.coordinator.cursor(at), nil
}

// Save implements relay.Cursors.
func (c *cursors) Save(ctx context.Context, shard eventstore.Shard, destination string, epoch uint64, o eventstore.Offset) error {
	s := c.streams[lane{shard, destination}]
	if err := c.p.pause(ctx, s, s.usual()); err != nil {
		return err
	}
	if s.one(5) {
		return errLost
	}
	if err := c.p.mayCrash(s, "between publishing and cursor"); err != nil {
		return err
	}
	if err := c.p.w.coordinator.save(hold{c.p.name, shard, epoch}, destination, o); err != nil {
		return err
	}
	lost := s.one(5)
	if err := c.p.pause(ctx, s, s.between(0, time.Millisecond)); err != nil {
		return err
	}
	if lost {
		return errLost
	}
	return nil
}
