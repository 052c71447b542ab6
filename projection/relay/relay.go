// Package relay moves events from the store to the bus: the event table is the outbox.
//
// For each shard and destination one goroutine follows the shard and publishes envelopes that tile it: the first starts
// at the cursor, each next one where the one before ended, and offsets that a purge removed lie inside a range. The
// cursor moves only after the bus took an envelope, so delivery is at least once; a destination that fails or is slow
// holds up no other and no append.
package relay

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"auditlog/eventstore"
	"auditlog/projection"
)

// Source is what the relay reads from the event store.
type Source interface {
	projection.Source
	Appended(shard eventstore.Shard) <-chan struct{}
}

// Publisher is a bus. Publish returns nil once the bus took the whole envelope; after an error it is published again.
type Publisher interface {
	Publish(ctx context.Context, destination string, env projection.Envelope) error
}

// Cursors keep, per shard and destination, the offset up to which the bus took everything. A cursor that is lost or old
// is safe: envelopes are published again.
type Cursors interface {
	Load(ctx context.Context, shard eventstore.Shard, destination string) (eventstore.Offset, error)
	Save(ctx context.Context, shard eventstore.Shard, destination string, o eventstore.Offset) error
}

// Lease says which relay may publish a shard. Acquire waits until the lease is held and gives its fencing epoch, which
// grows with each holder; the context ends when the lease is lost.
type Lease interface {
	Acquire(ctx context.Context, shard eventstore.Shard) (held context.Context, epoch uint64, err error)
}

// Sole is the lease of the only process on a data dir, which the data dir's lock makes sure of.
type Sole struct{}

// Acquire gives the lease at once, for as long as ctx lasts.
func (Sole) Acquire(ctx context.Context, _ eventstore.Shard) (context.Context, uint64, error) {
	return ctx, 1, ctx.Err()
}

// Options of a Relay. Zero values take the defaults.
type Options struct {
	Page    int           // events per envelope; default 2,048
	Linger  time.Duration // least time between envelopes that are not full; an idle lane publishes at once; default 20 ms, at most 100 ms; < 0: none
	Backoff time.Duration // before a failed publish is tried again, doubled up to 5 s; default 50 ms
	Lease   Lease         // default Sole
	Log     *slog.Logger

	Published func(destination string, events int, took time.Duration)
	Failed    func(destination string, err error)
}

// maxLinger and poll bound two waits: for more events, and for a wake-up that was lost.
const (
	maxLinger  = 100 * time.Millisecond
	maxBackoff = 5 * time.Second
	poll       = 2 * time.Second
)

// Relay publishes the shards of one store to a fixed set of destinations.
type Relay struct {
	source       Source
	bus          Publisher
	cursors      Cursors
	destinations []string
	o            Options
	recent       recent
}

// New makes a relay.
func New(source Source, bus Publisher, cursors Cursors, destinations []string, o Options) *Relay {
	if o.Page <= 0 {
		o.Page = 2048
	}
	if o.Linger == 0 {
		o.Linger = 20 * time.Millisecond
	}
	o.Linger = min(max(o.Linger, 0), maxLinger)
	if o.Backoff <= 0 {
		o.Backoff = 50 * time.Millisecond
	}
	if o.Lease == nil {
		o.Lease = Sole{}
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Published == nil {
		o.Published = func(string, int, time.Duration) {}
	}
	if o.Failed == nil {
		o.Failed = func(string, error) {}
	}
	return &Relay{source: source, bus: bus, cursors: cursors, destinations: destinations, o: o}
}

// Run relays until ctx ends and returns its error, once every lane has stopped.
func (r *Relay) Run(ctx context.Context) error {
	var lanes sync.WaitGroup
	for shard := range r.source.Shards() {
		lanes.Go(func() { r.runShard(ctx, eventstore.Shard(shard)) })
	}
	lanes.Wait()
	return ctx.Err()
}

// runShard holds the shard's lease and runs its lanes, again and again when the lease is lost.
func (r *Relay) runShard(ctx context.Context, shard eventstore.Shard) {
	for ctx.Err() == nil {
		held, epoch, err := r.o.Lease.Acquire(ctx, shard)
		if err != nil {
			if ctx.Err() == nil {
				r.o.Log.WarnContext(ctx, "relay lease not acquired, trying again", "shard", shard, "error", err)
				wait(ctx, maxBackoff, nil)
			}
			continue
		}
		var lanes sync.WaitGroup
		for _, d := range r.destinations {
			l := lane{Relay: r, shard: shard, destination: d, epoch: epoch}
			lanes.Go(func() { l.run(held) })
		}
		lanes.Wait()
	}
}
