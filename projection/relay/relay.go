// Package relay moves events from the store to the bus: the event table is the outbox.
//
// For each shard and destination one goroutine follows the shard and publishes envelopes that tile it: the first starts
// at the cursor, each next one where the one before ended, and offsets that a purge removed lie inside a range. The
// cursor moves only after the bus took an envelope, so delivery is at least once; a destination that fails or is slow
// holds up no other and no append.
//
// With several relays over one store, a shard belongs to the one that holds its lease. A relay that lost the lease
// without knowing moves no cursor (ErrFenced); what it still sends repeats ranges that the next holder sends too, and
// projections leave out what they have applied.
package relay

import (
	"context"
	"errors"
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

// ErrFenced says that another relay holds the shard's lease by now.
var ErrFenced = errors.New("the relay lease of this shard has gone to another process")

// Cursors keep, per shard and destination, the offset up to which the bus took everything. A cursor that is lost or old
// is safe: envelopes are published again.
type Cursors interface {
	Load(ctx context.Context, shard eventstore.Shard, destination string) (eventstore.Offset, error)
	// Save moves the cursor forward for the holder of the lease with that epoch. For anyone else it moves nothing and
	// returns ErrFenced, after which trying again is of no use.
	Save(ctx context.Context, shard eventstore.Shard, destination string, epoch uint64, o eventstore.Offset) error
}

// Lease says which relay may publish a shard.
type Lease interface {
	// Acquire waits until the lease is held and gives its fencing epoch, which grows with each holder. The held context
	// ends with ctx, or when the lease is lost or wanted by another relay.
	Acquire(ctx context.Context, shard eventstore.Shard) (held context.Context, epoch uint64, err error)
	// Release gives a lease back once nothing is done under it any more. Each Acquire that succeeded is followed by one.
	Release(shard eventstore.Shard, epoch uint64)
}

// Sole is the lease of the only process on a data dir, which the data dir's lock makes sure of.
type Sole struct{}

// Acquire gives the lease at once, for as long as ctx lasts.
func (Sole) Acquire(ctx context.Context, _ eventstore.Shard) (context.Context, uint64, error) {
	return ctx, 1, ctx.Err()
}

// Release does nothing: nobody waits for it.
func (Sole) Release(eventstore.Shard, uint64) {}

// Options of a Relay. Zero values take the defaults.
type Options struct {
	Page    int           // events per envelope; default 2,048
	Linger  time.Duration // least time between envelopes that are not full; an idle lane publishes at once; default 20 ms, at most 100 ms; < 0: none
	Backoff time.Duration // before a failed publish is tried again, doubled up to 5 s; default 50 ms
	Lease   Lease         // default Sole
	Log     *slog.Logger

	// Wants tells by destination which events its envelopes hold, where it acts on few; not named: all. Envelopes tile the
	// shard all the same.
	Wants map[string]func(eventstore.Type) bool

	Published func(destination string, events int, took time.Duration)
	Failed    func(destination string, err error)
	Held      func(shard eventstore.Shard, held bool)                         // this process begins or ends to publish a shard
	Lag       func(destination string, shard eventstore.Shard, offsets int64) // head minus cursor, at each look at a held shard
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
	tiles        []tiles // by shard
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
	if o.Held == nil {
		o.Held = func(eventstore.Shard, bool) {}
	}
	if o.Lag == nil {
		o.Lag = func(string, eventstore.Shard, int64) {}
	}
	return &Relay{source: source, bus: bus, cursors: cursors, destinations: destinations, o: o, tiles: make([]tiles, source.Shards())}
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

// runShard holds the shard's lease and runs its lanes, again and again when the lease is lost. The first lane that is
// fenced ends the others.
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
		r.o.Held(shard, true)
		held, end := context.WithCancel(held)
		var lanes sync.WaitGroup
		for _, d := range r.destinations {
			l := lane{Relay: r, shard: shard, destination: d, epoch: epoch, end: end}
			lanes.Go(func() { l.run(held) })
		}
		lanes.Wait()
		end()
		r.o.Held(shard, false)
		r.o.Lease.Release(shard, epoch)
	}
}
