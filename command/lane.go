package command

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"time"

	"auditlog/eventstore"
)

// ticket is a unit that waits for its outcomes.
type ticket struct {
	unit     eventstore.Unit
	bytes    int
	outcomes []eventstore.Outcome
	err      error
	done     chan struct{} // closed when outcomes and err are set; nil for one that is flushed by its caller
}

// lane is the queue of one shard.
type lane struct {
	a     *Appender
	shard eventstore.Shard

	mu      sync.Mutex
	waiting []*ticket // in order of arrival
	entries int       // drafts in waiting
	flying  bool      // a flush is in flight; whoever set it flushes what waits, too
	closed  bool
}

func (l *lane) submit(ctx context.Context, t *ticket) ([]eventstore.Outcome, error) {
	first, err := l.enter(t)
	switch {
	case err != nil:
		return nil, err
	case first:
		l.lead(t)
	default:
		if err := l.await(ctx, t); err != nil {
			return nil, err
		}
	}
	return t.outcomes, t.err
}

// enter queues the ticket, or tells the caller of an idle lane to flush it.
func (l *lane) enter(t *ticket) (first bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(t.unit.Drafts)
	switch {
	case l.closed:
		return false, overloaded("the service is stopping", nil)
	case !l.flying:
		l.flying = true
		l.a.busy.Add(1)
		return true, nil
	case l.entries+n > l.a.opts.QueueEntries && l.entries > 0:
		return false, overloaded("too many entries are waiting to be stored", nil)
	}
	t.done = make(chan struct{})
	l.waiting = append(l.waiting, t)
	l.addEntries(n)
	return false, nil
}

func (l *lane) addEntries(n int) {
	l.entries += n
	l.a.opts.Observer.Waiting(l.shard, l.entries)
}

// lead flushes the caller's own ticket. What came meanwhile is another goroutine's, so that the caller can go.
func (l *lane) lead(t *ticket) {
	defer func() {
		if batch := l.next(); batch != nil {
			go l.drain(batch)
		}
	}()
	l.flush([]*ticket{t})
}

// drain flushes until nothing waits. Appender.Close waits for it.
func (l *lane) drain(batch []*ticket) {
	for ; batch != nil; batch = l.next() {
		l.flush(batch)
		for _, t := range batch {
			close(t.done)
		}
		runtime.Gosched() // requests that are ready to run join the next flush, where they would else each pay for one of their own
	}
}

// next takes the tickets of the next flush; nil leaves the lane idle.
func (l *lane) next() []*ticket {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) == 0 {
		l.flying = false
		l.a.busy.Done()
		return nil
	}
	n, entries, bytes := 0, 0, 0
	for _, t := range l.waiting {
		entries, bytes = entries+len(t.unit.Drafts), bytes+t.bytes
		if n > 0 && (entries > l.a.opts.FlushEntries || bytes > l.a.opts.FlushBytes) {
			entries -= len(t.unit.Drafts)
			break
		}
		n++
	}
	batch := slices.Clone(l.waiting[:n])
	l.waiting = slices.Delete(l.waiting, 0, n)
	l.addEntries(-entries)
	return batch
}

// await waits for the ticket's outcome. A caller who leaves before its turn takes the ticket along.
func (l *lane) await(ctx context.Context, t *ticket) error {
	late := time.NewTimer(l.a.opts.Wait)
	defer late.Stop()
	select {
	case <-t.done:
		return nil
	case <-ctx.Done():
		l.withdraw(t)
		return ctx.Err()
	case <-late.C:
	}
	if l.withdraw(t) {
		return overloaded("the entry waited too long for its turn", errWaited)
	}
	return unavailable("the store did not answer in time; whether the entry is stored is not known", errWaited)
}

// withdraw removes a ticket whose turn has not come; false when it has.
func (l *lane) withdraw(t *ticket) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.Index(l.waiting, t)
	if i < 0 {
		return false
	}
	l.waiting = slices.Delete(l.waiting, i, i+1)
	l.addEntries(-len(t.unit.Drafts))
	return true
}

func (l *lane) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
}
