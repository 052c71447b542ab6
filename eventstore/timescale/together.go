package timescale

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"auditlog/internal/pgdb"
)

// Where many tenants write a little each, their entries spread over all shards, and a flush of each holds few: what a
// transaction costs counts then, not what an event does. So a small flush that comes while enough transactions are under
// way waits until one of them ends, and goes with others in the next one. That takes the shards' heads in the order of
// their numbers, as every process does, and waits long for none. A flush that it cannot store makes it fail as a whole; the
// others go without it, or each alone, which is safe, since a flush's id tells whether it was stored.
const (
	atOnce     = 2        // transactions of small flushes under way before others wait
	mostShared = 16       // flushes of one transaction
	smallBytes = 64 << 10 // of a flush that others may wait for
	apartFor   = 16       // flushes of a shard that go alone after one that made others fail
	suspected  = 2        // the same, of each that may have done so
)

// patience is the least time that others wait for a transaction under way: behind one that hangs they go on.
// lockPatience is the least time that one of several flushes waits for a lock; the most ends before PostgreSQL looks for
// deadlocks. Where transactions take long, both are a multiple of that.
const (
	patience         = 30 * time.Millisecond
	lockPatience     = 50 * time.Millisecond
	mostLockPatience = 900 * time.Millisecond
	timesUsual       = 3
)

// together is the meeting point of small flushes.
type together struct {
	atOnce   int
	patience time.Duration

	mu      sync.Mutex
	flying  int // transactions for which others wait
	waiting []*shared
	usual   time.Duration // that a transaction takes

	apart []atomic.Int32 // by shard: flushes that still go alone
}

// shared is a flush that may share a transaction.
type shared struct {
	*simple
	got   places
	err   error
	leads chan bool // at the end of its wait: whether it leads those that wait; else got and err are set
}

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
	if s.together.enter(one) || <-one.leads {
		s.lead(ctx, one)
	}
	if errors.Is(one.err, errAlone) {
		return s.sendFast(ctx, p)
	}
	return one.got, one.err
}

// enter tells whether a flush may go at once. Otherwise it waits for its turn, which comes by leads.
func (t *together) enter(one *shared) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.flying < t.atOnce {
		t.flying++
		return true
	}
	one.leads = make(chan bool, 1)
	t.waiting = append(t.waiting, one)
	return false
}

// crew are one that leads and those that wait, by shard, with the times for which others wait for them, and they for a lock.
func (t *together) crew(one *shared) (all []*shared, patience, lock time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := min(len(t.waiting), mostShared-1)
	all = append(append(make([]*shared, 0, n+1), one), t.waiting[:n]...)
	t.waiting = slices.Delete(t.waiting, 0, n)
	slices.SortStableFunc(all, func(a, b *shared) int { return cmp.Compare(a.flush.Shard, b.flush.Shard) })
	usual := timesUsual * t.usual
	return all, max(t.patience, usual), min(max(lockPatience, usual), mostLockPatience)
}

// land lets the next one lead.
func (t *together) land() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.waiting) == 0 {
		t.flying--
		return
	}
	next := t.waiting[0]
	t.waiting = slices.Delete(t.waiting, 0, 1)
	next.leads <- true
}

// took notes how long a transaction took that was carried out.
func (t *together) took(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.usual += (d - t.usual) / 8
}

// lead sends a flush with all that wait.
func (s *Store) lead(ctx context.Context, one *shared) {
	all, patience, lock := s.together.crew(one)
	for _, other := range all {
		other.err = errAlone
	}
	land := sync.OnceFunc(s.together.land)
	hangs := time.AfterFunc(patience, land)
	defer func() {
		hangs.Stop()
		land()
		for _, other := range all {
			if other != one {
				other.leads <- false
			}
		}
	}()
	start := time.Now()
	if len(all) > 1 {
		s.sendCrew(ctx, all, lock)
	} else {
		one.got, one.err = s.sendFast(ctx, one.simple)
	}
	if one.err == nil {
		s.together.took(time.Since(start))
	}
}

// sendCrew sends flushes as one transaction, and once more without one that made it fail. It leaves errAlone with those
// that were not stored.
func (s *Store) sendCrew(ctx context.Context, all []*shared, lock time.Duration) {
	for range 2 {
		culprit, err := s.sendShared(ctx, all, lock)
		if err == nil {
			for _, one := range all {
				one.err = nil
			}
			return
		}
		if pgdb.Lost(err) { // whoever asked sends it again, over another connection
			for _, one := range all {
				one.err = err
			}
			return
		}
		if culprit == nil {
			for _, one := range all {
				s.together.apart[one.flush.Shard].CompareAndSwap(0, suspected)
			}
			return
		}
		s.together.apart[culprit.flush.Shard].Store(apartFor)
		all = slices.DeleteFunc(slices.Clone(all), func(one *shared) bool { return one == culprit })
	}
}

// sendShared is one transaction. culprit is the flush that made it fail, if it was one.
func (s *Store) sendShared(ctx context.Context, all []*shared, lock time.Duration) (culprit *shared, err error) {
	conn, err := s.hot.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Release() // which closes one that is still in a transaction
	ctx, cancel := begun(ctx)
	defer cancel()
	if culprit, err = s.sendAll(ctx, conn, all, lock); err != nil {
		return culprit, errors.Join(err, rollback(ctx, conn))
	}
	return nil, nil
}

// sendAll is one round trip, or two where the events are enough for COPY. culprit is the flush that made it fail, if it was
// one. A flush without places could not be decided, and is no part of what was stored.
func (s *Store) sendAll(ctx context.Context, conn *pgxpool.Conn, all []*shared, lock time.Duration) (culprit *shared, err error) {
	total := 0
	for _, one := range all {
		total += one.total
	}
	byCopy := total >= s.copyFrom
	var b pgx.Batch
	b.Queue(`BEGIN`)
	b.Queue(`SELECT set_config('lock_timeout', $1, true)`, strconv.FormatInt(lock.Milliseconds(), 10))
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
	for range 2 {                                           // BEGIN and the timeout
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
