package command

import (
	"context"
	"errors"
	"sync"
	"time"

	"auditlog/eventstore"
	"auditlog/internal/fault"
)

// A sequence lets a client have several bulks under way and still keep their order. He numbers them from 0. Each enters
// its lane after the one before it, and from the first that is not stored, or is not known to be, none behind it is:
// it is broken then, and the client goes on with a new one. A sequence lives in one process and is forgotten when it has
// been idle for a minute; where its bulks come to different processes it breaks, and nothing is lost but time.
type sequence struct {
	mu     sync.Mutex
	next   int           // number of the bulk that may enter
	broken bool          // nothing else enters, and nothing is flushed that did
	moved  chan struct{} // closed at the next change
	users  int           // turns that have not ended; guarded by sequences.mu
	idle   time.Time     // when the last turn ended; guarded by sequences.mu
}

// SequenceID names a sequence among those of a tenant; the client makes it up, as random as a UUID.
type SequenceID [16]byte

type sequenceKey struct {
	tenant eventstore.TenantID
	id     SequenceID
}

// sequences are those that a process knows.
type sequences struct {
	mu  sync.Mutex
	all map[sequenceKey]*sequence
}

const (
	maxSequences   = 4096
	sequenceMemory = time.Minute
	// A bulk waits so long for the one before it, and less where nothing of its sequence was seen: that one may have gone
	// to another process.
	sequenceWait = 10 * time.Second
	unknownWait  = time.Second
)

var errBroken = fault.New(fault.Conflict, "the bulk before this one in its sequence was not stored, or did not come to this process. "+
	"Nothing of this one is stored: begin a new sequence with it")

// Turn is the place of one bulk in its sequence. A nil Turn is that of a bulk which has none.
type Turn struct {
	all     *sequences
	s       *sequence
	n       int
	entered bool
}

// Turn takes the place of a bulk, which must End. Errors: Overloaded when too many sequences are under way.
func (c *Commands) Turn(tenant eventstore.TenantID, id SequenceID, n int) (*Turn, error) {
	return c.order.turn(sequenceKey{tenant, id}, n)
}

func (q *sequences) turn(key sequenceKey, n int) (*Turn, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.all[key]
	if s == nil {
		if len(q.all) >= maxSequences {
			q.forget()
		}
		if len(q.all) >= maxSequences {
			return nil, overloaded("too many sequences of bulks are under way", leastRetry, nil)
		}
		s = &sequence{moved: make(chan struct{})}
		if q.all == nil {
			q.all = map[sequenceKey]*sequence{}
		}
		q.all[key] = s
	}
	s.users++
	return &Turn{all: q, s: s, n: n}, nil
}

// forget drops the sequences that have been idle for long. It is called with the lock.
func (q *sequences) forget() {
	for key, s := range q.all {
		if s.users == 0 && time.Since(s.idle) > sequenceMemory {
			delete(q.all, key)
		}
	}
}

// End gives the place up. A bulk that has not entered a lane by then breaks its sequence.
func (t *Turn) End() {
	if t == nil {
		return
	}
	if !t.entered {
		t.fail()
	}
	t.all.mu.Lock()
	defer t.all.mu.Unlock()
	t.s.users--
	t.s.idle = time.Now()
}

// wait waits until all bulks before this one have entered. Errors: Conflict when one of them never will, or does
// not in time; context.Canceled.
func (t *Turn) wait(ctx context.Context) error {
	if t == nil {
		return nil
	}
	patience := time.NewTimer(unknownWait)
	defer patience.Stop()
	for known := false; ; {
		t.s.mu.Lock()
		next, broken, moved := t.s.next, t.s.broken, t.s.moved
		t.s.mu.Unlock()
		switch {
		case broken || t.n < next: // a number that was used is as wrong as a gap
			return errBroken
		case t.n == next:
			return nil
		case next > 0 && !known:
			known = true
			patience.Reset(sequenceWait)
		}
		select {
		case <-moved:
		case <-patience.C:
			return errBroken
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				return ctx.Err()
			}
			return errBroken // no time is left
		}
	}
}

// enter lets the next bulk go: this one has its place in the lane.
func (t *Turn) enter() {
	if t == nil {
		return
	}
	t.entered = true
	t.change(func() { t.s.next++ })
}

// fail breaks the sequence.
func (t *Turn) fail() {
	if t != nil {
		t.change(func() { t.s.broken = true })
	}
}

func (t *Turn) change(do func()) {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	do()
	close(t.s.moved)
	t.s.moved = make(chan struct{})
}

// broken tells whether a bulk before this one was not stored.
func (t *Turn) broken() bool {
	if t == nil {
		return false
	}
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	return t.s.broken
}

// inTurn takes out the tickets whose sequence broke while they waited: a flush before this one failed.
func inTurn(batch []*ticket) []*ticket {
	for i, t := range batch {
		if !t.turn.broken() {
			continue
		}
		sound := append([]*ticket(nil), batch[:i]...)
		for _, t := range batch[i:] {
			if t.turn.broken() {
				t.err = errBroken
			} else {
				sound = append(sound, t)
			}
		}
		return sound
	}
	return batch
}
