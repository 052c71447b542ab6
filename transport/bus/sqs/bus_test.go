package sqs_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"auditlog/eventstore"
	"auditlog/projection"
	"auditlog/projection/projtest"
	"auditlog/transport/bus"
	"auditlog/transport/bus/sqs"
	"auditlog/transport/bus/sqs/sqstest"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

type handler = func(context.Context, projection.Envelope) error

// start makes the destinations' queues and runs a bus with their handlers. stop ends it as a process does.
func start(t *testing.T, source projection.Source, cfg sqs.Config, o bus.RouterOptions, handlers map[string]handler) (b *sqs.Bus, stop func()) {
	t.Helper()
	o.Log, o.Backoff = quiet, time.Millisecond
	b, err := sqs.New(source, cfg, o)
	if err != nil {
		t.Fatal(err)
	}
	for d, h := range handlers {
		ensure(t, cfg, d)
		b.Subscribe(d, h)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	select {
	case <-b.Running():
	case err := <-ended:
		t.Fatal(err)
	}
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("Run: %v", err)
			}
			for range 2 {
				if err := b.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
			}
		})
	}
	t.Cleanup(stop)
	return b, stop
}

func ensure(t *testing.T, cfg sqs.Config, destinations ...string) *sqs.Queues {
	t.Helper()
	q, err := sqs.NewQueues(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range destinations {
		if _, err := q.Ensure(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	return q
}

func envelope(t *testing.T, m *projtest.Memory, from, to eventstore.Offset) projection.Envelope {
	t.Helper()
	env, err := projection.ReadEnvelope(t.Context(), m, 0, projection.Range{From: from, To: to}, int(to-from))
	if err != nil {
		t.Fatal(err)
	}
	return env
}

func publish(t *testing.T, b *sqs.Bus, destination string, env projection.Envelope) {
	t.Helper()
	if err := b.Publish(t.Context(), destination, env); err != nil {
		t.Fatal(err)
	}
}

// eventually polls until the condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("in 30 s never: %s", what)
		}
	}
}

// tally counts what a handler took, by offset.
type tally struct {
	mu    sync.Mutex // guards the fields below
	calls int
	took  map[eventstore.Offset]int
	fail  func(call int) error
}

func (k *tally) handle(ctx context.Context, env projection.Envelope) error {
	k.mu.Lock()
	k.calls++
	call, fail := k.calls, k.fail
	k.mu.Unlock()
	if fail != nil {
		if err := fail(call); err != nil {
			return err
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.took == nil {
		k.took = map[eventstore.Offset]int{}
	}
	for _, e := range env.Events {
		k.took[e.Offset]++
	}
	return nil
}

func (k *tally) count() (calls, events int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.calls, len(k.took)
}

func (k *tally) has(events int) func() bool {
	return func() bool { _, n := k.count(); return n >= events }
}

func TestDelivers(t *testing.T) {
	m := projtest.NewMemory()
	m.Append(2000)
	var k tally
	b, _ := start(t, m, sqstest.Config(t), bus.RouterOptions{}, map[string]handler{"a": k.handle})
	for at := eventstore.Offset(0); at < 2000; at += 500 {
		publish(t, b, "a", envelope(t, m, at, at+500))
	}
	eventually(t, "all 2000 events", k.has(2000))
}

// An API process takes nothing from queues: its bus runs as any other, and needs no queue to start.
func TestABusMayOnlyPublish(t *testing.T) {
	m := projtest.NewMemory()
	m.Append(1)
	cfg := sqstest.Config(t)
	var k tally
	sender, stop := start(t, m, cfg, bus.RouterOptions{}, nil)
	start(t, m, cfg, bus.RouterOptions{}, map[string]handler{"a": k.handle})
	publish(t, sender, "a", envelope(t, m, 0, 1))
	eventually(t, "the event, at the other process", k.has(1))
	stop() // Run ends with its context
}

func TestPublishToAMissingQueueFails(t *testing.T) {
	m := projtest.NewMemory()
	m.Append(1)
	cfg := sqstest.Config(t)
	b, stop := start(t, m, cfg, bus.RouterOptions{}, map[string]handler{"a": new(tally).handle})
	if err := b.Publish(t.Context(), "nobody", envelope(t, m, 0, 1)); err == nil {
		t.Error("the envelope was taken")
	}
	stop()
	if err := b.Publish(t.Context(), "a", envelope(t, m, 0, 1)); !errors.Is(err, sqs.ErrClosed) {
		t.Errorf("a closed bus: %v", err)
	}
	lost, err := sqs.New(m, cfg, bus.RouterOptions{Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	lost.Subscribe("nobody", new(tally).handle)
	if err := lost.Run(t.Context()); err == nil || !strings.Contains(err.Error(), cfg.Queue("nobody")) {
		t.Errorf("a run without its queue: %v", err)
	}
	if err := lost.Close(); err != nil {
		t.Error(err)
	}
}

// A handler may take longer than the visibility timeout: nobody else gets its message meanwhile.
func TestVisibilityIsExtended(t *testing.T) {
	m := projtest.NewMemory()
	m.Append(1)
	k := tally{fail: func(int) error { time.Sleep(3500 * time.Millisecond); return nil }} // the work
	cfg := sqstest.Config(t)
	cfg.Visibility = time.Second
	b, stop := start(t, m, cfg, bus.RouterOptions{}, map[string]handler{"a": k.handle})
	publish(t, b, "a", envelope(t, m, 0, 1))
	eventually(t, "the event", k.has(1))
	q := ensure(t, cfg, "a")
	eventually(t, "an empty queue", func() bool { s := show(t, q, "a"); return s.Waiting+s.InWork == 0 })
	stop()
	if calls, _ := k.count(); calls != 1 {
		t.Errorf("delivered %d times", calls)
	}
}

func show(t *testing.T, q *sqs.Queues, destination string) sqs.State {
	t.Helper()
	s, err := q.Show(t.Context(), destination)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// What fails comes again after the delay, and after so many tries lies among the dead letters, from where a redrive
// brings it back.
func TestBackoffDeadLetterRedrive(t *testing.T) {
	m := projtest.NewMemory()
	m.Append(1)
	var mu sync.Mutex
	var asked []int
	cfg := sqstest.Config(t)
	cfg.MaxReceives = 3
	cfg.Backoff = func(receives int) time.Duration {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, receives)
		return time.Second
	}
	k := tally{fail: func(call int) error {
		if call <= 6 { // three deliveries of two tries each
			return errors.New("down")
		}
		return nil
	}}
	b, _ := start(t, m, cfg, bus.RouterOptions{Retries: 1}, map[string]handler{"a": k.handle})
	q := ensure(t, cfg, "a")
	began := time.Now()
	publish(t, b, "a", envelope(t, m, 0, 1))
	eventually(t, "a dead letter", func() bool { return show(t, q, "a").Dead == 1 })
	if took := time.Since(began); took < 2*time.Second {
		t.Errorf("dead after %v, with two delays of a second", took)
	}
	mu.Lock()
	if len(asked) != 3 || asked[0] != 1 || asked[1] != 2 || asked[2] != 3 {
		t.Errorf("delays were asked for receives %v", asked)
	}
	mu.Unlock()
	if moved, err := q.Redrive(t.Context(), "a"); err != nil || moved != 1 {
		t.Fatalf("redrive moved %d, %v", moved, err)
	}
	eventually(t, "the event", k.has(1))
	eventually(t, "empty queues", func() bool { s := show(t, q, "a"); return s.Waiting+s.InWork+s.Dead == 0 })
}

// Poison of every kind goes to the dead-letter queue with its reason at once, and what is good flows past it.
func TestPoisonGoesToTheDeadLetters(t *testing.T) {
	m := projtest.NewMemory()
	m.Append(100)
	cfg := sqstest.Config(t)
	k := tally{fail: func(call int) error { return nil }}
	poison := func(ctx context.Context, env projection.Envelope) error {
		if env.To == 50 {
			return &projection.Poison{Err: errors.New("fifty \x1b[31m is \u0000 bad")}
		}
		return k.handle(ctx, env)
	}
	var mu sync.Mutex
	hooked := 0
	b, _ := start(t, m, cfg, bus.RouterOptions{OnPoison: func(context.Context, string, string, []byte) {
		mu.Lock()
		defer mu.Unlock()
		hooked++
	}}, map[string]handler{"a": poison})
	client := awssqs.NewFromConfig(cfg.AWS)
	url, err := client.GetQueueUrl(t.Context(), &awssqs.GetQueueUrlInput{QueueName: aws.String(cfg.Queue("a"))})
	if err != nil {
		t.Fatal(err)
	}
	many := map[string]types.MessageAttributeValue{}
	for _, name := range strings.Split("abcdefghij", "") {
		many[name] = types.MessageAttributeValue{DataType: aws.String("String"), StringValue: aws.String("x")}
	}
	foreign := []awssqs.SendMessageInput{
		{MessageBody: aws.String("not an envelope")},
		{MessageBody: aws.String("{}"), MessageAttributes: many},
		{MessageBody: aws.String("x"), MessageAttributes: map[string]types.MessageAttributeValue{
			"_watermill_message_uuid": {DataType: aws.String("Binary"), BinaryValue: []byte{0xff, 0}},
			"n":                       {DataType: aws.String("Number"), StringValue: aws.String("1")},
		}},
	}
	for i := range foreign {
		foreign[i].QueueUrl = url.QueueUrl
		if _, err := client.SendMessage(t.Context(), &foreign[i]); err != nil {
			t.Fatal(err)
		}
	}
	for at := eventstore.Offset(0); at < 100; at += 10 {
		publish(t, b, "a", envelope(t, m, at, at+10))
	}
	eventually(t, "the 90 good events", k.has(90))
	q := ensure(t, cfg, "a")
	eventually(t, "four dead letters", func() bool { s := show(t, q, "a"); return s.Dead == 4 && s.Waiting+s.InWork == 0 })
	reasons := map[string]sqs.DeadLetter{}
	eventually(t, "four dead letters with a reason", func() bool {
		dead, err := q.Dead(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range dead {
			reasons[d.ID] = d
		}
		return len(reasons) == 4
	})
	undecodable, fifty := 0, 0
	for _, d := range reasons {
		switch {
		case strings.Contains(d.Reason, "decode envelope"):
			undecodable++
		case d.Range == "0:40-50" && strings.Contains(d.Reason, "fifty [31m is  bad"):
			fifty++
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if undecodable != 3 || fifty != 1 || hooked != 4 {
		t.Errorf("%d undecodable, %d of the projection, %d told: %+v", undecodable, fifty, hooked, reasons)
	}
}

// Closing lets messages in work finish, within the drain, and gives back at once what waits behind them.
func TestCloseFinishesOrGivesBack(t *testing.T) {
	m := projtest.NewMemory()
	m.Append(40)
	cfg := sqstest.Config(t)
	cfg.Workers, cfg.Visibility, cfg.Drain = 2, time.Minute, 10*time.Second
	working, finish := make(chan struct{}, 40), make(chan struct{})
	first := tally{fail: func(int) error { working <- struct{}{}; <-finish; return nil }}
	b, stop := start(t, m, cfg, bus.RouterOptions{}, map[string]handler{"a": first.handle})
	for at := range eventstore.Offset(40) {
		publish(t, b, "a", envelope(t, m, at, at+1))
	}
	<-working
	<-working
	time.AfterFunc(300*time.Millisecond, func() { close(finish) }) // after the close has begun
	stop()
	calls, done := first.count()
	if done != calls || done < 2 || done > 10 {
		t.Errorf("%d of %d begun were finished", done, calls)
	}
	var rest tally
	began := time.Now()
	start(t, m, cfg, bus.RouterOptions{}, map[string]handler{"a": rest.handle})
	eventually(t, "the rest, which was given back", rest.has(40-done))
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("the rest came after %v", took)
	}
	for o := range rest.took {
		if first.took[o] > 0 {
			t.Errorf("event %d was finished and came again", o)
		}
	}
}

// What does not finish within the drain is cancelled and comes to another at once.
func TestCloseCancelsWhatHangs(t *testing.T) {
	m := projtest.NewMemory()
	m.Append(1)
	cfg := sqstest.Config(t)
	cfg.Visibility, cfg.Drain = time.Minute, 200*time.Millisecond
	working := make(chan struct{}, 1)
	b, stop := start(t, m, cfg, bus.RouterOptions{}, map[string]handler{"a": func(ctx context.Context, _ projection.Envelope) error {
		working <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}})
	publish(t, b, "a", envelope(t, m, 0, 1))
	<-working
	stop()
	var k tally
	start(t, m, cfg, bus.RouterOptions{}, map[string]handler{"a": k.handle})
	eventually(t, "the event, at the other", k.has(1))
}

// A bus that starts while the service is down begins when it is there.
func TestStartsBeforeTheService(t *testing.T) {
	m := projtest.NewMemory()
	m.Append(1)
	cfg := sqstest.Config(t)
	ensure(t, cfg, "a")
	var down atomic.Bool
	down.Store(true)
	client := cfg.AWS.HTTPClient
	cfg.AWS.HTTPClient = doer(func(r *http.Request) (*http.Response, error) {
		if down.Load() {
			return nil, errors.New("no route")
		}
		return client.Do(r)
	})
	var k tally
	b, err := sqs.New(m, cfg, bus.RouterOptions{Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	b.Subscribe("a", k.handle)
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	go func() { ended <- b.Run(ctx) }()
	<-b.Running()
	if err := b.Publish(t.Context(), "a", envelope(t, m, 0, 1)); err == nil {
		t.Error("published to a service that is down")
	}
	down.Store(false)
	publish(t, b, "a", envelope(t, m, 0, 1))
	eventually(t, "the event", k.has(1))
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Run: %v", err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

type doer func(*http.Request) (*http.Response, error)

func (d doer) Do(r *http.Request) (*http.Response, error) { return d(r) }
