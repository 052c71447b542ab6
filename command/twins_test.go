package command_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"auditlog/command"
	"auditlog/eventstore"
	"auditlog/internal/fault"
)

// gate lets flushes pass one by one once it is shut.
type gate struct {
	command.Log
	shut    chan struct{} // closed: flushes wait
	entered chan struct{}
	open    chan struct{}
}

func (g *gate) Append(ctx context.Context, f eventstore.Flush) ([]eventstore.Outcome, error) {
	select {
	case <-g.shut:
		g.entered <- struct{}{}
		<-g.open
	default:
	}
	return g.Log.Append(ctx, f)
}

// A request whose twin has not finished in time is told so; another one is told that it never had its turn; the twin
// itself is stored.
func TestI5TwinStillInFlight(t *testing.T) {
	g := &gate{shut: make(chan struct{}), entered: make(chan struct{}), open: make(chan struct{})}
	w := newWorldOver(t, func(log command.Log) command.Log { g.Log = log; return g }, command.AppenderOptions{Wait: 20 * time.Millisecond})
	keyed := mustEntry(t, with(`"idempotency_key":"k"`))
	close(g.shut)
	first := make(chan command.Receipt)
	go func() {
		r, err := w.Record(context.Background(), w.writer, keyed)
		if err != nil {
			t.Error(err)
		}
		first <- r
	}()
	<-g.entered

	_, err := w.Record(context.Background(), w.writer, keyed)
	var f *fault.Error
	if !errors.As(err, &f) || f.Kind != fault.InFlight || f.RetryAfter <= 0 {
		t.Errorf("twin: got %v", err)
	}
	for _, body := range []string{smallest, with(`"idempotency_key":"another"`)} {
		if _, err := w.Record(context.Background(), w.writer, mustEntry(t, body)); !fault.Is(err, fault.Overloaded) {
			t.Errorf("no twin: got %v", err)
		}
	}
	go func() { // later flushes need no gate
		for range g.entered {
		}
	}()
	close(g.open)
	r := <-first
	again, err := w.Record(context.Background(), w.writer, keyed)
	if err != nil || !again.Replayed || again.ID != r.ID {
		t.Errorf("afterwards: got %+v, %v", again, err)
	}
	if n := len(w.log(w.tenant.ID)); n != 2 {
		t.Errorf("%d events are stored, want 2", n)
	}
	t.Cleanup(func() { close(g.entered) })
}

// The same when the caller's own deadline is the one that passes, as a request's does; and the twin in flight may be one
// that nobody waits for any more, or part of a bulk.
func TestI5TwinOfOneThatLeft(t *testing.T) {
	for _, bulk := range []bool{false, true} {
		g := &gate{shut: make(chan struct{}), entered: make(chan struct{}), open: make(chan struct{})}
		w := newWorldOver(t, func(log command.Log) command.Log { g.Log = log; return g }, command.AppenderOptions{})
		keyed := mustEntry(t, with(`"idempotency_key":"k"`))
		close(g.shut)
		var done sync.WaitGroup
		done.Go(func() { w.record(mustEntry(t, smallest)) }) // its flush keeps the lane busy
		<-g.entered
		leaving, leave := context.WithCancel(context.Background())
		left := make(chan error)
		done.Go(func() {
			var err error
			if bulk {
				_, err = w.Bulk(leaving, w.writer, []command.BulkItem{{Entry: mustEntry(t, smallest)}, {Entry: keyed}}, true)
			} else {
				_, err = w.Record(leaving, w.writer, keyed)
			}
			left <- err
		})
		for deadline := time.Now().Add(10 * time.Second); w.waiting() == 0 && time.Now().Before(deadline); {
			time.Sleep(time.Millisecond)
		}
		g.open <- struct{}{} // the first flush ends
		<-g.entered          // the keyed one flies
		leave()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("who left got %v", err)
		}

		hurried, stop := context.WithTimeout(context.Background(), 20*time.Millisecond)
		_, err := w.Record(hurried, w.writer, keyed)
		stop()
		var f *fault.Error
		if !errors.As(err, &f) || f.Kind != fault.InFlight || f.RetryAfter <= 0 {
			t.Errorf("twin: got %v", err)
		}
		hurried, stop = context.WithTimeout(context.Background(), 20*time.Millisecond)
		if _, err := w.Record(hurried, w.writer, mustEntry(t, smallest)); !fault.Is(err, fault.Overloaded) {
			t.Errorf("no twin: got %v", err)
		}
		stop()
		close(g.open)
		done.Go(func() {
			for range g.entered { // later flushes need no gate
			}
		})
		if again, err := w.Record(context.Background(), w.writer, keyed); err != nil || !again.Replayed {
			t.Errorf("afterwards: got %+v, %v", again, err)
		}
		close(g.entered)
		done.Wait()
	}
}

// A request is not its own twin: one whose flush does not end in time has an unknown outcome, with a key or without.
func TestNobodyIsHisOwnTwin(t *testing.T) {
	g := &gate{shut: make(chan struct{}), entered: make(chan struct{}), open: make(chan struct{})}
	w := newWorldOver(t, func(log command.Log) command.Log { g.Log = log; return g }, command.AppenderOptions{})
	close(g.shut)
	var done sync.WaitGroup
	done.Go(func() { w.record(mustEntry(t, smallest)) })
	<-g.entered
	hurried, stop := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer stop()
	got := make(chan error)
	done.Go(func() {
		_, err := w.Record(hurried, w.writer, mustEntry(t, with(`"idempotency_key":"k"`)))
		got <- err
	})
	for deadline := time.Now().Add(10 * time.Second); w.waiting() == 0 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	g.open <- struct{}{}
	<-g.entered // it flies
	if err := <-got; !fault.Is(err, fault.Unavailable) {
		t.Errorf("got %v", err)
	}
	close(g.open)
	done.Wait()
}
