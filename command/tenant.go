package command

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"

	"auditlog/eventstore"
	"auditlog/eventstore/format"
	"auditlog/internal/canon"
	"auditlog/internal/fault"
)

// StatusActive is the status of a tenant that may be used.
const StatusActive = "active"

// CreateTenant makes a tenant with its keys; its log begins with tenant.created at position 1. who.Tenant is not looked
// at: the order comes from the platform. Keys come first, so that a tenant that exists can always be written to; those
// of a creation that failed stay unused. Errors: Conflict (the slug is taken).
func (c *Commands) CreateTenant(ctx context.Context, who Caller, n NewTenant) (eventstore.Tenant, error) {
	t := eventstore.Tenant{
		ID: eventstore.TenantID(uuid.Must(uuid.NewV7())), Slug: n.Slug, Name: n.Name, Status: StatusActive, RetentionDays: n.RetentionDays,
	}
	switch _, err := c.store.TenantBySlug(ctx, n.Slug); {
	case err == nil:
		return eventstore.Tenant{}, fault.At(fault.Conflict, "/slug", "a tenant has this slug already")
	case !fault.Is(err, fault.NotFound):
		return eventstore.Tenant{}, err
	}
	// Keys come first, so that a tenant that exists can be written to.
	if err := c.ring.CreateTenant(ctx, t.ID); err != nil {
		return eventstore.Tenant{}, fmt.Errorf("create the keys of a tenant: %w", err)
	}
	who.Tenant = t.ID
	created, err := c.about(ctx, who,
		format.Public{
			Type: eventstore.TenantCreated, Action: string(eventstore.TenantCreated), ActorType: "user",
			ResourceType: "tenant", Severity: severities[0], Outcome: outcomes[0],
		},
		format.Private{
			Actor: format.Actor{ID: who.Sub}, Resource: format.Resource{ID: t.ID.String(), Name: t.Name}, Metadata: tenantMetadata(t),
		})
	if err != nil {
		return eventstore.Tenant{}, err
	}
	stored, err := c.store.CreateTenant(ctx, t, created)
	if err != nil {
		return eventstore.Tenant{}, fmt.Errorf("create a tenant: %w", err)
	}
	return stored, nil
}

func tenantMetadata(t eventstore.Tenant) []byte {
	m := canon.AppendString([]byte(`{"name":`), t.Name)
	m = append(m, `,"retention_days":`...)
	m = strconv.AppendInt(m, int64(t.RetentionDays), 10)
	m = append(m, `,"slug":`...)
	return append(canon.AppendString(m, t.Slug), '}')
}

// Tenant is an active tenant by id; its status may be as old as Options.TenantAge. Errors: TenantRequired (the zero id),
// NotFound, TenantInactive.
func (c *Commands) Tenant(ctx context.Context, id eventstore.TenantID) (eventstore.Tenant, error) {
	if id.IsZero() {
		return eventstore.Tenant{}, fault.New(fault.TenantRequired, "no tenant is named")
	}
	now := c.opts.Now()
	t, ok := c.known.get(id, now)
	if !ok {
		var err error
		if t, err = c.store.Tenant(ctx, id); err != nil {
			return eventstore.Tenant{}, fmt.Errorf("look up a tenant: %w", err)
		}
		c.known.put(t, now.Add(c.opts.TenantAge))
	}
	if t.Status != StatusActive {
		return eventstore.Tenant{}, fault.New(fault.TenantInactive, "the tenant is not active")
	}
	return t, nil
}

// maxKnown bounds the cache of tenants, about 150 bytes each.
const maxKnown = 1 << 16

// tenantCache keeps tenants until a time of their own. The zero value is empty and ready.
type tenantCache struct {
	mu    sync.RWMutex
	items map[eventstore.TenantID]knownTenant
}

type knownTenant struct {
	tenant eventstore.Tenant
	until  time.Time
}

func (c *tenantCache) get(id eventstore.TenantID, now time.Time) (eventstore.Tenant, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	k, ok := c.items[id]
	return k.tenant, ok && now.Before(k.until)
}

// put starts over when the cache is full: that costs one look-up per tenant, and no bookkeeping until then.
func (c *tenantCache) put(t eventstore.Tenant, until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.items == nil || len(c.items) >= maxKnown {
		c.items = map[eventstore.TenantID]knownTenant{}
	}
	c.items[t.ID] = knownTenant{t, until}
}
