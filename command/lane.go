package command

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"time"

	"auditlog/eventstore"
	"auditlog/internal/mutant"
)

// lane is the way to one shard: what waits, and the flush in flight, which one small unit may overtake.
type lane struct {
	a     *Appender
	shard eventstore.Shard

	mu     sync.Mutex
	queue  queue
	pace   pace
	busy   bool      // a flush is in flight or about to be; whoever set it flushes what waits, too
	began  time.Time // of the flush in flight
	flying []*ticket // in it
	load   load      // of it
	flight uint64    // its number
	ahead  *ticket   // overtakes it; nil when none does
	paused bool      // only the tenant of ahead has something waiting
	closed bool

	batch []*ticket // memory of whoever flushes
}

// load is what a flush carries.
type load struct {
	held
	tenants int
}

// way is how a unit goes.
type way uint8

const (
	waits way = iota
	leads     // the lane was idle
	overtakes
)

func (l *lane) submit(ctx context.Context, t *ticket) ([]eventstore.Outcome, error) {
	way, err := l.enter(t)
	if err == nil {
		t.place.enter()
	}
	switch {
	case err != nil:
		l.a.release(t)
		return nil, err
	case way == leads:
		l.lead(t)
	case way == overtakes:
		l.overtake(t)
	default:
		if mine, err := l.await(ctx, t); err != nil {
			if mine && mutant.On != mutant.WithdrawnStored {
				l.a.release(t)
			}
			return nil, err
		}
	}
	outcomes, err := t.outcomes, t.err
	l.a.release(t)
	return outcomes, err
}

// enter queues the ticket, or tells its caller to flush it.
func (l *lane) enter(t *ticket) (way, error) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		l.a.opts.Observer.Refused(l.shard, RefusedStopping)
		return waits, overloaded("the service is stopping", leastRetry, nil)
	}
	if !l.busy {
		l.busy, l.began, l.flying, l.load = true, now, t.alone[:], load{held{t.entries(), t.bytes}, 1}
		l.a.busy.Add(1)
		return leads, nil
	}
	if l.passes(t) {
		l.ahead = t
		l.a.busy.Add(1)
		return overtakes, nil
	}
	if why := l.a.room.claim(held{t.entries(), t.bytes}, l.queue.of(t.unit.Tenant), l.queue.held); why != "" {
		l.a.opts.Observer.Refused(l.shard, why)
		return waits, overloaded("too many entries are waiting to be stored", l.retry(t.unit.Tenant, why, now), nil)
	}
	t.since = now
	l.queue.push(t)
	return waits, nil
}

// retry is when a refused unit may be taken: when all has gone that waits now, or, where only the tenant's own is too much,
// when that has gone in its turns.
func (l *lane) retry(tenant eventstore.TenantID, why string, now time.Time) time.Duration {
	ahead := l.queue.held
	if why == RefusedShare {
		own, rivals := l.queue.of(tenant), len(l.queue.flows)
		ahead = held{min(ahead.entries, own.entries*rivals), min(ahead.bytes, own.bytes*rivals)}
	}
	return l.pace.drains(ahead, now.Sub(l.began))
}

// lead flushes the caller's own ticket. What came meanwhile is another goroutine's, so that the caller can go.
func (l *lane) lead(t *ticket) {
	var stored held
	defer func() {
		if t.outcomes == nil && t.err == nil {
			t.place.fail() // a panic: those behind it must not go
		}
		l.landed(stored)
		if batch := l.next(); batch != nil {
			go l.drain(batch)
		}
	}()
	stored = l.flush(t.alone[:])
}

// drain flushes until nothing waits. Appender.Close waits for it.
func (l *lane) drain(batch []*ticket) {
	for ; batch != nil; batch = l.next() {
		l.landed(l.flush(batch))
		for i, t := range batch {
			batch[i] = nil // its caller uses it for another unit at once
			t.done <- struct{}{}
		}
		runtime.Gosched() // requests that are ready to run join the next flush, where they would else each pay for one of their own
	}
}

// landed notes the end of a flush, before any of its tickets goes back to its caller.
func (l *lane) landed(stored held) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pace.flushed(stored, now.Sub(l.began))
	l.flying, l.load, l.began = nil, load{}, now
}

// next takes the tickets of the next flush; nil leaves the lane idle, or paused.
func (l *lane) next() []*ticket {
	l.mu.Lock()
	defer l.mu.Unlock()
	var taken load
	l.batch = l.batch[:0]
	l.flight++
	for t := l.turn(); t != nil; t = l.turn() {
		n, b := taken.entries+t.entries(), taken.bytes+t.bytes
		if len(l.batch) > 0 && (n > l.a.opts.FlushEntries || b > l.a.opts.FlushBytes) {
			break
		}
		taken.held = held{n, b}
		if t.flow.flight != l.flight {
			t.flow.flight = l.flight
			taken.tenants++
		}
		l.queue.take(t)
		l.batch = append(l.batch, t)
	}
	if len(l.batch) == 0 {
		if l.paused = l.queue.turn != nil; l.paused {
			return nil // whoever overtakes goes on when he has landed
		}
		l.busy = false
		l.a.busy.Done()
		return nil
	}
	l.a.room.leave(taken.held)
	l.flying, l.load = l.batch, taken
	return l.batch
}

// await waits for the ticket's outcome. A caller who leaves before its turn takes the ticket along: it is mine then.
func (l *lane) await(ctx context.Context, t *ticket) (mine bool, err error) {
	if t.late == nil {
		t.late = time.NewTimer(l.a.opts.Wait)
	} else {
		t.late.Reset(l.a.opts.Wait)
	}
	defer t.late.Stop()
	select {
	case <-t.done:
		return true, nil
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.Canceled) {
			_, mine = l.withdraw(t)
			return mine, ctx.Err()
		}
	case <-t.late.C:
	}
	if retry, mine := l.withdraw(t); mine {
		l.a.opts.Observer.Refused(l.shard, RefusedLate)
		return true, overloaded("the entry waited too long for its turn", retry, ErrWaited)
	}
	select {
	case <-t.done: // just now
		return true, nil
	default:
		return false, unavailable("the store did not answer in time; whether the entry is stored is not known", ErrWaited)
	}
}

// withdraw removes a ticket whose turn has not come, and tells when to try again; false when the turn has come.
func (l *lane) withdraw(t *ticket) (retry time.Duration, ok bool) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if t.flow == nil {
		return 0, false
	}
	retry = l.pace.drains(l.queue.held, now.Sub(l.began))
	if mutant.On == mutant.WithdrawnStored {
		return retry, true
	}
	l.queue.withdraw(t)
	t.place.fail() // before those behind it can go
	l.a.room.leave(held{t.entries(), t.bytes})
	return retry, true
}

func (l *lane) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
}
