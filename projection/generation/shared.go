package generation

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"

	"auditlog/eventstore"
	"auditlog/internal/fault"
	"auditlog/internal/pgdb"
)

// At is a generation on PostgreSQL.
type At struct {
	Address string
	Schema  string // holds its tables
	Alone   bool   // it is written by its opener alone, whether it is live or not: no Enter, and statements may take long

	list List
	name string
}

// Enter begins the work of a transaction that writes events of the shard. Until its end no other one writes that shard,
// and the generation stays the live one, if its tables are there: they go when another one becomes live.
func (a At) Enter(ctx context.Context, tx *sql.Tx, shard eventstore.Shard) error {
	if a.Alone {
		return nil
	}
	_, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock_shared(?), pg_advisory_xact_lock(?)`,
		a.list.key("live", a.name), a.list.key("shard", a.name, strconv.Itoa(int(shard))))
	if err != nil {
		return fmt.Errorf("wait for the shard: %w", err)
	}
	return nil
}

// Shared is the generations of one projection on PostgreSQL, of which T is one. Any number of processes may have it
// open, each with the live generation, which they follow when one of them swaps. It is safe for concurrent use.
//
// What is guaranteed:
//
//   - A generation that is not live does not exist: the swap and the removal of the old one are one transaction. Who
//     has the old one open fails and follows; nobody reads from it, or writes to it, any more.
//   - Only one process rebuilds. What a crashed rebuild left is no generation for anybody, and removed by the next one.
//   - A generation whose tables are missing is made anew, empty, by whoever opens it: the sweeper then fills it.
type Shared[T interface{ Close() error }] struct {
	list List
	name string
	open func(ctx context.Context, at At) (T, error)
	log  *slog.Logger

	following sync.Mutex // held by whoever puts another generation in live's place

	mu     sync.RWMutex // guards the fields below; read-held while live is in use
	live   T
	n      int64
	closed bool
}

// OpenShared opens the live generation, or makes the first. open opens a generation whose tables are there.
func OpenShared[T interface{ Close() error }](ctx context.Context, list List, name string, log *slog.Logger, open func(ctx context.Context, at At) (T, error)) (*Shared[T], error) {
	s := &Shared[T]{list: list, name: name, open: open, log: log}
	fail := func(err error) (*Shared[T], error) {
		return nil, pgdb.Translate("open projection "+name, err)
	}
	c, err := list.connect(ctx)
	if err != nil {
		return fail(err)
	}
	defer c.close(ctx)
	if err := list.schema().Check(ctx, c.conn); err != nil {
		return fail(err)
	}
	if s.n, err = c.live(ctx, name); err == nil && s.n == 0 {
		s.n, err = c.first(ctx, name)
	}
	if err != nil {
		return fail(err)
	}
	if s.live, err = s.openAt(ctx, c, s.n, false); err != nil {
		return fail(err)
	}
	return s, nil
}

func (s *Shared[T]) openAt(ctx context.Context, c *session, n int64, alone bool) (t T, err error) {
	if err := c.ensure(ctx, s.name, n); err != nil {
		return t, err
	}
	return s.open(ctx, At{Address: s.list.Address, Schema: s.list.of(s.name, n), Alone: alone, list: s.list, name: s.name})
}

// Use calls f with the live generation, which stays open until f returns. f is called again, with another one, when the
// generation turns out to be replaced, and after a deadlock. f must not call Swap or Close.
func (s *Shared[T]) Use(ctx context.Context, f func(live T) error) error {
	for try := 1; ; try++ {
		n, err := s.use(f)
		if pgdb.State(err) == "" || try == maxTries {
			return pgdb.Translate("projection "+s.name, err)
		}
		moved, cause := s.follow(ctx, n)
		if cause != nil {
			return pgdb.Translate("projection "+s.name, errors.Join(err, cause))
		}
		if !moved && !again(err) {
			return pgdb.Translate("projection "+s.name, err)
		}
	}
}

func (s *Shared[T]) use(f func(live T) error) (n int64, err error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return s.n, ErrClosed
	}
	return s.n, f(s.live)
}

// follow opens the generation that is live now in the place of number n, and tells whether it is another one.
func (s *Shared[T]) follow(ctx context.Context, n int64) (moved bool, err error) {
	s.following.Lock()
	defer s.following.Unlock()
	s.mu.RLock()
	other := s.closed || s.n != n
	s.mu.RUnlock()
	if other {
		return true, nil
	}
	c, err := s.list.connect(ctx)
	if err != nil {
		return false, err
	}
	defer c.close(ctx)
	now, err := c.live(ctx, s.name)
	if err != nil || now == n {
		return false, err
	}
	next, err := s.openAt(ctx, c, now, false)
	if err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return true, next.Close()
	}
	old := s.live
	s.live, s.n = next, now
	if err := old.Close(); err != nil { // its tables are gone
		s.log.WarnContext(ctx, "closing the old generation", "projection", s.name, "error", err)
	}
	return true, nil
}

// ErrRebuilding says that another process fills a generation.
var ErrRebuilding = fault.New(fault.Conflict, "another rebuild of the projection is under way")

// Swap makes the next generation beside the live one, lets fill fill it, and puts it in the live one's place, for all
// processes. The live one serves until then, and again when anything fails. last runs after fill, while nobody writes to
// live; both are its caller's alone. live is the zero T when it cannot be opened. A second Swap at the same time, of any
// process, is refused with ErrRebuilding.
func (s *Shared[T]) Swap(ctx context.Context, fill func(ctx context.Context, next T) error, last func(ctx context.Context, live, next T) error) error {
	c, err := s.list.connect(ctx)
	if err != nil {
		return pgdb.Translate("rebuild", err)
	}
	defer c.close(ctx)
	got, err := c.tryLock(ctx, "rebuild", s.name)
	if err == nil && !got {
		return ErrRebuilding
	}
	if err == nil {
		err = c.removeOthers(ctx, s.name)
	}
	var n int64
	if err == nil {
		n, err = c.live(ctx, s.name)
	}
	if err == nil {
		err = s.swap(ctx, c, n, fill, last)
	}
	if err != nil {
		return pgdb.Translate("rebuild", errors.Join(err, c.removeOthers(context.WithoutCancel(ctx), s.name)))
	}
	c.close(ctx) // its locks keep those waiting that follow waits for
	_, err = s.follow(ctx, n)
	return pgdb.Translate("open the rebuilt generation", err)
}

func (s *Shared[T]) swap(ctx context.Context, c *session, n int64, fill func(ctx context.Context, next T) error, last func(ctx context.Context, live, next T) error) (err error) {
	next, err := s.openAt(ctx, c, n+1, true)
	if err != nil {
		return fmt.Errorf("make generation %d of %s: %w", n+1, s.name, err)
	}
	err = fill(ctx, next)
	if err == nil {
		err = c.lock(ctx, "live", s.name)
	}
	if err == nil {
		err = s.compare(ctx, c, n, next, last)
	}
	if err = errors.Join(err, next.Close()); err != nil {
		return err
	}
	return c.swap(ctx, s.name, n, n+1)
}

// compare runs last.
func (s *Shared[T]) compare(ctx context.Context, c *session, n int64, next T, last func(ctx context.Context, live, next T) error) error {
	live, err := s.openAt(ctx, c, n, true)
	if err != nil {
		s.log.WarnContext(ctx, "the replaced generation cannot be opened", "projection", s.name, "error", err)
		return last(ctx, live, next)
	}
	return errors.Join(last(ctx, live, next), live.Close())
}

// Close closes the live generation, after every Use has returned. Closing twice is harmless.
func (s *Shared[T]) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	return s.live.Close()
}
