package sim

import (
	"context"
	"slices"
	"sync"
	"time"

	"auditlog/eventstore"
	"auditlog/projection"
)

const (
	visibility  = 5 * time.Second // before a message that was received comes again
	maxReceives = 5               // before it goes to the dead letters
)

// bus is a queue per destination: at least once for most messages, in no order.
type bus struct {
	*clock
	store  *store
	mu     sync.Mutex // guards all; held for an instant
	queues map[string][]*delivery
	ranges map[lane]projection.Ranges // that it took
	idle   map[string][]chan struct{} // consumers that wait for a message, in order of arrival
}

// delivery is a message in a queue.
type delivery struct {
	env      projection.Envelope
	visible  time.Duration
	receives int
}

func newBus(c *clock, s *store) *bus {
	return &bus{clock: c, store: s, queues: map[string][]*delivery{}, ranges: map[lane]projection.Ranges{}, idle: map[string][]chan struct{}{}}
}

// took tells whether the bus took everything up to an offset.
func (b *bus) took(at lane, o eventstore.Offset) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ranges[at].Cursor() >= o
}

// take takes an envelope and holds it to the relay's promise: exactly the events of its range.
func (b *bus) take(destination string, env projection.Envelope, after ...time.Duration) {
	if env.To <= env.From || !b.store.same(env.Shard, env.From, env.To, env.Events) {
		b.broken("I5", "an envelope to %s of shard %d, (%d, %d], has %d events that are not the log's", destination, env.Shard, env.From, env.To, len(env.Events))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	at := lane{env.Shard, destination}
	if b.ranges[at].Covers(projection.Range{From: env.From, To: env.To}) {
		b.sometimes("range published again")
	}
	b.ranges[at] = b.ranges[at].Add(projection.Range{From: env.From, To: env.To})
	for _, d := range after {
		b.queues[destination] = append(b.queues[destination], &delivery{env: env, visible: b.now() + d})
	}
	b.note("bus", "take "+destination, int64(env.Shard), int64(env.From), int64(env.To), int64(env.Epoch))
	if idle := b.idle[destination]; len(idle) > 0 {
		close(idle[0])
		b.idle[destination] = idle[1:]
	}
}

// receive gives a visible message, chosen by pick, and hides it for a while.
func (b *bus) receive(destination string, pick func(n int) int) *delivery {
	b.mu.Lock()
	defer b.mu.Unlock()
	var visible []*delivery
	kept := b.queues[destination][:0]
	for _, d := range b.queues[destination] {
		if d.visible <= b.now() && d.receives == maxReceives {
			b.sometimes("dead letter")
			continue
		}
		kept = append(kept, d)
		if d.visible <= b.now() {
			visible = append(visible, d)
		}
	}
	b.queues[destination] = kept
	if len(visible) == 0 {
		return nil
	}
	d := visible[pick(len(visible))]
	d.visible = b.now() + visibility
	if d.receives++; d.receives > 1 {
		b.sometimes("message received again")
	}
	return d
}

func (b *bus) delete(destination string, gone *delivery) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, d := range b.queues[destination] {
		if d == gone {
			b.queues[destination] = append(b.queues[destination][:i], b.queues[destination][i+1:]...)
			return
		}
	}
}

func (b *bus) giveBack(d *delivery, after time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	d.visible = b.now() + after
}

// enlist gives a channel that is closed when the bus takes a message for a consumer that waits.
func (b *bus) enlist(destination string) chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	ch := make(chan struct{})
	b.idle[destination] = append(b.idle[destination], ch)
	return ch
}

func (b *bus) delist(destination string, ch chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.idle[destination] = slices.DeleteFunc(b.idle[destination], func(c chan struct{}) bool { return c == ch })
}

// publisher is the bus as the relay of a process sees it.
type publisher struct {
	p       *process
	streams map[lane]*stream
}

func newPublisher(p *process) *publisher {
	b := &publisher{p, map[lane]*stream{}}
	for shard := range shards {
		for _, d := range destinations {
			b.streams[lane{eventstore.Shard(shard), d}] = p.w.stream("%s/publish/%d/%s", p.name, shard, d)
		}
	}
	return b
}

// Publish implements relay.Publisher.
func (b *publisher) Publish(ctx context.Context, destination string, env projection.Envelope) error {
	s := b.streams[lane{env.Shard, destination}]
	b.p.w.coordinator.mayPublish(hold{b.p.name, env.Shard, env.Epoch})
	if err := b.p.pause(ctx, s, s.usual()); err != nil {
		return err
	}
	if s.one(5) {
		return errLost
	}
	copies := []time.Duration{s.between(0, 20*time.Millisecond)}
	switch {
	case s.one(4):
		copies = nil
		b.p.w.sometimes("message lost")
	case s.one(6):
		copies = append(copies, s.between(0, 3*time.Second))
		b.p.w.sometimes("message doubled")
	case s.one(6):
		copies[0] = s.between(time.Second, 8*time.Second)
		b.p.w.sometimes("message late")
	}
	b.p.w.bus.take(destination, env, copies...)
	lost := s.one(5)
	if err := b.p.mayCrash(s, "between bus and relay"); err != nil {
		return err
	}
	if err := b.p.pause(ctx, s, s.between(0, time.Millisecond)); err != nil {
		return err
	}
	if lost {
		return errLost
	}
	return nil
}

// consume hands messages of a destination to the process's runner until the process ends.
func (p *process) consume(s *stream, destination string) {
	for {
		if p.pause(p.ctx, s, s.usual()) != nil {
			return
		}
		m := p.w.bus.receive(destination, s.n)
		if m == nil {
			p.idle(s, destination)
			continue
		}
		ctx, cancel := context.WithTimeout(p.ctx, s.until(s.between(time.Second, 10*time.Second)))
		err := p.runners[destination].Handle(ctx, m.env)
		cancel()
		if p.gone() {
			return
		}
		if err != nil {
			p.w.bus.giveBack(m, s.between(0, 2*time.Second))
			continue
		}
		p.w.models.mustHave(destination, m.env)
		p.w.note(s.name, "handled", int64(m.env.Shard), int64(m.env.From), int64(m.env.To))
		if p.pause(p.ctx, s, s.usual()) != nil || s.one(5) {
			continue // what it answered is lost: the message comes again
		}
		if p.mayCrash(s, "between effect and acknowledgement") != nil {
			return
		}
		p.w.bus.delete(destination, m)
	}
}

// idle waits for a message for a while.
func (p *process) idle(s *stream, destination string) {
	wake := p.w.bus.enlist(destination)
	defer p.w.bus.delist(destination, wake)
	t := time.NewTimer(s.until(s.between(500*time.Millisecond, 1500*time.Millisecond)))
	defer t.Stop()
	select {
	case <-t.C:
	case <-wake:
	case <-p.ctx.Done():
	}
}
