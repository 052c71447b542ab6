package timescale

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Where many tenants write a little each, their entries spread over all shards, and a flush of each holds few: what a
// transaction costs counts then, not what an event does. So a small flush that comes while enough transactions are under
// way waits until one of them ends, and goes with others in the next one. That takes the shards' heads in the order of
// their numbers, as every process does, and waits long for none. A flush that it cannot store makes it fail as a whole;
// each goes alone then, which is safe, since its id tells whether it was stored.
const (
	atOnce     = 2  // transactions of small flushes under way before others wait
	mostShared = 16 // flushes of one transaction
	apartFor   = 16 // flushes of a shard that go alone after one that made others fail
)

// patience is how long a flush waits for transactions under way: behind one that hangs it goes alone.
const patience = 30 * time.Millisecond

// lockPatience bounds each wait for a lock of a transaction that carries several flushes.
const lockPatience = `SET LOCAL lock_timeout = '50ms'`

// together is the meeting point of small flushes.
type together struct {
	atOnce   int
	patience time.Duration

	mu      sync.Mutex
	flying  int
	waiting []*shared

	apart []atomic.Int32 // by shard: flushes that still go alone
}

// shared is a flush that may share a transaction.
type shared struct {
	*simple
	got  places
	err  error
	role chan role // at the end of its wait
}

// role is how a flush goes.
type role uint8

const (
	leads role = iota // with those that wait
	rides             // another led it: got and err are set
	parts             // alone
)

func newTogether(shards int) *together {
	return &together{atOnce: atOnce, patience: patience, apart: make([]atomic.Int32, shards)}
}

// errAlone tells a flush whose transaction was not carried out, for reasons that need not be its own.
var errAlone = errors.New("the flush must go alone")

// sendSmall sends a flush of few drafts, alone or with others.
func (s *Store) sendSmall(ctx context.Context, p *simple) (places, error) {
	if a := &s.together.apart[p.flush.Shard]; a.Load() > 0 {
		a.Add(-1)
		return s.sendFast(ctx, p)
	}
	one := &shared{simple: p}
	switch s.together.enter(one) {
	case leads:
		s.lead(ctx, one)
	case parts:
		return s.sendFast(ctx, p)
	}
	if errors.Is(one.err, errAlone) {
		return s.sendFast(ctx, p)
	}
	return one.got, one.err
}

// enter waits for a flush's turn.
func (t *together) enter(one *shared) role {
	t.mu.Lock()
	if t.flying < t.atOnce {
		t.flying++
		t.mu.Unlock()
		return leads
	}
	one.role = make(chan role, 1)
	t.waiting = append(t.waiting, one)
	t.mu.Unlock()
	late := time.NewTimer(t.patience)
	defer late.Stop()
	select {
	case r := <-one.role:
		return r
	case <-late.C:
	}
	if t.leave(one) {
		return parts
	}
	return <-one.role // its turn came just now
}

// leave takes a flush back that waits; false when its turn has come.
func (t *together) leave(one *shared) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.Index(t.waiting, one)
	if i < 0 {
		return false
	}
	t.waiting = slices.Delete(t.waiting, i, i+1)
	return true
}

// crew are one that leads and those that wait, by shard.
func (t *together) crew(one *shared) []*shared {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := min(len(t.waiting), mostShared-1)
	all := append(append(make([]*shared, 0, n+1), one), t.waiting[:n]...)
	t.waiting = slices.Delete(t.waiting, 0, n)
	slices.SortStableFunc(all, func(a, b *shared) int { return cmp.Compare(a.flush.Shard, b.flush.Shard) })
	return all
}

// landed lets the next one lead.
func (t *together) landed() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.waiting) == 0 {
		t.flying--
		return
	}
	next := t.waiting[0]
	t.waiting = slices.Delete(t.waiting, 0, 1)
	next.role <- leads
}

// lead sends a flush with all that wait.
func (s *Store) lead(ctx context.Context, one *shared) {
	all := s.together.crew(one)
	for _, other := range all {
		other.err = errAlone
	}
	defer func() {
		s.together.landed()
		for _, other := range all {
			if other != one {
				other.role <- rides
			}
		}
	}()
	if len(all) > 1 {
		s.sendShared(ctx, all)
	} else {
		one.got, one.err = s.sendFast(ctx, one.simple)
	}
}

// sendShared sends flushes as one transaction. It leaves errAlone with all when that fails.
func (s *Store) sendShared(ctx context.Context, all []*shared) {
	conn, err := s.hot.Acquire(ctx)
	if err != nil {
		return
	}
	defer conn.Release() // which closes one that is still in a transaction
	ctx, cancel := begun(ctx)
	defer cancel()
	culprit, err := s.sendAll(ctx, conn, all)
	if err != nil {
		_ = rollback(ctx, conn) // each learns by itself what is wrong
		if culprit != nil {
			s.together.apart[culprit.flush.Shard].Store(apartFor)
		}
		return
	}
	for _, one := range all {
		one.err = nil
		if one.got.seq > 0 {
			s.pruneAt(ctx, conn, one.flush.Shard, one.got.seq)
		}
	}
}

// sendAll is one round trip, or two where the events are enough for COPY. culprit is the flush that made it fail, if it was
// one. A flush without places could not be decided, and is no part of what was stored.
func (s *Store) sendAll(ctx context.Context, conn *pgxpool.Conn, all []*shared) (culprit *shared, err error) {
	total := 0
	for _, one := range all {
		total += one.total
	}
	byCopy := total >= s.copyFrom
	var b pgx.Batch
	b.Queue(`BEGIN`)
	b.Queue(lockPatience)
	for _, one := range all {
		if byCopy {
			b.Queue(placesSQL, s.args(one.simple, 0)...)
		} else {
			b.Queue(appendSQL, s.appendArgs(one.simple)...)
		}
	}
	if !byCopy {
		b.Queue(`COMMIT`)
	}
	if culprit, err = scanAll(conn.SendBatch(ctx, &b), all); err != nil || !byCopy {
		return culprit, err
	}
	return nil, copyEvents(ctx, conn, func(rows []byte) []byte {
		for _, one := range all {
			if len(one.got.bases) > 0 {
				rows = one.appendRows(rows, &one.got)
			}
		}
		return rows
	})
}

// scanAll reads the answers to a batch of sendAll.
func scanAll(sent pgx.BatchResults, all []*shared) (culprit *shared, err error) {
	defer func() { err = errors.Join(err, sent.Close()) }() // which reads that of COMMIT
	for range 2 {                                           // BEGIN and lockPatience
		if _, err := sent.Exec(); err != nil {
			return nil, err
		}
	}
	for _, one := range all {
		rows, err := sent.Query()
		if err == nil {
			one.got, err = one.scan(rows)
		}
		if err != nil {
			return one, err
		}
	}
	return nil, nil
}
