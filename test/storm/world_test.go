package storm

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"auditlog/command"
	"auditlog/eventstore"
	"auditlog/eventstore/sqlite"
	"auditlog/eventstore/timescale"
	"auditlog/internal/fault"
	"auditlog/internal/pgdb/pgtest"
	"auditlog/keyring"
	"auditlog/keyring/file"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// store is all that a write side needs of a store.
type store interface {
	eventstore.Store
	eventstore.Lifecycle
}

// tier is a kind of store with as many processes on it as it allows.
type tier struct {
	name      string
	processes int
	make      func(tb testing.TB) (open func() (store, error))
}

var tiers = []tier{
	{"sqlite", 1, func(tb testing.TB) func() (store, error) {
		path := filepath.Join(tb.TempDir(), "events.db")
		return func() (store, error) { return sqlite.Open(context.Background(), path, sqlite.Options{}) }
	}},
	{"postgresql", 2, func(tb testing.TB) func() (store, error) {
		owner := pgtest.Database(tb)
		service, lifecycle := pgtest.As(tb, owner, "auditlog_service"), pgtest.As(tb, owner, "auditlog_lifecycle")
		if _, err := timescale.Migrate(tb.Context(), owner, timescale.Layout{Shards: 1}); err != nil {
			tb.Fatal(err)
		}
		return func() (store, error) {
			s, err := timescale.Open(context.Background(), timescale.Config{Address: service})
			if err != nil {
				return nil, err
			}
			l, err := timescale.OpenLifecycle(context.Background(), timescale.Config{Address: lifecycle})
			return both{s, l}, err
		}
	}},
}

// both is a PostgreSQL store with its other role.
type both struct {
	*timescale.Store
	*timescale.Lifecycle
}

func (b both) Close() error {
	if err := b.Lifecycle.Close(); err != nil {
		return err
	}
	return b.Store.Close()
}

// world is a service of several write sides, which come and go.
type world struct {
	tb     testing.TB
	open   func() (store, error)
	ring   *keyring.Ring
	mu     sync.RWMutex
	sides  []*side
	tenant eventstore.Tenant
	writer command.Caller
}

// side is one process's write side.
type side struct {
	store    store
	appender *command.Appender
	*command.Commands
}

func newWorld(t *testing.T, of tier) *world {
	t.Helper()
	driver, err := file.Open(filepath.Join(t.TempDir(), "keys"))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{tb: t, open: of.make(t), ring: keyring.New(driver, keyring.Options{}), sides: make([]*side, of.processes)}
	for i := range w.sides {
		w.sides[i] = w.start()
	}
	t.Cleanup(func() {
		for _, s := range w.sides {
			w.end(s)
		}
		if err := w.ring.Close(); err != nil {
			t.Error(err)
		}
	})
	w.tenant, err = w.sides[0].CreateTenant(t.Context(), command.Caller{Sub: "root"}, command.NewTenant{Slug: "storm", Name: "Storm", RetentionDays: 396})
	if err != nil {
		t.Fatal(err)
	}
	w.writer = command.Caller{Tenant: w.tenant.ID, Sub: "client", Roles: []string{"writer"}}
	return w
}

func (w *world) start() *side {
	s, err := w.open()
	if err != nil {
		w.tb.Fatal(err)
	}
	a := command.NewAppender(forgetful{s}, s.Shards(), command.AppenderOptions{Retries: 1})
	return &side{s, a, command.New(s, s, w.ring, a, command.Options{})}
}

func (w *world) end(s *side) {
	if err := s.appender.Close(context.Background()); err != nil {
		w.tb.Error(err)
	}
	if err := s.store.Close(); err != nil {
		w.tb.Error(err)
	}
}

// restart ends a side in the middle of its work and puts a new one over the same data in its place. Requests that the old
// one has still get their answers from it, or errors.
func (w *world) restart(i int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.end(w.sides[i])
	w.sides[i] = w.start()
}

func (w *world) any() *side {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.sides[rand.IntN(len(w.sides))]
}

// forgetful is a store some of whose answers are lost, before or after the effect.
type forgetful struct{ store }

func (f forgetful) Append(ctx context.Context, fl eventstore.Flush) ([]eventstore.Outcome, error) {
	switch rand.IntN(40) {
	case 0:
		return nil, fault.New(fault.Unavailable, "cut before the effect")
	case 1:
		if _, err := f.store.Append(ctx, fl); err != nil {
			return nil, err
		}
		return nil, fault.New(fault.Unavailable, "cut after the effect")
	case 2:
		if _, err := f.store.Append(ctx, fl); err != nil {
			return nil, err
		}
		return nil, fault.New(fault.Clock, "cut after the effect, and not tried again here")
	}
	return f.store.Append(ctx, fl)
}
