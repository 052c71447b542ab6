package sqs_test

import (
	"context"
	"testing"
	"time"

	"auditlog/eventstore"
	"auditlog/projection"
	"auditlog/projection/projtest"
	"auditlog/transport/bus"
	"auditlog/transport/bus/sqs"
	"auditlog/transport/bus/sqs/sqstest"
)

// shortDrain is above the wait of a receive: one that is cut may be given what is given back, for nobody.
const shortDrain = 1500 * time.Millisecond

// Closing lets messages in work finish, within the drain, and gives back at once what waits behind them.
func TestCloseFinishesOrGivesBack(t *testing.T) {
	t.Parallel()
	m := projtest.NewMemory()
	m.Append(40)
	cfg := sqstest.Config(t)
	cfg.Workers, cfg.Visibility, cfg.Drain = 2, time.Minute, 10*time.Second
	working, finish := make(chan struct{}, 40), make(chan struct{})
	first := tally{fail: func(int) error { working <- struct{}{}; <-finish; return nil }}
	b, stop := start(t, cfg, bus.RouterOptions{}, map[string]handler{"a": first.handle})
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
	start(t, cfg, bus.RouterOptions{}, map[string]handler{"a": rest.handle})
	eventually(t, "the rest, which was given back", rest.has(40-done))
	if took := time.Since(began); took > 40*time.Second {
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
	t.Parallel()
	m := projtest.NewMemory()
	m.Append(1)
	cfg := sqstest.Config(t)
	cfg.Visibility, cfg.Wait, cfg.Drain = time.Minute, time.Second, shortDrain
	working := make(chan struct{}, 1)
	b, stop := start(t, cfg, bus.RouterOptions{}, map[string]handler{"a": func(ctx context.Context, _ projection.Envelope) error {
		working <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}})
	publish(t, b, "a", envelope(t, m, 0, 1))
	<-working
	stop()
	comesToAnother(t, m, cfg, 1)
}

// What does not even hear of its cancellation comes to another at once, too.
func TestCloseGivesBackWhatIsDeaf(t *testing.T) {
	t.Parallel()
	m := projtest.NewMemory()
	m.Append(1)
	cfg := sqstest.Config(t)
	cfg.Visibility, cfg.Wait, cfg.Drain = time.Minute, time.Second, shortDrain
	working, hear := make(chan struct{}, 1), make(chan struct{})
	defer close(hear)
	b, stop := start(t, cfg, bus.RouterOptions{Closing: 2 * shortDrain}, map[string]handler{"a": func(context.Context, projection.Envelope) error {
		working <- struct{}{}
		<-hear
		return nil
	}})
	publish(t, b, "a", envelope(t, m, 0, 1))
	<-working
	stop()
	comesToAnother(t, m, cfg, 1)
}

// No receive is left behind at the server, where it would take a message for nobody.
func TestCloseEndsItsReceive(t *testing.T) {
	t.Parallel()
	m := projtest.NewMemory()
	m.Append(2)
	cfg := sqstest.Config(t)
	cfg.Visibility, cfg.Wait, cfg.Drain = time.Minute, 5*time.Second, 20*time.Second
	var first tally
	b, stop := start(t, cfg, bus.RouterOptions{Closing: time.Minute}, map[string]handler{"a": first.handle})
	publish(t, b, "a", envelope(t, m, 0, 1))
	eventually(t, "the first event", first.has(1)) // a worker asks for the next, so a receive is under way
	stop()
	other, _ := start(t, cfg, bus.RouterOptions{}, nil)
	publish(t, other, "a", envelope(t, m, 1, 2))
	comesToAnother(t, m, cfg, 1)
}

// comesToAnother starts a second bus, which must get the events well before the visibility of the first one's ends.
func comesToAnother(t *testing.T, m *projtest.Memory, cfg sqs.Config, events int) {
	t.Helper()
	var k tally
	began := time.Now()
	start(t, cfg, bus.RouterOptions{}, map[string]handler{"a": k.handle})
	eventually(t, "the event, at another", k.has(events))
	if took := time.Since(began); took > 40*time.Second {
		t.Errorf("it came after %v, of a visibility of %v", took, cfg.Visibility)
	}
}
