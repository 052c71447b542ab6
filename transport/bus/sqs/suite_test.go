package sqs_test

import (
	"os"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"
	"go.uber.org/goleak"

	"auditlog/transport/bus/sqs"
	"auditlog/transport/bus/sqs/sqstest"
)

// watermill's suite leaves goroutines of its own behind, and its router one when Run fails at a handler's start.
const (
	multiplier = "github.com/ThreeDotsLabs/watermill/internal/subscriber.(*multiplier).Subscribe"
	watcher    = "github.com/ThreeDotsLabs/watermill/message.(*Router).watchAllHandlersStopped.func1"
)

func TestMain(m *testing.M) {
	os.Exit(sqstest.Main(m, func() error {
		return goleak.Find(goleak.IgnoreAnyFunction(multiplier+".func2"), goleak.IgnoreAnyFunction(multiplier+".func3"), goleak.IgnoreAnyFunction(watcher))
	}))
}

// Watermill's own suite. What it leaves out by the features below, SQS does not have: order, exactly-once delivery, and groups
// of consumers beside each other on one queue.
func TestWatermillSuite(t *testing.T) {
	t.Parallel()
	cfg := sqstest.Config(t)
	cfg.Linger = time.Millisecond                      // it publishes thousands of messages one after the other
	cfg.Visibility, cfg.MaxReceives = time.Second, 100 // the suite gives a message back more often than five times
	create := func(t *testing.T) (message.Publisher, message.Subscriber) {
		t.Helper()
		pub, err := sqs.NewPublisher(cfg)
		if err != nil {
			t.Fatal(err)
		}
		sub, err := sqs.NewSubscriber(cfg)
		if err != nil {
			t.Fatal(err)
		}
		return pub, sub
	}
	tests.TestPubSub(t, tests.Features{Persistent: true}, create, nil)
}
