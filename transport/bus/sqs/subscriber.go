package sqs

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	wmsqs "github.com/ThreeDotsLabs/watermill-aws/sqs"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"auditlog/transport/bus"
)

var errClosed = errors.New("the subscriber is closed")

// Subscriber is a watermill Subscriber; a topic is a destination. It is safe for concurrent use.
type Subscriber struct {
	cfg    Config
	client *awssqs.Client
	urls   wmsqs.QueueUrlResolver
	ages   *ages

	life context.Context // ends with Close
	end  context.CancelFunc

	mu      sync.Mutex // guards the fields below
	subs    []*subscription
	closed  bool
	waiting sync.WaitGroup // for a service that does not answer yet
}

// NewSubscriber makes a subscriber. It calls nothing yet.
func NewSubscriber(cfg Config) (*Subscriber, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	return newSubscriber(cfg, new(ages)), nil
}

func newSubscriber(cfg Config, ages *ages) *Subscriber {
	s := &Subscriber{cfg: cfg, client: newClient(cfg), urls: resolver(cfg), ages: ages}
	s.life, s.end = context.WithCancel(context.Background())
	return s
}

// resolver finds a destination's queue by its name, once.
func resolver(cfg Config) wmsqs.QueueUrlResolver {
	return wmsqs.NewGetQueueUrlByNameUrlResolver(wmsqs.GetQueueUrlByNameUrlResolverConfig{
		GenerateGetQueueUrlInput: func(_ context.Context, topic string) (*awssqs.GetQueueUrlInput, error) {
			return &awssqs.GetQueueUrlInput{QueueName: aws.String(cfg.Queue(topic))}, nil
		},
	})
}

// SubscribeInitialize makes the destination's queues if they are not there.
func (s *Subscriber) SubscribeInitialize(topic string) error {
	q, err := NewQueues(s.cfg)
	if err != nil {
		return err
	}
	_, err = q.Ensure(context.Background(), topic)
	return err
}

// Subscribe receives the messages of a destination until ctx ends or Close. The channel is closed when the messages in work
// are acknowledged, given back, or have had their time. It fails when the queue does not exist; for a service that does
// not answer it waits in the background.
func (s *Subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	url, err := s.resolve(ctx, topic)
	if err == nil {
		return s.subscribe(ctx, topic, url)
	}
	if errors.Is(err, errMissing) {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errClosed
	}
	out := make(chan *message.Message)
	s.waiting.Go(func() { s.subscribeLater(ctx, topic, err, out) })
	return out, nil
}

// subscribeLater subscribes as soon as the service answers, and hands the messages on to out.
func (s *Subscriber) subscribeLater(ctx context.Context, topic string, err error, out chan<- *message.Message) {
	defer close(out)
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.life, cancel)()
	var messages <-chan *message.Message
	for wait := 100 * time.Millisecond; messages == nil; wait = min(2*wait, maxReceivePause) {
		if waiting.Err() == nil {
			s.cfg.Log.WarnContext(ctx, "subscribe failed, trying again", "queue", s.cfg.Queue(topic), "in", wait, "error", err)
		}
		pause(waiting, wait)
		if waiting.Err() != nil {
			return
		}
		var url string
		if url, err = s.resolve(waiting, topic); err == nil {
			messages, err = s.subscribe(ctx, topic, url)
		}
	}
	for m := range messages {
		select {
		case out <- m:
		case <-waiting.Done():
			m.Nack()
		}
	}
}

var errMissing = errors.New("is not there: make it by `auditlog queues ensure`")

// resolve finds the destination's queue. The error is errMissing when there is none for sure.
func (s *Subscriber) resolve(ctx context.Context, topic string) (url string, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	queue, err := s.urls.ResolveQueueUrl(ctx, wmsqs.ResolveQueueUrlParams{Topic: topic, SqsClient: s.client, Logger: bus.Logger(s.cfg.Log)})
	switch {
	case err != nil:
		return "", fmt.Errorf("queue %s: %w", s.cfg.Queue(topic), err)
	case queue.QueueURL == nil:
		return "", fmt.Errorf("queue %s %w", s.cfg.Queue(topic), errMissing)
	}
	return string(*queue.QueueURL), nil
}

func (s *Subscriber) subscribe(ctx context.Context, topic, url string) (<-chan *message.Message, error) {
	sub := newSubscription(s.cfg, s.client, url, func(m *types.Message) { s.ages.received(topic, m) })
	inner, err := wmsqs.NewSubscriber(wmsqs.SubscriberConfig{
		AWSConfig: s.cfg.AWS, OptFns: []func(*awssqs.Options){withWholeBodies, withoutMD5, answered(sub.answer)}, QueueUrlResolver: s.urls, DoNotCreateQueueIfNotExists: true,
		ConsumeWorkers: s.cfg.Workers, Unmarshaler: sub,
	}, bus.Logger(s.cfg.Log))
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errClosed
	}
	if err := sub.start(ctx, inner, topic); err != nil {
		return nil, err
	}
	s.subs = append(s.subs, sub)
	return sub.out, nil
}

// Close ends every subscription as Subscribe says and waits for it. It is safe to call twice.
func (s *Subscriber) Close() error {
	s.mu.Lock()
	s.closed = true
	subs := s.subs
	s.mu.Unlock()
	s.end()
	for _, sub := range subs {
		sub.stop()
	}
	for _, sub := range subs {
		<-sub.ended
	}
	s.waiting.Wait()
	return nil
}

// subscription is one Subscribe: watermill-aws' workers, the intake that feeds them, and the holds of their messages.
type subscription struct {
	cfg    Config
	intake *intake
	holds  *holds
	out    chan *message.Message

	stop     context.CancelFunc // begins the end
	stopping context.Context
	workers  sync.WaitGroup // all goroutines but the one that ends the others
	released chan struct{}  // closed when no message is held any more
	ended    chan struct{}  // closed when all is over
}

func newSubscription(cfg Config, client *awssqs.Client, url string, received func(*types.Message)) *subscription {
	sub := &subscription{cfg: cfg, out: make(chan *message.Message), released: make(chan struct{}), ended: make(chan struct{})}
	sub.holds = &holds{inflight: newInflight(client, url, cfg.Linger, cfg.Log), period: cfg.Visibility, held: map[string]time.Time{}}
	sub.intake = &intake{
		client: client, holds: sub.holds, linger: cfg.Linger, log: cfg.Log, received: received,
		ask: make(chan struct{}), ready: make(chan types.Message), ended: make(chan struct{}),
		input: &awssqs.ReceiveMessageInput{
			QueueUrl: &url, MaxNumberOfMessages: maxBatch, MessageAttributeNames: []string{"All"},
			MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameApproximateReceiveCount, types.MessageSystemAttributeNameSentTimestamp},
			VisibilityTimeout:           seconds(cfg.Visibility), WaitTimeSeconds: seconds(cfg.Wait),
		},
	}
	return sub
}

// answer is what the SDK asks before a call of watermill-aws: it receives from the intake, and its deletes are gathered.
func (sub *subscription) answer(ctx context.Context, params any) (any, bool, error) {
	switch in := params.(type) {
	case *awssqs.ReceiveMessageInput:
		m, err := sub.intake.next(ctx)
		if err != nil {
			return nil, true, err
		}
		return &awssqs.ReceiveMessageOutput{Messages: []types.Message{m}}, true, nil
	case *awssqs.DeleteMessageInput:
		sub.holds.delete(aws.ToString(in.ReceiptHandle))
		return &awssqs.DeleteMessageOutput{}, true, nil
	}
	return nil, false, nil
}

// Unmarshal makes watermill's message and watches what becomes of it.
func (sub *subscription) Unmarshal(m *types.Message) (*message.Message, error) {
	out, handle := unmarshal(m), aws.ToString(m.ReceiptHandle)
	receives, err := strconv.Atoi(m.Attributes[string(types.MessageSystemAttributeNameApproximateReceiveCount)])
	if err != nil {
		receives = 1
	}
	sub.workers.Go(func() {
		select {
		case <-out.Nacked():
			d := time.Duration(0) // another process takes it now, when this one ends
			if sub.stopping.Err() == nil {
				d = min(max(sub.cfg.Backoff(receives), 0), maxVisibility)
			}
			sub.holds.giveBack(handle, d)
		case <-out.Acked():
		case <-sub.released:
		}
	})
	return out, nil
}

// start begins. The messages' contexts have the values of ctx but outlast it, so that work can be finished.
func (sub *subscription) start(ctx context.Context, inner *wmsqs.Subscriber, topic string) error {
	messages, err := inner.Subscribe(context.WithoutCancel(ctx), topic)
	if err != nil {
		return err
	}
	sub.stopping, sub.stop = context.WithCancel(ctx)
	keeping, stopKeeping := context.WithCancel(context.WithoutCancel(ctx))
	drain, endDrain := context.WithCancel(keeping)
	context.AfterFunc(sub.stopping, func() { time.AfterFunc(sub.cfg.Drain, endDrain) })
	sub.workers.Go(func() { sub.intake.run(sub.stopping, drain) })
	sub.workers.Go(func() { sub.holds.keep(keeping) })
	sub.workers.Go(func() { sub.forward(messages) })
	go func() {
		defer sub.stop()
		<-sub.stopping.Done()
		<-sub.intake.ended
		sub.holds.settled(drain)
		endDrain()
		_ = inner.Close() // never fails; it cancels the messages that are still in work
		stopKeeping()
		sub.holds.release()
		sub.holds.inflight.drain()
		close(sub.released)
		sub.workers.Wait()
		close(sub.ended)
	}()
	return nil
}

// forward hands messages on. Workers of watermill-aws wait for a reader whatever happens, so it reads to the end.
func (sub *subscription) forward(messages <-chan *message.Message) {
	defer close(sub.out)
	for m := range messages {
		select {
		case sub.out <- m:
		case <-sub.stopping.Done():
			m.Nack()
		}
	}
}
