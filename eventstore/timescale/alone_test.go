package timescale_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"auditlog/eventstore/timescale"
)

// One process at a time runs what must run alone; when its session is lost its work is told to end, and another goes on.
func TestAlone(t *testing.T) {
	w := newWorld(t, timescale.Layout{})
	started, ended := make(chan int, 4), make(chan int, 4)
	ctx, stop := context.WithCancel(t.Context())
	results := make(chan error, 2)
	for i := range 2 {
		l := w.openLifecycle(t, nil)
		go func() {
			results <- l.Alone(ctx, func(ctx context.Context) error {
				started <- i
				<-ctx.Done()
				ended <- i
				return ctx.Err()
			})
		}()
	}
	first := receive(t, started)
	select {
	case second := <-started:
		t.Fatalf("%d runs beside %d", second, first)
	case <-time.After(3 * time.Second): // more than a look of the other
	}
	admin := connect(t, w.owner)
	if _, err := admin.Exec(ctx, `
		SELECT pg_terminate_backend(pid) FROM pg_locks
		WHERE locktype = 'advisory' AND classid = 7402 AND objid = 7 AND granted
			AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`); err != nil {
		t.Fatal(err)
	}
	if got := receive(t, ended); got != first {
		t.Errorf("%d ended, the session of %d was cut", got, first)
	}
	receive(t, started)
	stop()
	for range 2 {
		if err := <-results; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
}

func receive(t *testing.T, from <-chan int) int {
	t.Helper()
	select {
	case i := <-from:
		return i
	case <-time.After(20 * time.Second):
		t.Fatal("nothing happens")
		return 0
	}
}
