package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"auditlog/eventstore"
	"auditlog/internal/fault"
	"auditlog/internal/sqlitedb"
	"auditlog/migrations"
)

// cacheKiB is the page cache of the writer.
const cacheKiB = 16 << 10

// Options of a store. The zero value is what production uses.
type Options struct {
	Now       func() time.Time // the clock of recorded_at; default time.Now
	ReadConns int              // size of the read pool; default 4
}

// Store is one SQLite file. It is an eventstore.Store and an eventstore.Lifecycle.
type Store struct {
	db      *sqlitedb.DB
	now     func() time.Time
	read    statements
	tenants tenantCache
	wake    wake

	lock chan struct{} // holds one token; whoever took it owns w
	w    *writer       // nil: opened by the next append

	keeper keeper

	given atomic.Int64 // offsets given to flushes, for mutant.Bigserial alone
}

var (
	_ eventstore.Store     = (*Store)(nil)
	_ eventstore.Lifecycle = (*Store)(nil)
)

// Open opens or creates the store's file and brings its schema up to date. A damaged file is sqlitedb.ErrCorrupt.
func Open(ctx context.Context, path string, o Options) (*Store, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.ReadConns == 0 {
		o.ReadConns = 4
	}
	db, err := sqlitedb.Open(ctx, path, sqlitedb.Options{
		Durable: true, ReadConns: o.ReadConns + 1, // one for the keeper
		CacheKiB: cacheKiB, SecureDelete: true, Migrations: migrations.SQLite("events"),
	})
	if err != nil {
		return nil, err
	}
	s := &Store{db: db, now: o.Now, lock: make(chan struct{}, 1)}
	s.lock <- struct{}{}
	err = s.read.prepare(ctx, db.Read)
	if err == nil {
		s.w, err = openWriter(ctx, db.Write)
	}
	if err != nil {
		return nil, errors.Join(translate("open "+path, err), db.Close())
	}
	s.keeper.start(s)
	return s, nil
}

// Close ends the store once the append in work has finished. A second Close does nothing.
func (s *Store) Close() error {
	if _, open := <-s.lock; !open {
		return nil
	}
	w := s.w
	s.w = nil
	close(s.lock)
	s.keeper.stop()
	s.wake.end()
	var err error
	if w != nil {
		err = w.in.close(false)
	}
	return errors.Join(err, s.db.Close())
}

// Shards is 1.
func (s *Store) Shards() int { return 1 }

// Appended is closed at the next commit, and when the store closes.
func (s *Store) Appended(eventstore.Shard) <-chan struct{} { return s.wake.next() }

// Ping tells whether an append could work now: it reads the head, looks at the clock, and writes if the last append
// could not.
func (s *Store) Ping(ctx context.Context) error {
	return s.withWriter(ctx, func(w *writer) error {
		if err := w.load(); err != nil {
			return err
		}
		if _, err := w.clock(s.now()); err != nil {
			return err
		}
		if !w.failed {
			return nil
		}
		err := w.inTx(func() error {
			_, err := w.conn.ExecContext(context.Background(), "PRAGMA user_version = 1") // rewrites the file's first page
			return err
		})
		w.failed = err != nil
		return err
	})
}

// withWriter runs f as the only writer. ctx bounds the wait for that, not f. After an error the writer forgets what it
// knows of the log.
func (s *Store) withWriter(ctx context.Context, f func(*writer) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case _, open := <-s.lock:
		if !open {
			return errClosed
		}
	}
	defer func() { s.lock <- struct{}{} }()
	if s.w == nil {
		w, err := openWriter(context.Background(), s.db.Write)
		if err != nil {
			return translate("open the writing connection", err)
		}
		s.w = w
	}
	err := f(s.w)
	if err == nil {
		return nil
	}
	err = translate("append", err)
	s.w.failed = s.w.failed || fault.Is(err, fault.Unavailable)
	if s.w.broken {
		_ = s.w.in.close(true) // the error that broke it is on its way to the caller
		s.w = nil
	}
	return err
}

// wake is the channel that the next commit closes, made when someone waits.
type wake struct {
	mu sync.Mutex
	ch chan struct{}
}

func (w *wake) next() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ch == nil {
		w.ch = make(chan struct{})
	}
	return w.ch
}

// end closes the channel for good. No commit follows: the closer holds the writer's lock.
func (w *wake) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ch == nil {
		w.ch = make(chan struct{})
	}
	close(w.ch)
}

func (w *wake) all() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ch != nil {
		close(w.ch)
		w.ch = nil
	}
}

// tenantCache holds what never changes of tenants.
type tenantCache struct {
	mu   sync.RWMutex
	nos  map[eventstore.TenantID]int64
	byNo map[int64]eventstore.TenantID
}

func (c *tenantCache) no(id eventstore.TenantID) int64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.nos[id]
}

func (c *tenantCache) id(no int64) eventstore.TenantID {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.byNo[no]
}

func (c *tenantCache) put(id eventstore.TenantID, no int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.nos == nil {
		c.nos, c.byNo = map[eventstore.TenantID]int64{}, map[int64]eventstore.TenantID{}
	}
	c.nos[id], c.byNo[no] = no, id
}

// tenantNo is the surrogate of a tenant; errNoTenant when there is none.
func (s *Store) tenantNo(ctx context.Context, id eventstore.TenantID) (int64, error) {
	if no := s.tenants.no(id); no != 0 {
		return no, nil
	}
	var no int64
	err := s.read.tenantNo.QueryRowContext(ctx, id[:]).Scan(&no)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, errNoTenant
	}
	if err != nil {
		return 0, translate("look up a tenant", err)
	}
	s.tenants.put(id, no)
	return no, nil
}

// tenantID is the tenant of a surrogate that an event carries.
func (s *Store) tenantID(ctx context.Context, no int64) (eventstore.TenantID, error) {
	if id := s.tenants.id(no); !id.IsZero() {
		return id, nil
	}
	var raw []byte
	if err := s.read.tenantID.QueryRowContext(ctx, no).Scan(&raw); err != nil {
		return eventstore.TenantID{}, fmt.Errorf("tenant number %d: %w", no, err)
	}
	id := eventstore.TenantID(raw)
	s.tenants.put(id, no)
	return id, nil
}
