// Package inproc is the bus of the embedded tier: watermill's gochannel, one for each destination, so that none waits
// for another. Nothing is kept: the store and the relay's cursors are the durable part.
//
// Publish returns nil only after the destination's handler took every message, so at most one envelope per relay lane
// is in memory, and a slow projection slows its own lane alone.
package inproc

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"

	"auditlog/projection"
	"auditlog/transport/bus"
)

// ErrNotTaken says that no handler took the message: none is registered, or the bus is closing.
var ErrNotTaken = errors.New("no handler took the message")

// Bus is safe for concurrent use.
type Bus struct {
	router  *message.Router
	source  projection.Source
	memo    memo
	mu      sync.Mutex // guards queues and closed
	queues  map[string]*gochannel.GoChannel
	closed  bool
	pending sync.Map       // message UUID → chan struct{}, closed when the handler took it
	waiting sync.WaitGroup // publishes whose caller may have left
}

// New makes a bus. source is where pointers to events too large for a message lead.
func New(source projection.Source, o bus.RouterOptions) (*Bus, error) {
	b := &Bus{source: source, queues: map[string]*gochannel.GoChannel{}}
	o.Outermost = b.noteTaken
	router, err := bus.NewRouter(o)
	if err != nil {
		return nil, fmt.Errorf("in-process bus: %w", err)
	}
	b.router = router
	return b, nil
}

// Subscribe registers the handler of a destination, before Run. A second one for the same destination is a mistake of
// the caller and panics in watermill.
func (b *Bus) Subscribe(destination string, handle func(context.Context, projection.Envelope) error) {
	queue := gochannel.NewGoChannel(gochannel.Config{BlockPublishUntilSubscriberAck: true}, b.router.Logger())
	b.mu.Lock()
	b.queues[destination] = queue
	b.mu.Unlock()
	b.router.AddConsumerHandler(destination, destination, queue, bus.Handler(b.source, handle))
}

// noteTaken sees the final verdict on a message, since it stands outside all other middlewares.
func (b *Bus) noteTaken(h message.HandlerFunc) message.HandlerFunc {
	return func(m *message.Message) ([]*message.Message, error) {
		out, err := h(m)
		if taken, ok := b.pending.Load(m.UUID); ok && err == nil {
			close(taken.(chan struct{}))
		}
		return out, err
	}
}

// Run delivers until ctx ends. It returns once no handler is at work, or nil after Close.
func (b *Bus) Run(ctx context.Context) error {
	if err := b.router.Run(ctx); err != nil {
		return fmt.Errorf("in-process bus: %w", err)
	}
	return ctx.Err()
}

// Running is closed once messages are delivered.
func (b *Bus) Running() <-chan struct{} { return b.router.Running() }

// Publish hands the envelope to the destination and waits until it is taken. An error means that part of it may not have
// been: publish it again. When ctx ends the wait ends, and the envelope may still arrive.
func (b *Bus) Publish(ctx context.Context, destination string, env projection.Envelope) error {
	payloads, err := b.memo.encode(env)
	if err != nil {
		return fmt.Errorf("publish to %s: %w", destination, err)
	}
	for _, m := range bus.Messages(env, payloads) {
		if err := b.publish(ctx, destination, m); err != nil {
			return fmt.Errorf("publish to %s: %w", destination, err)
		}
	}
	return nil
}

func (b *Bus) publish(ctx context.Context, destination string, m *message.Message) error {
	b.mu.Lock()
	queue := b.queues[destination]
	if queue == nil || b.closed {
		b.mu.Unlock()
		return ErrNotTaken
	}
	b.waiting.Add(1)
	b.mu.Unlock()
	taken := make(chan struct{})
	b.pending.Store(m.UUID, taken)
	done := make(chan error, 1)
	go func() {
		defer b.waiting.Done()
		defer b.pending.Delete(m.UUID)
		done <- queue.Publish(destination, m)
	}()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-done:
		if err != nil {
			return err
		}
	}
	select { // gochannel also answers nil when there is no subscriber, or while closing
	case <-taken:
		return nil
	default:
		return ErrNotTaken
	}
}

// Close stops delivering and waits for messages in work. It is safe to call twice.
func (b *Bus) Close() error {
	b.mu.Lock()
	b.closed = true
	var errs []error
	for _, q := range b.queues {
		errs = append(errs, q.Close())
	}
	b.mu.Unlock()
	if b.router.IsRunning() {
		errs = append(errs, b.router.Close())
	}
	b.waiting.Wait()
	return errors.Join(errs...)
}
