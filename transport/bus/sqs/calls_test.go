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

	"auditlog/eventstore"
	"auditlog/eventstore/format"
	"auditlog/projection"
	"auditlog/projection/relay"
	"auditlog/transport/bus"
	"auditlog/transport/bus/sqs"
	"auditlog/transport/bus/sqs/sqstest"
)

// stream is a store of many shards that gets entries of about 600 bytes at a steady rate.
type stream struct {
	shards []shardOf
}

type shardOf struct {
	mu     sync.Mutex // guards the fields below
	events []eventstore.Event
	wake   chan struct{}
}

func newStream(shards int) *stream {
	s := &stream{shards: make([]shardOf, shards)}
	for i := range s.shards {
		s.shards[i].wake = make(chan struct{})
	}
	return s
}

var publicPart = format.PackPublic(nil, []byte(`{"action":"document.shared","actor_type":"user","id":"0190163d-8694-739b-aea5-966c26f8ad91","outcome":"success","private":"47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU","resource_type":"document","severity":"INFO","type":"entry.recorded","v":1}`))

// add appends one entry of one of 100 tenants, each of which has its shard.
func (s *stream) add(rnd *rand.Rand) {
	tenant := rnd.IntN(100)
	n := tenant % len(s.shards)
	sealed := make([]byte, 280)
	for i := range sealed {
		sealed[i] = byte(rnd.Uint32())
	}
	sh := &s.shards[n]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	o := eventstore.Offset(len(sh.events) + 1)
	sh.events = append(sh.events, eventstore.Event{
		Tenant: eventstore.TenantID{15: byte(tenant)}, Shard: eventstore.Shard(n), Position: eventstore.Position(o), Offset: o, ID: eventstore.NewEventID(),
		RecordedAt: eventstore.MicrosOf(time.Now()), Type: eventstore.EntryRecorded, Public: publicPart, Private: sealed,
	})
	close(sh.wake)
	sh.wake = make(chan struct{})
}

func (s *stream) Shards() int { return len(s.shards) }

func (s *stream) ShardHead(_ context.Context, n eventstore.Shard) (eventstore.ShardHead, error) {
	sh := &s.shards[n]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return eventstore.ShardHead{Offset: eventstore.Offset(len(sh.events))}, nil
}

func (s *stream) ReadShard(_ context.Context, n eventstore.Shard, after eventstore.Offset, limit int) ([]eventstore.Event, error) {
	sh := &s.shards[n]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	rest := sh.events[min(int(after), len(sh.events)):]
	return rest[:min(limit, len(rest))], nil
}

func (s *stream) Appended(n eventstore.Shard) <-chan struct{} {
	sh := &s.shards[n]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.wake
}

// cursors in memory.
type cursors struct{ at sync.Map }

func (c *cursors) Load(_ context.Context, s eventstore.Shard, _ string) (eventstore.Offset, error) {
	at, _ := c.at.Load(s)
	o, _ := at.(eventstore.Offset)
	return o, nil
}

func (c *cursors) Save(_ context.Context, s eventstore.Shard, _ string, _ uint64, o eventstore.Offset) error {
	c.at.Store(s, o)
	return nil
}

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
	payloads, err := bus.Encode(env)
	if err != nil {
		return err
	}
	return b.pub.Publish(destination, bus.Messages(env, payloads)...)
}

func runBare(b *testing.B, cfg sqs.Config, count func(string), took func(n int)) (relay.Publisher, func()) {
	b.Helper()
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
		b.Fatal(err)
	}
	sub, err := wmsqs.NewSubscriber(wmsqs.SubscriberConfig{AWSConfig: cfg.AWS, OptFns: optFns, QueueUrlResolver: urls, ConsumeWorkers: 8}, log)
	if err != nil {
		b.Fatal(err)
	}
	messages, err := sub.Subscribe(b.Context(), "a")
	if err != nil {
		b.Fatal(err)
	}
	var reading sync.WaitGroup
	reading.Go(func() {
		handle := bus.Handler(nil, func(_ context.Context, env projection.Envelope) error { took(len(env.Events)); return nil })
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

func runOurs(b *testing.B, source projection.Source, cfg sqs.Config, took func(n int)) (relay.Publisher, func()) {
	b.Helper()
	ours, err := sqs.New(source, cfg, bus.RouterOptions{Log: quiet})
	if err != nil {
		b.Fatal(err)
	}
	ours.Subscribe("a", func(_ context.Context, env projection.Envelope) error { took(len(env.Events)); return nil })
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- ours.Run(ctx) }()
	<-ours.Running()
	return ours, func() {
		cancel()
		<-ended
		if err := ours.Close(); err != nil {
			b.Error(err)
		}
	}
}

// BenchmarkCalls counts requests per million entries and destination at 5,000 entries/s on 16 shards; one iteration is one
// second of it, so run it with -benchtime 20x or more.
func BenchmarkCalls(b *testing.B) {
	const rate, slice = 5000, 10 * time.Millisecond
	for _, bare := range []bool{false, true} {
		name := "batched"
		if bare {
			name = "watermill-aws"
		}
		b.Run(name, func(b *testing.B) {
			cfg := sqstest.Config(b)
			cfg.Linger, cfg.Visibility, cfg.Wait = 0, 0, 0 // the defaults
			q, err := sqs.NewQueues(cfg)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := q.Ensure(b.Context(), "a"); err != nil {
				b.Fatal(err)
			}
			var c calls
			var arrived atomic.Int64
			source := newStream(16)
			took := func(n int) { arrived.Add(int64(n)) }
			cfg.OnCall = c.count
			var publisher relay.Publisher
			var stop func()
			if bare {
				publisher, stop = runBare(b, cfg, c.count, took)
			} else {
				publisher, stop = runOurs(b, source, cfg, took)
			}
			ctx, cancel := context.WithCancel(b.Context())
			var relaying sync.WaitGroup
			relaying.Go(func() {
				_ = relay.New(source, publisher, &cursors{}, []string{"a"}, relay.Options{Log: quiet}).Run(ctx)
			})
			rnd, sent := rand.New(rand.NewPCG(1, 2)), int64(0)
			tick := time.NewTicker(slice)
			b.ResetTimer()
			began := time.Now()
			for want := int64(b.N) * rate; sent < want; <-tick.C {
				for due := min(want, int64(time.Since(began).Seconds()*rate)); sent < due; sent++ {
					source.add(rnd)
				}
			}
			ingest := time.Since(began)
			for deadline := time.Now().Add(time.Minute); arrived.Load() < sent; time.Sleep(time.Millisecond) {
				if time.Now().After(deadline) {
					b.Fatalf("%d of %d entries arrived", arrived.Load(), sent)
				}
			}
			b.StopTimer()
			lag := time.Since(began) - ingest
			tick.Stop()
			cancel()
			relaying.Wait()
			stop()
			million := 1e6 / float64(sent)
			total := c.send.Load() + c.receive.Load() + c.remove.Load()
			b.ReportMetric(float64(total)*million, "calls/Mentry")
			b.ReportMetric(float64(c.send.Load())*million, "sends/Mentry")
			b.ReportMetric(float64(c.receive.Load())*million, "receives/Mentry")
			b.ReportMetric(float64(c.remove.Load())*million, "deletes/Mentry")
			b.ReportMetric(float64(c.other.Load())*million, "others/Mentry")
			b.ReportMetric(float64(sent)/ingest.Seconds(), "entries/s")
			b.ReportMetric(lag.Seconds(), "s-behind")
			b.ReportMetric(0, "ns/op")
		})
	}
}
