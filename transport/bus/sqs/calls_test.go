package sqs_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	wmsqs "github.com/ThreeDotsLabs/watermill-aws/sqs"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go/middleware"

	"auditlog/projection"
	"auditlog/projection/relay"
	"auditlog/transport/bus"
	"auditlog/transport/bus/sqs"
	"auditlog/transport/bus/sqs/sqstest"
)

// calls counts the requests of sending, receiving and deleting.
type calls struct{ send, receive, remove, other atomic.Int64 }

func (c *calls) count(operation string) {
	switch operation {
	case "SendMessage", "SendMessageBatch":
		c.send.Add(1)
	case "ReceiveMessage":
		c.receive.Add(1)
	case "DeleteMessage", "DeleteMessageBatch":
		c.remove.Add(1)
	default:
		c.other.Add(1)
	}
}

// bareBus is watermill-aws as it is.
type bareBus struct{ pub *wmsqs.Publisher }

func (b bareBus) Publish(_ context.Context, destination string, env projection.Envelope) error {
	payload, err := bus.Encode(env)
	if err != nil {
		return err
	}
	return b.pub.Publish(destination, bus.Message(env, payload))
}

func runBare(tb testing.TB, cfg sqs.Config, count func(string), took func(n int)) (relay.Publisher, func()) {
	tb.Helper()
	counted := func(o *awssqs.Options) {
		o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
			return stack.Finalize.Add(middleware.FinalizeMiddlewareFunc("count", func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
				count(middleware.GetOperationName(ctx))
				return next.HandleFinalize(ctx, in)
			}), middleware.After)
		})
	}
	urls := wmsqs.NewGetQueueUrlByNameUrlResolver(wmsqs.GetQueueUrlByNameUrlResolverConfig{
		GenerateGetQueueUrlInput: func(_ context.Context, topic string) (*awssqs.GetQueueUrlInput, error) {
			return &awssqs.GetQueueUrlInput{QueueName: aws.String(cfg.Queue(topic))}, nil
		},
	})
	log, optFns := bus.Logger(quiet), []func(*awssqs.Options){counted}
	pub, err := wmsqs.NewPublisher(wmsqs.PublisherConfig{AWSConfig: cfg.AWS, OptFns: optFns, QueueUrlResolver: urls}, log)
	if err != nil {
		tb.Fatal(err)
	}
	sub, err := wmsqs.NewSubscriber(wmsqs.SubscriberConfig{AWSConfig: cfg.AWS, OptFns: optFns, QueueUrlResolver: urls, ConsumeWorkers: 8}, log)
	if err != nil {
		tb.Fatal(err)
	}
	messages, err := sub.Subscribe(tb.Context(), "a")
	if err != nil {
		tb.Fatal(err)
	}
	var reading sync.WaitGroup
	reading.Go(func() {
		handle := bus.Handler(func(_ context.Context, env projection.Envelope) error { took(int(env.To - env.From)); return nil })
		for m := range messages {
			go func(m *message.Message) {
				if handle(m) == nil {
					m.Ack()
				}
			}(m)
		}
	})
	return bareBus{pub}, func() {
		_ = sub.Close()
		reading.Wait()
	}
}

func runOurs(tb testing.TB, cfg sqs.Config, took func(n int)) (relay.Publisher, func()) {
	tb.Helper()
	ours, err := sqs.New(cfg, bus.RouterOptions{Log: quiet})
	if err != nil {
		tb.Fatal(err)
	}
	ours.Subscribe("a", func(_ context.Context, env projection.Envelope) error { took(int(env.To - env.From)); return nil })
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- ours.Run(ctx) }()
	<-ours.Running()
	return ours, func() {
		cancel()
		<-ended
		if err := ours.Close(); err != nil {
			tb.Error(err)
		}
	}
}

// measured is what a load made.
type measured struct {
	calls   calls
	entries int64
	ingest  time.Duration
	lag     time.Duration // after the last entry, until all had arrived
}

func (m *measured) perMillion(calls ...*atomic.Int64) float64 {
	n := int64(0)
	for _, c := range calls {
		n += c.Load()
	}
	return float64(n) * 1e6 / float64(m.entries)
}

const loadRate = 5000 // entries a second

// measureCalls runs a load of so many seconds on 16 shards through a relay and a bus with the default settings.
func measureCalls(tb testing.TB, bare bool, seconds int) *measured {
	tb.Helper()
	cfg := sqstest.Config(tb)
	cfg.Linger, cfg.Visibility, cfg.Wait = 0, 0, 0 // the defaults
	q, err := sqs.NewQueues(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := q.Ensure(tb.Context(), "a"); err != nil {
		tb.Fatal(err)
	}
	var m measured
	var arrived atomic.Int64
	source := newStream(16)
	took := func(n int) { arrived.Add(int64(n)) }
	cfg.OnCall = m.calls.count
	var publisher relay.Publisher
	var stop func()
	if bare {
		publisher, stop = runBare(tb, cfg, m.calls.count, took)
	} else {
		publisher, stop = runOurs(tb, cfg, took)
	}
	defer stop()
	ctx, cancel := context.WithCancel(tb.Context())
	var relaying sync.WaitGroup
	defer relaying.Wait()
	defer cancel()
	relaying.Go(func() {
		_ = relay.New(source, publisher, &cursors{}, []string{"a"}, relay.Options{Log: quiet}).Run(ctx)
	})
	rnd := rand.New(rand.NewPCG(1, 2))
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	began := time.Now()
	for want := int64(seconds) * loadRate; m.entries < want; <-tick.C {
		for due := min(want, int64(time.Since(began).Seconds()*loadRate)); m.entries < due; m.entries++ {
			source.add(rnd)
		}
	}
	m.ingest = time.Since(began)
	for deadline := time.Now().Add(time.Minute); arrived.Load() < m.entries; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			tb.Fatalf("%d of %d entries arrived", arrived.Load(), m.entries)
		}
	}
	m.lag = time.Since(began) - m.ingest
	return &m
}

// The limit is 60,000 calls of sending, receiving and deleting per million entries and destination.
func TestCallsStayBelowTheLimit(t *testing.T) {
	m := measureCalls(t, false, 3)
	c := &m.calls
	got := m.perMillion(&c.send, &c.receive, &c.remove)
	t.Logf("%.0f calls per million entries: %.0f sends, %.0f receives, %.0f deletes; %.0f entries/s",
		got, m.perMillion(&c.send), m.perMillion(&c.receive), m.perMillion(&c.remove), float64(m.entries)/m.ingest.Seconds())
	if got > 60_000 || c.send.Load() == 0 || c.receive.Load() == 0 || c.remove.Load() == 0 {
		t.Errorf("%.0f calls per million entries, %d sends, %d receives, %d deletes", got, c.send.Load(), c.receive.Load(), c.remove.Load())
	}
}

// BenchmarkCalls counts calls and compares with watermill-aws alone; one iteration is one second of load, so run it with
// -benchtime 20x or more.
func BenchmarkCalls(b *testing.B) {
	for name, bare := range map[string]bool{"batched": false, "watermill-aws": true} {
		b.Run(name, func(b *testing.B) {
			m := measureCalls(b, bare, b.N)
			c := &m.calls
			b.ReportMetric(m.perMillion(&c.send, &c.receive, &c.remove), "calls/Mentry")
			b.ReportMetric(m.perMillion(&c.send), "sends/Mentry")
			b.ReportMetric(m.perMillion(&c.receive), "receives/Mentry")
			b.ReportMetric(m.perMillion(&c.remove), "deletes/Mentry")
			b.ReportMetric(m.perMillion(&c.other), "others/Mentry")
			b.ReportMetric(float64(m.entries)/m.ingest.Seconds(), "entries/s")
			b.ReportMetric(m.lag.Seconds(), "s-behind")
			b.ReportMetric(0, "ns/op")
		})
	}
}
