package sqs_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"auditlog/eventstore"
	"auditlog/projection"
	"auditlog/projection/projtest"
	"auditlog/transport/bus"
	"auditlog/transport/bus/sqs"
	"auditlog/transport/bus/sqs/sqstest"
)

// The states that are told show what waits, what is in work, about how old it is, and what is dead.
func TestWatch(t *testing.T) {
	t.Parallel()
	m := projtest.NewMemory()
	m.Append(3)
	cfg := sqstest.Config(t)
	cfg.Workers = 1
	finish := make(chan struct{})
	b, _ := start(t, cfg, bus.RouterOptions{}, map[string]handler{"a": func(_ context.Context, env projection.Envelope) error {
		<-finish
		if env.To == 2 {
			return &projection.Poison{Err: errors.New("bad")}
		}
		return nil
	}})
	var mu sync.Mutex // guards last
	last := map[string]sqs.State{}
	state := func() sqs.State {
		mu.Lock()
		defer mu.Unlock()
		return last["a"]
	}
	ctx, cancel := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	watching.Go(func() {
		b.Watch(ctx, 20*time.Millisecond, []string{"a", "none"}, func(s sqs.State) {
			mu.Lock()
			defer mu.Unlock()
			last[s.Destination] = s
		})
	})
	eventually(t, "a state", func() bool { s := state(); return s.Queue == cfg.Queue("a") && s.Oldest == 0 })
	for at := range eventstore.Offset(3) {
		publish(t, b, "a", envelope(t, m, at, at+1))
	}
	began := time.Now()
	eventually(t, "three messages, of a second and more", func() bool {
		s := state()
		return s.Waiting+s.InWork == 3 && s.InWork > 0 && s.Oldest >= time.Second
	})
	if s, since := state(), time.Since(began); s.Oldest > since+10*time.Second {
		t.Errorf("the oldest is %v old, %v after it was sent", s.Oldest, since)
	}
	close(finish)
	eventually(t, "empty queues but for one dead letter", func() bool {
		s := state()
		return s.Waiting+s.InWork+s.Delayed == 0 && s.Oldest == 0 && s.Dead == 1
	})
	cancel()
	watching.Wait()
	if !last["none"].Missing {
		t.Errorf("a missing queue: %+v", last["none"])
	}
}

func TestPing(t *testing.T) {
	t.Parallel()
	cfg := sqstest.Config(t)
	b, _ := start(t, cfg, bus.RouterOptions{}, map[string]handler{"a": new(tally).handle})
	if err := b.Ping(t.Context(), "a"); err != nil {
		t.Error(err)
	}
	if err := b.Ping(t.Context(), "none"); err == nil || !strings.Contains(err.Error(), "queues ensure") {
		t.Errorf("a missing queue: %v", err)
	}
}
