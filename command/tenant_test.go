package command_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"auditlog/command"
	"auditlog/eventstore"
	"auditlog/internal/fault"
)

// farStore takes a second for each look-up of a tenant, and fails when it is told to.
type farStore struct {
	command.Store
	mu    sync.Mutex
	looks int
	fails error
}

func (s *farStore) Tenant(ctx context.Context, id eventstore.TenantID) (eventstore.Tenant, error) {
	s.mu.Lock()
	s.looks++
	err := s.fails
	s.mu.Unlock()
	select {
	case <-time.After(time.Second): // virtual
	case <-ctx.Done():
		return eventstore.Tenant{}, ctx.Err()
	}
	return eventstore.Tenant{ID: id, Status: command.StatusActive}, err
}

func (s *farStore) seen() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.looks
}

func (s *farStore) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fails = err
}

// all has so many callers ask for a tenant at once, and tells the longest wait and how many got errors.
func all(c *command.Commands, callers int) (longest time.Duration, failed int) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	for range callers {
		wg.Go(func() {
			start := time.Now()
			_, err := c.Tenant(context.Background(), eventstore.TenantID{1})
			mu.Lock()
			defer mu.Unlock()
			longest = max(longest, time.Since(start))
			if err != nil {
				failed++
			}
		})
	}
	wg.Wait()
	return longest, failed
}

// However many requests of a tenant come at once, one look-up is under way, and none waits for it while the tenant is
// known.
func TestOneLookForATenant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &farStore{}
		c := command.New(store, nil, nil, nil, command.Options{TenantAge: 30 * time.Second})
		expect := func(when string, looks int, within time.Duration, failed int) {
			t.Helper()
			longest, errs := all(c, 500)
			if store.seen() != looks || longest > within || errs != failed {
				t.Errorf("%s: %d look-ups, longest wait %v, %d errors; want %d, %v, %d", when, store.seen(), longest, errs, looks, within, failed)
			}
		}
		expect("unknown", 1, time.Second, 0)
		expect("known", 1, 0, 0)
		time.Sleep(16 * time.Second)
		go func() { _, _ = c.Tenant(context.Background(), eventstore.TenantID{1}) }()
		synctest.Wait()
		expect("while one looks again", 2, 0, 0)
		time.Sleep(time.Second)
		expect("looked again", 2, 0, 0)

		store.fail(fault.New(fault.Unavailable, "gone"))
		time.Sleep(20 * time.Second)
		expect("known, and the store is gone", 3, time.Second, 0)
		time.Sleep(15 * time.Second)
		expect("too long ago, and the store is gone", 4, time.Second, 500)
		store.fail(nil)
		expect("the store is back", 5, time.Second, 0)
	})
}

// A caller who leaves takes nobody's look-up along, and waits for nobody's.
func TestLookOutlivesItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &farStore{}
		c := command.New(store, nil, nil, nil, command.Options{})
		ctx, leave := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = c.Tenant(ctx, eventstore.TenantID{1}) })
		synctest.Wait()
		leave()
		start := time.Now()
		if _, err := c.Tenant(ctx, eventstore.TenantID{1}); !errors.Is(err, context.Canceled) || time.Since(start) > 0 {
			t.Errorf("a caller who has left gets %v after %v", err, time.Since(start))
		}
		if _, err := c.Tenant(context.Background(), eventstore.TenantID{1}); err != nil || store.seen() != 1 {
			t.Errorf("%v after %d look-ups", err, store.seen())
		}
		wg.Wait()
	})
}
