package command

import (
	"context"
	"errors"
	"sync"
	"time"

	"auditlog/eventstore"
	"auditlog/internal/fault"
)

// Log is all that an Appender asks of a store: eventstore.Store.Append, with its promises.
type Log interface {
	Append(ctx context.Context, f eventstore.Flush) ([]eventstore.Outcome, error)
}

// Observer is told what the appender does; it must not block.
type Observer interface {
	// Waiting is the number of entries that wait on a shard's lane, after a change.
	Waiting(shard eventstore.Shard, entries int)
	// Flushed is one flush with its retries; err is nil when it was stored.
	Flushed(shard eventstore.Shard, units, entries int, took time.Duration, err error)
}

// AppenderOptions tune an Appender. The zero value is the recommended one.
type AppenderOptions struct {
	// FlushEntries and FlushBytes cap what is collected into one flush; a single unit may exceed them. Defaults 512 and
	// 1 MiB.
	FlushEntries, FlushBytes int
	// QueueEntries bounds what waits on a lane; more is refused as fault.Overloaded. Default 16,384.
	QueueEntries int
	// Wait bounds how long a caller waits for its turn and its flush. Default 10 s.
	Wait time.Duration
	// FlushTimeout bounds one flush with all its retries. Default 10 s.
	FlushTimeout time.Duration
	// Retries is how often a flush is sent again when the store was unavailable. Default 4; negative for none.
	Retries int
	// Backoff is the pause before the first retry; it doubles with each. Default 5 ms.
	Backoff time.Duration
	// Observer may be nil.
	Observer Observer
}

func (o AppenderOptions) withDefaults() AppenderOptions {
	for _, f := range []struct {
		field *int
		value int
	}{{&o.FlushEntries, 512}, {&o.FlushBytes, 1 << 20}, {&o.QueueEntries, 16384}, {&o.Retries, 4}} {
		if *f.field == 0 {
			*f.field = f.value
		}
	}
	for _, f := range []struct {
		field *time.Duration
		value time.Duration
	}{{&o.Wait, 10 * time.Second}, {&o.FlushTimeout, 10 * time.Second}, {&o.Backoff, 5 * time.Millisecond}} {
		if *f.field == 0 {
			*f.field = f.value
		}
	}
	if o.Observer == nil {
		o.Observer = nobody{}
	}
	return o
}

type nobody struct{}

func (nobody) Waiting(eventstore.Shard, int)                            {}
func (nobody) Flushed(eventstore.Shard, int, int, time.Duration, error) {}

// Appender commits units in groups. Each shard has a lane with one flush in flight; what arrives meanwhile makes up the
// next, so the flush in flight is the only timer. A caller who finds the lane idle runs its own flush at once, with no
// other goroutine involved. Units are never split and keep their order of arrival.
type Appender struct {
	log   Log
	opts  AppenderOptions
	lanes []lane
	busy  sync.WaitGroup // one per lane with a flush in flight
}

// NewAppender makes an appender for a store of so many shards.
func NewAppender(log Log, shards int, o AppenderOptions) *Appender {
	a := &Appender{log: log, opts: o.withDefaults(), lanes: make([]lane, shards)}
	for i := range a.lanes {
		a.lanes[i].shard = eventstore.Shard(i)
		a.lanes[i].a = a
	}
	return a
}

// Errors that the appender itself gives.
var errWaited = errors.New("no answer in time")

func overloaded(detail string, cause error) error {
	return &fault.Error{Kind: fault.Overloaded, Detail: detail, RetryAfter: time.Second, Cause: cause}
}

func unavailable(detail string, cause error) error {
	return &fault.Error{Kind: fault.Unavailable, Detail: detail, RetryAfter: time.Second, Cause: cause}
}

// Submit appends a unit and answers for each draft, in order; drafts must not change any more. Errors: Overloaded and
// ctx's own while the unit still waits, nothing being stored then; Unavailable when the outcome is unknown; else the
// store's. A ctx that ends while the unit is being flushed leaves the outcome unknown, and the flush goes on; the caller
// whose goroutine runs that flush stays until it ends.
func (a *Appender) Submit(ctx context.Context, shard eventstore.Shard, u eventstore.Unit) ([]eventstore.Outcome, error) {
	if len(u.Drafts) == 0 {
		return nil, nil
	}
	if int(shard) >= len(a.lanes) {
		return nil, fault.Newf(fault.Internal, "there is no shard %d", shard)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return a.lanes[shard].submit(ctx, &ticket{unit: u, bytes: sizeOf(u)})
}

// sizeOf is what a unit weighs in a flush: its parts and the columns beside them.
func sizeOf(u eventstore.Unit) int {
	n := 0
	for i := range u.Drafts {
		n += len(u.Drafts[i].Public) + len(u.Drafts[i].Private) + 96
	}
	return n
}

// Close refuses new units and returns once all that were taken are answered, or with ctx's error. It may be called again.
func (a *Appender) Close(ctx context.Context) error {
	for i := range a.lanes {
		a.lanes[i].close()
	}
	drained := make(chan struct{})
	go func() {
		a.busy.Wait()
		close(drained)
	}()
	select {
	case <-drained:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
