package sqs

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/ThreeDotsLabs/watermill/message"

	"auditlog/projection"
	"auditlog/transport/bus"
)

var _ bus.Bus = (*Bus)(nil)

// Bus takes envelopes from the relay to queues and from queues to the projections' runners. It is safe for concurrent
// use.
type Bus struct {
	cfg        Config
	router     *message.Router
	publisher  *Publisher
	deadLetter *deadLetters
	memo       bus.Memo
	ages       ages

	mu         sync.Mutex // guards the fields below
	closed     bool
	subs       []*Subscriber
	publishing sync.WaitGroup // sends whose caller may have left
}

// Open makes a bus with the AWS SDK's settings of the environment. It calls nothing yet.
func Open(ctx context.Context, cfg Config, o bus.RouterOptions) (*Bus, error) {
	var err error
	if cfg.AWS, err = LoadAWS(ctx); err != nil {
		return nil, err
	}
	return New(cfg, o)
}

// New makes a bus with the AWS settings of cfg. It calls nothing yet.
func New(cfg Config, o bus.RouterOptions) (*Bus, error) {
	if cfg.Log == nil {
		cfg.Log = o.Log
	}
	cfg = cfg.withDefaults()
	if o.Closing > 0 { // the router needs a moment of its closing time to hear of the end
		cfg.Drain = min(cfg.Drain, o.Closing*3/4)
	}
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	b := &Bus{cfg: cfg, deadLetter: newDeadLetters(cfg)}
	router, err := bus.NewRouter(b.deadLetter.around(o))
	if err != nil {
		return nil, fmt.Errorf("queue bus: %w", err)
	}
	b.router = router
	if b.publisher, err = NewPublisher(cfg); err != nil {
		return nil, err
	}
	return b, nil
}

// Subscribe registers the handler of a destination, before Run. A second one for the same destination is a mistake of
// the caller and panics in watermill.
func (b *Bus) Subscribe(destination string, handle func(context.Context, projection.Envelope) error) {
	sub := newSubscriber(b.cfg, &b.ages)
	b.mu.Lock()
	b.subs = append(b.subs, sub)
	b.mu.Unlock()
	b.router.AddConsumerHandler(destination, destination, sub, readable(bus.Handler(handle)))
}

// readable calls a message that could not be unmarshaled poison.
func readable(h message.NoPublishHandlerFunc) message.NoPublishHandlerFunc {
	return func(m *message.Message) error {
		if reason := m.Metadata.Get(metaUnreadable); reason != "" {
			return &projection.Poison{Err: errors.New(reason)}
		}
		return h(m)
	}
}

// Run delivers until ctx ends; a bus that only publishes waits for that. Messages in work then have Config.Drain to be finished. It returns once no handler is at
// work, or nil after Close, or at once when a queue is not there. For a service that does not answer it waits.
func (b *Bus) Run(ctx context.Context) error {
	if !b.subscribed() { // a router without handlers does not look at ctx
		defer context.AfterFunc(ctx, func() { _ = b.router.Close() })() // nothing is in work that could be late
	}
	if err := b.router.Run(ctx); err != nil {
		return errors.Join(fmt.Errorf("queue bus: %w", err), b.closeSubscribers())
	}
	return errors.Join(ctx.Err(), b.closeSubscribers())
}

// Ping tells whether the destination's queue is there and answers. The error names the setting that is wrong.
func (b *Bus) Ping(ctx context.Context, destination string) error {
	_, err := (&Queues{cfg: b.cfg, client: b.deadLetter.client}).url(ctx, b.cfg.Queue(destination))
	if missing(err) {
		return fmt.Errorf("queue %s %w", b.cfg.Queue(destination), errMissing)
	}
	return b.cfg.Explain(err)
}

// Running is closed once messages are delivered.
func (b *Bus) Running() <-chan struct{} { return b.router.Running() }

// ErrClosed says that the bus takes nothing more.
var ErrClosed = errors.New("the bus is closed")

// Publish hands the envelope to the destination's queue and waits until it is there. An error means that it may not
// be: publish it again. When ctx ends the wait ends, and the envelope may still arrive.
func (b *Bus) Publish(ctx context.Context, destination string, env projection.Envelope) error {
	payload, err := b.memo.Encode(env)
	if err != nil {
		return fmt.Errorf("publish to %s: %w", destination, err)
	}
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return ErrClosed
	}
	b.publishing.Add(1)
	b.mu.Unlock()
	done := make(chan error, 1)
	go func() {
		defer b.publishing.Done()
		done <- b.publisher.Publish(destination, bus.Message(env, payload))
	}()
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("publish to %s: %w", destination, b.cfg.Explain(err))
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close stops delivering and waits for messages in work as Run says, and for sends under way. It is safe to call twice.
func (b *Bus) Close() error {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	var err error
	if b.router.IsRunning() {
		err = b.router.Close()
	}
	b.publishing.Wait()
	return errors.Join(err, b.closeSubscribers(), b.publisher.Close())
}

func (b *Bus) subscribed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.subs) > 0
}

func (b *Bus) closeSubscribers() error {
	b.mu.Lock()
	subs := b.subs
	b.mu.Unlock()
	var all []error
	for _, s := range subs {
		all = append(all, s.Close())
	}
	return errors.Join(all...)
}
