package command

import (
	"context"
	"errors"
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
	t, err := c.knownTenant(ctx, id)
	if err != nil {
		return eventstore.Tenant{}, fmt.Errorf("look up a tenant: %w", err)
	}
	if t.Status != StatusActive {
		return eventstore.Tenant{}, fault.New(fault.TenantInactive, "the tenant is not active")
	}
	return t, nil
}

// knownTenant is a tenant from the cache or, by one look-up at a time for each, from the store: were it one for each
// request, those of a busy tenant would wait for the store's few connections whenever the cache forgets it. When half of
// its time in the cache is over one caller looks again, and the others go on with what is known.
func (c *Commands) knownTenant(ctx context.Context, id eventstore.TenantID) (eventstore.Tenant, error) {
	now := c.opts.Now()
	known, age, ok := c.known.get(id, now)
	if ok && age < c.opts.TenantAge/2 {
		return known, nil
	}
	look, first := c.known.look(id)
	if first {
		c.lookUp(ctx, look, id, now)
	}
	if ok && (!first || look.failed()) {
		return known, nil // it has some time left
	}
	select {
	case <-look.done:
		return look.tenant, look.err
	case <-ctx.Done():
		return eventstore.Tenant{}, ctx.Err()
	}
}

// lookTime bounds a look-up, which others wait for and no caller's leaving ends.
const lookTime = 10 * time.Second

func (c *Commands) lookUp(ctx context.Context, l *tenantLook, id eventstore.TenantID, now time.Time) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookTime)
	defer cancel()
	l.err = errors.New("the look-up broke off") // unless it comes to its end
	defer func() { c.known.looked(l, id, now, c.opts.TenantAge) }()
	l.tenant, l.err = c.store.Tenant(ctx, id)
}

// maxKnown bounds the cache of tenants, about 150 bytes each.
const maxKnown = 1 << 16

// tenantCache keeps tenants until a time of their own. The zero value is empty and ready.
type tenantCache struct {
	mu    sync.RWMutex
	items map[eventstore.TenantID]cachedTenant
	looks map[eventstore.TenantID]*tenantLook // under way
}

type cachedTenant struct {
	tenant       eventstore.Tenant
	since, until time.Time
}

// tenantLook is a look-up; tenant and err hold once done is closed.
type tenantLook struct {
	done   chan struct{}
	tenant eventstore.Tenant
	err    error
}

// failed tells how a look-up ended.
func (l *tenantLook) failed() bool { return l.err != nil }

// get gives a tenant and how long ago it was looked up.
func (c *tenantCache) get(id eventstore.TenantID, now time.Time) (t eventstore.Tenant, age time.Duration, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	k, ok := c.items[id]
	return k.tenant, now.Sub(k.since), ok && now.Before(k.until)
}

// look gives the look-up that is under way, or a new one, which the caller must end by looked.
func (c *tenantCache) look(id eventstore.TenantID) (l *tenantLook, first bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l := c.looks[id]; l != nil {
		return l, false
	}
	if c.looks == nil {
		c.looks = map[eventstore.TenantID]*tenantLook{}
	}
	l = &tenantLook{done: make(chan struct{})}
	c.looks[id] = l
	return l, true
}

// looked ends a look-up, and keeps what it found since a time for an age. It starts over when the cache is full: that
// costs one look-up per tenant, and no bookkeeping until then.
func (c *tenantCache) looked(l *tenantLook, id eventstore.TenantID, since time.Time, age time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.looks, id)
	close(l.done)
	if l.err != nil {
		return
	}
	if c.items == nil || len(c.items) >= maxKnown {
		c.items = map[eventstore.TenantID]cachedTenant{}
	}
	c.items[id] = cachedTenant{l.tenant, since, since.Add(age)}
}
