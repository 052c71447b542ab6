package command

import (
	"sync"

	"auditlog/eventstore"
)

// twins counts the requests in flight by idempotency key. It decides nothing, which is the store's to do: it only lets a
// request that waited in vain say that another with its key is in flight.
type twins struct {
	mu     sync.Mutex
	flying map[twinKey]int
}

type twinKey struct {
	tenant eventstore.TenantID
	token  [32]byte
}

func notTwin() bool { return false }

// enter notes a request; leave tells whether another of its key is still in flight. Without a key there are no twins.
func (t *twins) enter(tenant eventstore.TenantID, i *eventstore.Idempotency) (leave func() (twin bool)) {
	if i == nil {
		return notTwin
	}
	key := twinKey{tenant, i.Token}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.flying == nil {
		t.flying = map[twinKey]int{}
	}
	t.flying[key]++
	return func() bool { return t.leave(key) }
}

func (t *twins) leave(key twinKey) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.flying[key]--
	if t.flying[key] == 0 {
		delete(t.flying, key)
		return false
	}
	return true
}
