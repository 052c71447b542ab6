package command

import (
	"context"
	"errors"
	"sync"
	"time"

	"auditlog/eventstore"
	"auditlog/internal/fault"
	"auditlog/internal/mutant"
)

// Log is all that an Appender asks of a store: eventstore.Store.Append, with its promises.
type Log interface {
	Append(ctx context.Context, f eventstore.Flush) ([]eventstore.Outcome, error)
}

// Observer is told what the appender does; it must not block.
type Observer interface {
	// Refused is a unit that was turned away before anything was stored; why is one of RefusedFull and the like.
	Refused(shard eventstore.Shard, why string)
	// Flushed is one flush with its retries; waited is how long the unit waited that waited longest, err is nil when the
	// flush was stored.
	Flushed(shard eventstore.Shard, units, entries int, waited, took time.Duration, err error)
}

// AppenderOptions tune an Appender. The zero value is the recommended one.
type AppenderOptions struct {
	// FlushEntries and FlushBytes cap what is collected into one flush; a single unit may exceed them. Defaults 512 and
	// 1 MiB.
	FlushEntries, FlushBytes int
	// QueueEntries and QueueBytes bound what waits on all lanes together; more is refused as fault.Overloaded, and so is
	// what passes a tenant's share: half of what others leave. Defaults 16,384 and 64 MiB.
	QueueEntries, QueueBytes int
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
	}{{&o.FlushEntries, 512}, {&o.FlushBytes, 1 << 20}, {&o.QueueEntries, 16384}, {&o.QueueBytes, 64 << 20}, {&o.Retries, 4}} {
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

func (nobody) Refused(eventstore.Shard, string)                                        {}
func (nobody) Flushed(eventstore.Shard, int, int, time.Duration, time.Duration, error) {}

// Appender commits units in groups. Each shard has a lane with one flush in flight; what arrives meanwhile makes up the
// next, so the flush in flight is the only timer. A caller who finds the lane idle runs its own flush at once, with no
// other goroutine involved. Units are never split. Those of a tenant keep their order of arrival; the tenants that wait
// take turns by bytes, so that none waits for another's backlog, and a newcomer may overtake a slow flush of a flood.
type Appender struct {
	log     Log
	opts    AppenderOptions
	lanes   []lane
	room    room
	tickets sync.Pool      // *ticket that nobody waits on
	busy    sync.WaitGroup // one per lane with a flush in flight
}

// NewAppender makes an appender for a store of so many shards.
func NewAppender(log Log, shards int, o AppenderOptions) *Appender {
	a := &Appender{log: log, opts: o.withDefaults(), lanes: make([]lane, shards)}
	a.room.maxEntries, a.room.maxBytes, a.room.lanes = a.opts.QueueEntries, a.opts.QueueBytes, shards
	for i := range a.lanes {
		a.lanes[i].shard = eventstore.Shard(i)
		a.lanes[i].a = a
	}
	return a
}

// ErrWaited is the cause of errors of callers whose time ran out, before their turn or after it. It says no more than they do.
var ErrWaited = errors.New("no answer in time")

func overloaded(detail string, retry time.Duration, cause error) error {
	return &fault.Error{Kind: fault.Overloaded, Detail: detail, RetryAfter: retry, Cause: cause}
}

func unavailable(detail string, cause error) error {
	return &fault.Error{Kind: fault.Unavailable, Detail: detail, RetryAfter: leastRetry, Cause: cause}
}

// Submit appends a unit and answers for each draft, in order; drafts must not change any more. Errors: Overloaded when
// there is no room, or the time (Wait, or ctx's deadline) ran out before the unit's turn came, and nothing is stored;
// Unavailable when it ran out later, and the outcome is unknown; context.Canceled when the caller left; else the store's.
// A unit that is being flushed goes on without its caller; the caller whose goroutine runs that flush stays until it ends.
func (a *Appender) Submit(ctx context.Context, shard eventstore.Shard, u eventstore.Unit) ([]eventstore.Outcome, error) {
	return a.submit(ctx, shard, u, nil)
}

// submit is Submit for a unit with a place in a sequence, whose turn it must be.
func (a *Appender) submit(ctx context.Context, shard eventstore.Shard, u eventstore.Unit, place *Place) ([]eventstore.Outcome, error) {
	if len(u.Drafts) == 0 {
		return nil, nil
	}
	if int(shard) >= len(a.lanes) {
		return nil, fault.Newf(fault.Internal, "there is no shard %d", shard)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if half := len(u.Drafts) / 2; mutant.On == mutant.BulkSplit && half > 0 {
		rest := u
		u.Drafts, rest.Drafts = u.Drafts[:half], u.Drafts[half:]
		first, err := a.Submit(ctx, shard, u)
		if err != nil {
			return nil, err
		}
		second, err := a.Submit(ctx, shard, rest)
		return append(first, second...), err
	}
	t := a.ticket()
	t.unit, t.bytes, t.place = u, sizeOf(u), place
	return a.lanes[shard].submit(ctx, t)
}

func (a *Appender) ticket() *ticket {
	if t, ok := a.tickets.Get().(*ticket); ok {
		return t
	}
	t := &ticket{done: make(chan struct{}, 1)}
	t.alone[0] = t
	return t
}

// release keeps a ticket that no lane has any more for another unit.
func (a *Appender) release(t *ticket) {
	t.unit, t.outcomes, t.err, t.since, t.place = eventstore.Unit{}, nil, nil, time.Time{}, nil
	a.tickets.Put(t)
}

// Waiting is how much waits on a shard's lane, in entries and bytes.
func (a *Appender) Waiting(shard eventstore.Shard) (entries, bytes int) {
	l := &a.lanes[shard]
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.queue.entries, l.queue.bytes
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
