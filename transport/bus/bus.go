package bus

import (
	"context"

	"auditlog/projection"
)

// Bus takes envelopes from a relay to the handlers of destinations, in this process or in others. Every package below
// has one. It is safe for concurrent use.
//
// Publish returns nil once the bus has the whole envelope, by its own meaning of having (inproc: applied; sqs: stored).
// Delivery is at least once and in any order.
type Bus interface {
	// Subscribe registers the handler of a destination, before Run, for the destinations of this process only.
	Subscribe(destination string, handle func(context.Context, projection.Envelope) error)
	// Run delivers until ctx ends or Close. It returns once no handler is at work.
	Run(ctx context.Context) error
	// Running is closed once messages are delivered.
	Running() <-chan struct{}
	// Publish hands an envelope to a destination. After an error part of it may have arrived: publish it again.
	Publish(ctx context.Context, destination string, env projection.Envelope) error
	// Close stops delivering and waits for messages in work, within the bounds of the bus. It is safe to call twice.
	Close() error
}
