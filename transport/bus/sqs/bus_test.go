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
func start(t *testing.T, cfg sqs.Config, o bus.RouterOptions, handlers map[string]handler) (b *sqs.Bus, stop func()) {
	t.Helper()
	o.Log, o.Backoff = quiet, time.Millisecond
	b, err := sqs.New(cfg, o)
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

// eventually polls until the condition holds. It is patient: servers start slowly on a machine that runs other tests.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("in two minutes never: %s", what)
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
	t.Parallel()
	m := projtest.NewMemory()
	m.Append(2000)
	var k tally
	b, _ := start(t, sqstest.Config(t), bus.RouterOptions{}, map[string]handler{"a": k.handle})
	for at := eventstore.Offset(0); at < 2000; at += 500 {
		publish(t, b, "a", envelope(t, m, at, at+500))
	}
	eventually(t, "all 2000 events", k.has(2000))
}

// An API process takes nothing from queues: its bus runs as any other, and needs no queue to start.
func TestABusMayOnlyPublish(t *testing.T) {
	t.Parallel()
	m := projtest.NewMemory()
	m.Append(1)
	cfg := sqstest.Config(t)
	var k tally
	sender, stop := start(t, cfg, bus.RouterOptions{}, nil)
	start(t, cfg, bus.RouterOptions{}, map[string]handler{"a": k.handle})
	publish(t, sender, "a", envelope(t, m, 0, 1))
	eventually(t, "the event, at the other process", k.has(1))
	stop() // Run ends with its context
}

func TestPublishToAMissingQueueFails(t *testing.T) {
	t.Parallel()
	m := projtest.NewMemory()
	m.Append(1)
	cfg := sqstest.Config(t)
	b, stop := start(t, cfg, bus.RouterOptions{}, map[string]handler{"a": new(tally).handle})
	if err := b.Publish(t.Context(), "nobody", envelope(t, m, 0, 1)); err == nil {
		t.Error("the envelope was taken")
	}
	stop()
	if err := b.Publish(t.Context(), "a", envelope(t, m, 0, 1)); !errors.Is(err, sqs.ErrClosed) {
		t.Errorf("a closed bus: %v", err)
	}
	lost, err := sqs.New(cfg, bus.RouterOptions{Log: quiet})
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
	t.Parallel()
	m := projtest.NewMemory()
	m.Append(1)
	k := tally{fail: func(int) error { time.Sleep(7 * time.Second); return nil }} // the work
	cfg := sqstest.Config(t)
	cfg.Visibility = 3 * time.Second
	b, stop := start(t, cfg, bus.RouterOptions{}, map[string]handler{"a": k.handle})
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

// A bus that starts while the service is down begins when it is there.
func TestStartsBeforeTheService(t *testing.T) {
	t.Parallel()
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
	b, err := sqs.New(cfg, bus.RouterOptions{Log: quiet})
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
