// Package inproc is the bus of the embedded tier: watermill's gochannels. Each destination has a few of them, its lanes,
// so that none waits for another destination and the shards of one are in work at once. Nothing is kept: the store
// and the relay's cursors are the durable part.
//
// Publish returns nil only after the destination's handler took the message, so at most one envelope per relay lane,
// and Lanes messages of a destination, are in memory, and a slow projection slows its own lane alone.
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

// Lanes is how many messages of a destination are in work at once: each shard has its lane, which some share.
const Lanes = 16

var _ bus.Bus = (*Bus)(nil)

// Bus is safe for concurrent use.
type Bus struct {
	router  *message.Router
	memo    bus.Memo
	mu      sync.Mutex                        // guards queues and closed
	queues  map[string][]*gochannel.GoChannel // by destination: its lanes
	closed  bool
	pending sync.Map       // message UUID → chan struct{}, closed when the handler took it
	waiting sync.WaitGroup // publishes whose caller may have left
}

// New makes a bus.
func New(o bus.RouterOptions) (*Bus, error) {
	b := &Bus{queues: map[string][]*gochannel.GoChannel{}}
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
	lanes := make([]*gochannel.GoChannel, Lanes)
	for i := range lanes {
		lanes[i] = gochannel.NewGoChannel(gochannel.Config{BlockPublishUntilSubscriberAck: true}, b.router.Logger())
		topic := bus.LaneName(destination, i)
		b.router.AddConsumerHandler(topic, topic, lanes[i], bus.Handler(handle))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.queues[destination] = lanes
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

// Publish hands the envelope to the destination and waits until it is taken. An error means that it may not have been:
// publish it again. When ctx ends the wait ends, and the envelope may still arrive.
func (b *Bus) Publish(ctx context.Context, destination string, env projection.Envelope) error {
	payload, err := b.memo.Encode(env)
	if err != nil {
		return fmt.Errorf("publish to %s: %w", destination, err)
	}
	result := make(chan error, 1)
	if err := b.send(destination, int(env.Shard)%Lanes, bus.Message(env, payload), result); err != nil {
		return fmt.Errorf("publish to %s: %w", destination, err)
	}
	select {
	case <-ctx.Done():
		return fmt.Errorf("publish to %s: %w", destination, ctx.Err())
	case err := <-result:
		if err != nil {
			return fmt.Errorf("publish to %s: %w", destination, err)
		}
		return nil
	}
}

// send starts to publish the message in a lane.
func (b *Bus) send(destination string, lane int, m *message.Message, result chan<- error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.queues[destination] == nil || b.closed {
		return ErrNotTaken
	}
	queue := b.queues[destination][lane]
	b.waiting.Go(func() { result <- b.publish(queue, bus.LaneName(destination, lane), m) })
	return nil
}

func (b *Bus) publish(queue *gochannel.GoChannel, topic string, m *message.Message) error {
	taken := make(chan struct{})
	b.pending.Store(m.UUID, taken)
	defer b.pending.Delete(m.UUID)
	if err := queue.Publish(topic, m); err != nil {
		return err
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
	for _, lanes := range b.queues {
		for _, q := range lanes {
			errs = append(errs, q.Close())
		}
	}
	b.mu.Unlock()
	if b.router.IsRunning() {
		errs = append(errs, b.router.Close())
	}
	b.waiting.Wait()
	return errors.Join(errs...)
}
