package command

import (
	"context"
	"time"

	"auditlog/eventstore"
	"auditlog/internal/entry"
	"auditlog/keyring"
)

// Store is what commands ask of an event store beside appending, which goes through an Appender.
type Store interface {
	Tenant(ctx context.Context, id eventstore.TenantID) (eventstore.Tenant, error)
	TenantBySlug(ctx context.Context, slug string) (eventstore.Tenant, error)
	CreateTenant(ctx context.Context, t eventstore.Tenant, created eventstore.Draft) (eventstore.Tenant, error)
	Get(ctx context.Context, tenant eventstore.TenantID, id eventstore.EventID) (eventstore.Event, error)
	ReadPositions(ctx context.Context, tenant eventstore.TenantID, at []eventstore.Position) ([]eventstore.Event, error)
	About(ctx context.Context, tenant eventstore.TenantID, entries []eventstore.EventID) ([]eventstore.Event, error)
	Purges(ctx context.Context, tenant eventstore.TenantID) ([]eventstore.Purge, error)
}

// Lifecycle is what a cleanup asks of eventstore.Lifecycle; the removal itself is a worker's.
type Lifecycle interface {
	Matching(ctx context.Context, tenant eventstore.TenantID, before eventstore.Micros) (int64, error)
	Purge(ctx context.Context, tenant eventstore.TenantID, before eventstore.Micros,
		build func(eventstore.Purge) (eventstore.Draft, error)) (p eventstore.Purge, started bool, err error)
}

// Caller is who gives the order, as the credential says.
type Caller struct {
	Tenant eventstore.TenantID
	Sub    string
	Roles  []string
}

// Options tune Commands. The zero value is the recommended one.
type Options struct {
	// RetentionFloor is the age below which nothing may be cleaned up. Default 90 days.
	RetentionFloor time.Duration
	// TenantAge bounds how long a tenant's status is believed without asking the store. Default 30 s.
	TenantAge time.Duration
	// Now is the clock that ages are measured by; for tests. Default time.Now.
	Now func() time.Time
}

func (o Options) withDefaults() Options {
	if o.RetentionFloor == 0 {
		o.RetentionFloor = 90 * 24 * time.Hour
	}
	if o.TenantAge == 0 {
		o.TenantAge = 30 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Commands carries out all orders. It is safe for concurrent use.
type Commands struct {
	store     Store
	life      Lifecycle
	ring      *keyring.Ring
	opener    entry.Opener
	appender  *Appender
	opts      Options
	known     tenantCache
	sequences sequences
}

// New makes the write side over a store, its lifecycle role, the keyring and an appender to the same store. The caller
// keeps the ownership of all of them.
func New(store Store, life Lifecycle, ring *keyring.Ring, a *Appender, o Options) *Commands {
	return &Commands{store: store, life: life, ring: ring, opener: entry.Opener{Ring: ring}, appender: a, opts: o.withDefaults()}
}
