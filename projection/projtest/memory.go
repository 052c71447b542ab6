package projtest

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"auditlog/eventstore"
	"auditlog/projection"
)

// Memory is a log of one shard in memory whose events are bare, for tests of what moves events and never opens them.
type Memory struct {
	mu     sync.Mutex // guards all
	events []eventstore.Event
	head   eventstore.Offset
	wake   chan struct{}

	// Fail, when not nil, is called before each read; its error is the read's.
	Fail func() error
}

// NewMemory makes an empty log.
func NewMemory() *Memory { return &Memory{wake: make(chan struct{})} }

// Append adds n events.
func (m *Memory) Append(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for range n {
		m.head++
		m.events = append(m.events, eventstore.Event{
			Tenant: eventstore.TenantID{15: 1}, Offset: m.head, Position: eventstore.Position(m.head), ID: eventstore.NewEventID(),
			Type: eventstore.EntryRecorded, RecordedAt: eventstore.Micros(m.head), Public: []byte{255, '{', '}'}, Private: []byte("sealed"),
		})
	}
	close(m.wake)
	m.wake = make(chan struct{})
}

// Remove removes events, as a purge does.
func (m *Memory) Remove(doomed func(eventstore.Offset) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var kept []eventstore.Event
	for _, e := range m.events {
		if !doomed(e.Offset) {
			kept = append(kept, e)
		}
	}
	m.events = kept
}

// Change changes an event of the log.
func (m *Memory) Change(o eventstore.Offset, f func(*eventstore.Event)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.events {
		if m.events[i].Offset == o {
			f(&m.events[i])
		}
	}
}

// Offsets are those of all events.
func (m *Memory) Offsets() (all []eventstore.Offset) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.events {
		all = append(all, e.Offset)
	}
	return all
}

// Shards implements projection.Source.
func (m *Memory) Shards() int { return 1 }

// ShardHead implements projection.Source.
func (m *Memory) ShardHead(_ context.Context, shard eventstore.Shard) (eventstore.ShardHead, error) {
	if shard != 0 {
		return eventstore.ShardHead{}, fmt.Errorf("memory: shard %d", shard)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return eventstore.ShardHead{Offset: m.head}, nil
}

// ReadShard implements projection.Source.
func (m *Memory) ReadShard(_ context.Context, shard eventstore.Shard, after eventstore.Offset, limit int) ([]eventstore.Event, error) {
	if shard != 0 || limit <= 0 || after < 0 {
		return nil, fmt.Errorf("memory: read shard %d after %d, limit %d", shard, after, limit)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.Fail != nil {
		if err := m.Fail(); err != nil {
			return nil, err
		}
	}
	var page []eventstore.Event
	for _, e := range m.events {
		if e.Offset > after && len(page) < limit {
			page = append(page, e)
		}
	}
	return page, nil
}

// Appended implements relay.Source.
func (m *Memory) Appended(eventstore.Shard) <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.wake
}

// Counter is a projector in memory that counts how often each event took effect. It complains about envelopes that do
// not keep their promises.
type Counter struct {
	mu    sync.Mutex // guards all
	done  projection.Ranges
	times map[eventstore.Offset]int

	// Before, when not nil, decides about an envelope before any effect; After runs between effect and range. Their
	// error is Apply's.
	Before func(env projection.Envelope) error
	After  func(env projection.Envelope) error
}

// Name implements projection.Projector.
func (c *Counter) Name() string { return "counter" }

// Apply implements projection.Projector: effects are idempotent, as in an index, and the range is added after them.
func (c *Counter) Apply(_ context.Context, env projection.Envelope) error { return c.apply(env, false) }

// Reapply implements projection.Reapplier.
func (c *Counter) Reapply(_ context.Context, env projection.Envelope) error {
	return c.apply(env, true)
}

func (c *Counter) apply(env projection.Envelope, again bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := env.From
	for _, e := range env.Events {
		if e.Offset <= at || e.Offset > env.To {
			return fmt.Errorf("counter: event %d in (%d, %d] after %d", e.Offset, env.From, env.To, at)
		}
		at = e.Offset
	}
	if env.To < env.From {
		return errors.New("counter: range ends before it starts")
	}
	if c.Before != nil {
		if err := c.Before(env); err != nil {
			return err
		}
	}
	if c.times == nil {
		c.times = map[eventstore.Offset]int{}
	}
	for _, e := range env.Events {
		if again || !c.done.Has(e.Offset) {
			c.times[e.Offset]++
		}
	}
	if c.After != nil {
		if err := c.After(env); err != nil {
			return err
		}
	}
	c.done = c.done.Add(projection.Range{From: env.From, To: env.To})
	return nil
}

// Progress implements projection.Projector.
func (c *Counter) Progress(context.Context, eventstore.Shard) (projection.Ranges, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.done, nil
}

// Times is how often the event took effect.
func (c *Counter) Times(o eventstore.Offset) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.times[o]
}
