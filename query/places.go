package query

import (
	"context"
	"sync"

	"auditlog/eventstore"
)

// places remembers, by tenant, the position at the newest offset that was asked for: what was committed up to an offset
// stays as it is, and all who wait for an index to move ask for the same one at the same moment. The zero value is ready.
type places struct {
	mu      sync.Mutex // guards tenants
	tenants map[eventstore.TenantID]*spot
}

// spot is the place at an offset. Whoever comes while it is read waits for it.
type spot struct {
	mu     sync.Mutex // guards the fields below
	known  bool
	offset eventstore.Offset
	at     CompleteTo
}

// maxPlaces bounds the tenants that are remembered, at about 150 bytes each.
const maxPlaces = 1 << 14

func (p *places) of(tenant eventstore.TenantID) *spot {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.tenants[tenant]
	if s == nil {
		if p.tenants == nil || len(p.tenants) >= maxPlaces {
			p.tenants = map[eventstore.TenantID]*spot{} // those in use come back at once
		}
		s = &spot{}
		p.tenants[tenant] = s
	}
	return s
}

// at is what the store's PositionAt says.
func (p *places) at(ctx context.Context, store Store, tenant eventstore.TenantID, offset eventstore.Offset) (CompleteTo, error) {
	s := p.of(tenant)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known && s.offset == offset {
		return s.at, nil
	}
	position, at, err := store.PositionAt(ctx, tenant, offset)
	if err != nil {
		return CompleteTo{}, err
	}
	s.known, s.offset, s.at = true, offset, CompleteTo{Position: position, RecordedAt: at}
	return s.at, nil
}
