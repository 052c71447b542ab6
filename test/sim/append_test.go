package sim

import (
	"context"
	"errors"
	"time"

	"auditlog/eventstore"
	"auditlog/internal/fault"
)

// request is what becomes of one Append.
type request struct {
	before   time.Duration // until its effect
	after    time.Duration // from its effect to its answer
	gives    time.Duration // when its sender is told that it failed, though it goes on; 0: not
	refused  bool          // it has no effect
	lost     bool          // its answer is lost
	outlives bool          // it has its effect though its sender left
	err      error         // of a refused, lost or given up one
}

func (s *stream) request() request {
	r := request{before: s.usual(), after: s.between(50*time.Microsecond, 3*time.Millisecond), outlives: s.n(2) == 0}
	r.err = []error{
		fault.New(fault.Unavailable, "the connection broke"), fault.New(fault.Unavailable, "the connection broke"),
		errors.New("something is wrong"), fault.New(fault.Internal, "something is wrong"),
	}[s.n(4)]
	switch {
	case s.one(5):
		r.refused = true
	case s.one(5):
		r.lost = true
	case s.one(4):
		r.gives, r.outlives = r.before, true
		r.before += s.between(0, 3*time.Second)
	case s.one(2):
		r.before += s.between(500*time.Millisecond, 6*time.Second)
	case s.one(1):
		r.refused, r.err = true, fault.New(fault.Overloaded, "too busy")
	}
	return r
}

// appends is the store as a process's appender sees it.
type appends struct {
	p       *process
	streams [shards]*stream
	flying  [shards]bool // guarded by the store's mu
}

// Append implements command.Log.
func (a *appends) Append(ctx context.Context, f eventstore.Flush) ([]eventstore.Outcome, error) {
	a.enter(f)
	defer a.leave(f.Shard)
	p, s := a.p, a.streams[f.Shard]
	if p.gone() {
		return nil, errDead
	}
	r := s.request()
	var out []eventstore.Outcome
	var err error
	var given <-chan time.Time
	if r.gives > 0 {
		given = time.After(s.until(r.gives))
	}
	r.before = s.until(r.before)
	done, left := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		out, err = p.w.store.carryOut(f, r, left)
	}()
	failed := r.err
	select {
	case <-done:
		if err != nil {
			failed = err
		} else if p.pause(ctx, s, r.after) == nil && !r.lost {
			return out, nil
		}
	case <-given:
		p.w.sometimes("append given up before its effect")
	case <-ctx.Done():
	case <-p.dead:
	}
	close(left)
	switch {
	case p.gone():
		return nil, errDead
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case r.lost && p.w.lie == "a stored flush is refused":
		return nil, fault.New(fault.Overloaded, "too busy")
	case r.lost:
		p.w.sometimes("answer to an append lost")
	}
	return nil, failed
}

// carryOut is the request at the store. It lives on when its sender leaves, as r says.
func (s *store) carryOut(f eventstore.Flush, r request, left <-chan struct{}) ([]eventstore.Outcome, error) {
	time.Sleep(r.before)
	if r.refused {
		return nil, r.err
	}
	select {
	case <-left:
		if !r.outlives {
			return nil, r.err
		}
		s.sometimes("append carried out after its sender left")
	default:
	}
	return s.commit(f)
}

func (a *appends) enter(f eventstore.Flush) {
	a.p.w.store.mu.Lock()
	defer a.p.w.store.mu.Unlock()
	if a.flying[f.Shard] {
		a.p.w.broken("lane", "%s has two flushes of shard %d in flight", a.p.name, f.Shard)
	}
	a.flying[f.Shard] = true
	entries, units := 0, len(f.Units)
	for _, u := range f.Units {
		entries += len(u.Drafts)
	}
	if units > 1 {
		a.p.w.sometimes("flush of several units")
	}
	if units > 1 && entries > flushEntries {
		a.p.w.broken("lane", "a flush of %d units has %d entries", units, entries)
	}
}

func (a *appends) leave(shard eventstore.Shard) {
	a.p.w.store.mu.Lock()
	defer a.p.w.store.mu.Unlock()
	a.flying[shard] = false
}
