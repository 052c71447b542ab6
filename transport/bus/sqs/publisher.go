package sqs

import (
	"fmt"

	wmsqs "github.com/ThreeDotsLabs/watermill-aws/sqs"
	"github.com/ThreeDotsLabs/watermill/message"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"auditlog/transport/bus"
)

// Publisher is a watermill Publisher; a topic is a destination. It is safe for concurrent use, and it is concurrent
// publishes that share calls.
type Publisher struct {
	inner *wmsqs.Publisher
	sends *sends
}

// NewPublisher makes a publisher. It calls nothing yet, and makes no queues.
func NewPublisher(cfg Config) (*Publisher, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	sends := &sends{client: newClient(cfg), linger: cfg.Linger}
	inner, err := wmsqs.NewPublisher(wmsqs.PublisherConfig{
		AWSConfig: cfg.AWS, OptFns: []func(*awssqs.Options){withWholeBodies, withoutMD5, counted(cfg.OnCall), bounded, answered(sends.answer)},
		QueueUrlResolver: resolver(cfg), DoNotCreateQueueIfNotExists: true,
		GenerateSendMessageInput: sendInput, Marshaler: marshaler{},
	}, bus.Logger(cfg.Log))
	if err != nil {
		return nil, err
	}
	return &Publisher{inner: inner, sends: sends}, nil
}

// Publish returns nil once the queue holds every message. After an error some may be there.
func (p *Publisher) Publish(topic string, messages ...*message.Message) error {
	done := make(chan error, len(messages))
	for _, m := range messages {
		go func() { done <- p.inner.Publish(topic, m) }()
	}
	var first error
	for range messages {
		if err := <-done; err != nil && first == nil {
			first = fmt.Errorf("send to the queue of %s: %w", topic, err)
		}
	}
	return first
}

// Close sends what waits. No Publish may be under way or follow.
func (p *Publisher) Close() error {
	p.sends.drain()
	return nil
}
