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
// its lane after the one before it, and from the first that is not known to be stored, none behind it is: it is broken
// then, and the client goes on with a new one. A sequence lives in one process; where its bulks come to different
// processes it breaks, and nothing is lost but time.
type sequence struct {
	mu      sync.Mutex
	next    int           // number of the bulk that may enter
	claimed bool          // and it is about to
	taken   map[int]int   // how many places of a number are taken
	broken  bool          // nothing else enters, and nothing is flushed that did
	moved   chan struct{} // closed at the next change
	users   int           // places that have not ended; guarded by sequences.mu
	idle    time.Time     // when the last of them ended; guarded by sequences.mu
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
	// Beyond so many the one that has been idle for longest is forgotten: whoever goes on with it begins a new one.
	maxSequences = 4096
	// A bulk waits so long for the one before it, and less while that one has not come: it may have gone to another process.
	sequenceWait = 10 * time.Second
	absentWait   = time.Second
)

var errBroken = fault.New(fault.Conflict, "the sequence of this bulk is broken: one before it was not stored, or did not come to this process in time, or a number came "+
	"twice. Nothing of this one is stored: begin a new sequence with it")

// Place is that of one bulk in its sequence. A nil Place is that of a bulk which has none.
type Place struct {
	among  *sequences
	s      *sequence
	n      int
	stored bool
}

// Place takes the place of a bulk, which must End.
func (c *Commands) Place(tenant eventstore.TenantID, id SequenceID, n int) *Place {
	return c.sequences.place(sequenceKey{tenant, id}, n)
}

func (q *sequences) place(key sequenceKey, n int) *Place {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.all[key]
	if s == nil {
		if len(q.all) >= maxSequences {
			q.forget()
		}
		s = &sequence{moved: make(chan struct{}), taken: map[int]int{}}
		if q.all == nil {
			q.all = map[sequenceKey]*sequence{}
		}
		q.all[key] = s
	}
	s.users++
	s.change(func() { s.taken[n]++ })
	return &Place{among: q, s: s, n: n}
}

// forget drops the sequence that has been idle for longest. It is called with the lock.
func (q *sequences) forget() {
	var oldest sequenceKey
	var idle time.Time
	for key, s := range q.all {
		if s.users == 0 && (idle.IsZero() || s.idle.Before(idle)) {
			oldest, idle = key, s.idle
		}
	}
	delete(q.all, oldest)
}

// End gives the place up. A bulk that is not known to be stored by then breaks its sequence.
func (p *Place) End() {
	if p == nil {
		return
	}
	p.s.change(func() {
		p.s.broken = p.s.broken || !p.stored
		if p.s.taken[p.n]--; p.s.taken[p.n] == 0 {
			delete(p.s.taken, p.n)
		}
	})
	p.among.mu.Lock()
	defer p.among.mu.Unlock()
	p.s.users--
	p.s.idle = time.Now()
}

// wait waits until all bulks before this one have entered. Errors: Conflict when one of them never will, or does
// not in time; context.Canceled.
func (p *Place) wait(ctx context.Context) error {
	if p == nil {
		return nil
	}
	patience := time.NewTimer(absentWait)
	defer patience.Stop()
	for come := false; ; {
		turn, moved := p.look()
		switch {
		case turn == wrong:
			return errBroken
		case turn == mine:
			return nil
		case turn == near && !come:
			come = true
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

// turn is whose it is.
type turn uint8

const (
	far  turn = iota // the bulk before this one has not come
	near             // it has
	mine
	wrong // it will never be this one's
)

// look tells whose turn it is, and claims it when it is this bulk's: another of its number comes too late then.
func (p *Place) look() (turn, <-chan struct{}) {
	s := p.s
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.broken, p.n < s.next, p.n == s.next && s.claimed:
		return wrong, nil
	case p.n == s.next:
		s.claimed = true
		return mine, nil
	case s.taken[p.n-1] > 0:
		return near, s.moved
	}
	return far, s.moved
}

// enter lets the next bulk go: this one has its way through the lane.
func (p *Place) enter() {
	if p != nil {
		p.s.change(func() { p.s.next, p.s.claimed = p.s.next+1, false })
	}
}

// keep notes that the bulk is stored, or that nothing of it is to be.
func (p *Place) keep() {
	if p != nil {
		p.stored = true
	}
}

// fail breaks the sequence.
func (p *Place) fail() {
	if p != nil {
		p.s.change(func() { p.s.broken = true })
	}
}

func (s *sequence) change(do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do()
	close(s.moved)
	s.moved = make(chan struct{})
}

// broken tells whether a bulk before this one was not stored.
func (p *Place) broken() bool {
	if p == nil {
		return false
	}
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	return p.s.broken
}

// unbroken takes out the tickets whose sequence broke while they waited: a flush before this one failed.
func unbroken(batch []*ticket) []*ticket {
	for i, t := range batch {
		if !t.place.broken() {
			continue
		}
		sound := append([]*ticket(nil), batch[:i]...)
		for _, t := range batch[i:] {
			if t.place.broken() {
				t.err = errBroken
			} else {
				sound = append(sound, t)
			}
		}
		return sound
	}
	return batch
}
