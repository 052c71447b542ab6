package httpapi_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"auditlog/command"
	"auditlog/eventstore"
	"auditlog/transport/httpapi"
)

// heldLog holds flushes back until it is let go, and tells of the first.
type heldLog struct {
	command.Log
	entered, release chan struct{}
}

func (l heldLog) Append(ctx context.Context, f eventstore.Flush) ([]eventstore.Outcome, error) {
	select {
	case l.entered <- struct{}{}:
	default:
	}
	<-l.release
	return l.Log.Append(ctx, f)
}

// A request beside one with its key that is still being stored waits as long as a request may, then hears 409 in-flight;
// one without a twin hears 503. Afterwards the key replays.
func TestTwinInFlight(t *testing.T) {
	w := newWorld(t, httpapi.Config{})
	held := heldLog{w.store, make(chan struct{}), make(chan struct{})}
	appender := command.NewAppender(held, w.store.Shards(), command.AppenderOptions{})
	t.Cleanup(func() {
		if err := appender.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	w.over(command.New(w.store, w.store, w.opener.Ring, appender, command.Options{}), w.queries, httpapi.Config{HandlerTimeout: 50 * time.Millisecond})
	post := func(key string) reply {
		c := call{method: "POST", path: "/api/v1/logs", token: w.token("writer"), body: goodEntry, header: http.Header{}}
		if key != "" {
			c.header.Set("Idempotency-Key", key)
		}
		return w.do(c)
	}
	first := make(chan reply, 1)
	go func() { first <- post("one") }()
	<-held.entered

	if got := post("one"); got.status != http.StatusConflict || got.slug() != "in-flight" || got.header.Get("Retry-After") == "" {
		t.Errorf("twin: %d %s, Retry-After %q", got.status, got.slug(), got.header.Get("Retry-After"))
	}
	for _, key := range []string{"two", ""} {
		if got := post(key); got.status != http.StatusServiceUnavailable || got.slug() != "overloaded" || got.header.Get("Retry-After") == "" {
			t.Errorf("key %q: %d %s, Retry-After %q", key, got.status, got.slug(), got.header.Get("Retry-After"))
		}
	}
	close(held.release)
	got := <-first
	again := post("one")
	if got.status != http.StatusCreated || again.status != http.StatusCreated || again.header.Get("Idempotency-Replayed") != "true" || got.body != again.body {
		t.Errorf("the first: %d %s; again: %d %s", got.status, got.body, again.status, again.body)
	}
}
