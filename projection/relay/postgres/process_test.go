package postgres_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"testing"

	"auditlog/eventstore"
	"auditlog/internal/pgdb/pgtest"
	"auditlog/projection"
	"auditlog/projection/relay"
)

// A process stands still between reading an envelope and sending it. Another takes its shards and goes on. When it wakes
// it sends the envelope, which changes nothing any more, and moves no cursor; then it takes part again, and has
// everything when the other is killed.
func TestPausedProcessIsFenced(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pgtest.Database(t))
	one, two := spawn(t, w), spawn(t, w)
	w.append(t, 10)
	w.awaitShares(t, map[*process]int{one: 2, two: 2})
	w.awaitHeads(t, destinations...)

	one.say("gate")
	eventually(t, "an envelope at the gate", func() bool { // it takes a moment to hear
		w.append(t, 1)
		return len(one.lines) > 0
	})
	var shard int
	var epoch int64
	if _, err := fmt.Sscanf(one.hear(), "gate %d %d", &shard, &epoch); err != nil {
		t.Fatal(err)
	}
	one.signal(syscall.SIGSTOP)
	taken := w.awaitShares(t, map[*process]int{one: 0, two: shards})
	if taken[shard].Epoch <= epoch {
		t.Fatalf("the new holder of shard %d has epoch %d, the old one %d", shard, taken[shard].Epoch, epoch)
	}
	w.append(t, 7)
	w.awaitHeads(t, destinations...)
	w.exactlyOnce(t, destinations...)
	before := w.cursors(t)

	one.signal(syscall.SIGCONT)
	one.say("go")
	if got := one.hear(); got != "sent, then: "+relay.ErrFenced.Error() {
		t.Errorf("the process that slept says %q", got)
	}
	if after := w.cursors(t); !slices.Equal(after, before) {
		t.Errorf("cursors moved from %v to %v", before, after)
	}
	if w.apply(t) == 0 {
		t.Error("the late envelope was not sent")
	}
	w.exactlyOnce(t, destinations...)

	w.awaitShares(t, map[*process]int{one: 2, two: 2})
	w.append(t, 7)
	w.awaitHeads(t, destinations...)
	two.signal(syscall.SIGKILL)
	w.append(t, 7)
	w.awaitShares(t, map[*process]int{one: shards, two: 0})
	w.awaitHeads(t, destinations...)
	w.exactlyOnce(t, destinations...)
	for _, c := range w.cursors(t) {
		if c.Shard == shard && c.Epoch <= taken[shard].Epoch {
			t.Errorf("%+v: the process that slept holds the shard under no newer epoch", c)
		}
	}
}

// Processes are killed in turn, each while it holds leases, under a stream of events; one that ends by SIGTERM leaves at
// once.
func TestProcessesAreKilledInTurn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pgtest.Database(t))
	old := spawn(t, w)
	for n := range 4 {
		w.append(t, 20)
		next := spawn(t, w)
		w.awaitShares(t, map[*process]int{old: 2, next: 2})
		w.append(t, 20)
		how := syscall.SIGKILL
		if n%2 == 1 {
			how = syscall.SIGTERM
		}
		old.signal(how)
		w.append(t, 20)
		w.awaitShares(t, map[*process]int{old: 0, next: shards})
		old = next
	}
	w.awaitHeads(t, destinations...)
	w.exactlyOnce(t, destinations...)
}

// start runs a relay of this process.
func (w *world) start(t *testing.T, p relay.Publisher) (stop func()) {
	db := open(t, w.relay)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = relay.New(w.store, p, db, destinations, relay.Options{Lease: db, Page: 5, Log: quiet}).Run(ctx)
	}()
	stop = func() { cancel(); <-ended }
	t.Cleanup(stop)
	return stop
}

// stuck is a bus that takes no envelope for one destination, and does not look at the context until the test ends.
type stuck struct {
	*tableBus
	free chan struct{}
}

func (s stuck) Publish(ctx context.Context, destination string, env projection.Envelope) error {
	if destination == "b" {
		<-s.free
	}
	return s.tableBus.Publish(ctx, destination, env)
}

// A queue that blocks holds up no append and no other queue. A process whose lanes do not end loses its leases to one
// whose lanes go on.
func TestBlockedDestinationHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pgtest.Database(t))
	bus, err := newTableBus(t.Context(), w.owner, "stuck")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(bus.pool.Close)
	s := stuck{bus, make(chan struct{})}
	stopped := make(chan struct{})
	stop, free := w.start(t, s), sync.OnceFunc(func() { close(s.free) })
	t.Cleanup(free) // before the relay is waited for
	w.append(t, 50)
	w.awaitHeads(t, "a")
	w.exactlyOnce(t, "a")
	for _, c := range w.cursors(t) {
		if c.Destination == "b" {
			t.Errorf("%+v, and nothing was taken", c)
		}
	}
	go func() {
		defer close(stopped)
		stop() // waits for the lanes
	}()
	w.start(t, bus)
	w.append(t, 10)
	w.awaitHeads(t, destinations...)
	w.exactlyOnce(t, destinations...)
	free()
	<-stopped
	w.exactlyOnce(t, destinations...)
}

// The database server is killed while two relays publish. They go on by themselves when it is back.
func TestRelaysOutliveTheServer(t *testing.T) {
	t.Parallel()
	server := pgtest.NewOwn(t)
	w := newWorld(t, server.URL)
	bus, err := newTableBus(t.Context(), w.owner, "here")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(bus.pool.Close)
	w.start(t, bus)
	w.start(t, bus)
	for range 2 {
		w.append(t, 30)
		server.Kill()
		server.Start()
		w.conn = connect(t, w.owner)
		eventually(t, "the store answers", func() bool {
			_, err := w.store.ShardHead(t.Context(), eventstore.Shard(0))
			return err == nil && w.store.Ping(t.Context()) == nil
		})
		w.append(t, 30)
	}
	w.awaitHeads(t, destinations...)
	w.exactlyOnce(t, destinations...)
}
