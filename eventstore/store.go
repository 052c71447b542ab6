package eventstore

import "context"

// Store is the append-only log. All methods are safe for concurrent use. Errors carry a fault kind: NotFound for what
// is absent or another tenant's, Purged for what retention removed, Clock, Unavailable when the store cannot be
// reached, Overloaded when it refuses before storing; anything else is Internal.
//
// Slices of events are the caller's to keep. A page of events ends early once it holds PageBytes, so only an empty
// page means the end. No call holds a transaction longer than one page.
type Store interface {
	// Append stores a flush in one transaction and answers for each draft, in order. An error means that nothing is
	// known to be stored; sending the same flush again (same ID) is safe whatever happened.
	Append(ctx context.Context, f Flush) ([]Outcome, error)

	// Head is the newest place of a tenant's log.
	Head(ctx context.Context, tenant TenantID) (Head, error)
	// ShardHead is the newest place of a shard.
	ShardHead(ctx context.Context, shard Shard) (ShardHead, error)
	// Shards is the fixed number of shards.
	Shards() int
	// PositionAt is the tenant's newest position whose offset is not above o, with its time; 0 when there is none.
	// It turns a projection's cursor into what a reader may be told.
	PositionAt(ctx context.Context, tenant TenantID, o Offset) (Position, Micros, error)

	// Get is one event by id, of any type.
	Get(ctx context.Context, tenant TenantID, id EventID) (Event, error)
	// ReadTenant is the page of at most limit events above after, ascending by position. Purged ones are left out.
	ReadTenant(ctx context.Context, tenant TenantID, after Position, limit int) ([]Event, error)
	// ReadPositions are the tenant's events at these positions, in their order; those absent or purged are left out.
	ReadPositions(ctx context.Context, tenant TenantID, at []Position) ([]Event, error)
	// ReadShard is the page of at most limit events above after, ascending by offset, of all tenants of the shard.
	// Events removed by a purge leave gaps; hidden ones that are not removed yet are still given, for projections
	// to drop by the purge event that follows. It is for relay and projections, never for a reader.
	ReadShard(ctx context.Context, shard Shard, after Offset, limit int) ([]Event, error)
	// About are the amendments and erasures of the given entries, ascending by position.
	About(ctx context.Context, tenant TenantID, entries []EventID) ([]Event, error)

	// CreateTenant stores a tenant with the event that tells of it, at position 1. A known slug is fault.Conflict.
	// Tenant.Shard and CreatedAt are set by the store.
	CreateTenant(ctx context.Context, t Tenant, created Draft) (Tenant, error)
	// Tenant is one tenant by id.
	Tenant(ctx context.Context, id TenantID) (Tenant, error)
	// TenantBySlug is one tenant by its slug.
	TenantBySlug(ctx context.Context, slug string) (Tenant, error)
	// Tenants is a page of all tenants in order of creation, above after (zero: from the first).
	Tenants(ctx context.Context, after TenantID, limit int) ([]Tenant, error)

	// Purges are a tenant's purges, oldest first.
	Purges(ctx context.Context, tenant TenantID) ([]Purge, error)

	// Appended is closed at the first commit to the shard after the call: a wake-up, not a message. It may also be
	// closed without one; whoever waits reads the store to know.
	Appended(shard Shard) <-chan struct{}

	// Ping tells whether an append could work now; the error says what is missing.
	Ping(ctx context.Context) error
	Close() error
}

// PageBytes bounds the sealed and packed bytes of one page of events.
const PageBytes = 4 << 20

// Lifecycle is the one way by which events leave. It is apart from Store because the service's own database role
// cannot do it.
type Lifecycle interface {
	// Matching counts the tenant's readable events with recorded_at below before.
	Matching(ctx context.Context, tenant TenantID, before Micros) (int64, error)
	// Purge appends the lifecycle.purged event and raises the watermark to the newest event below before, in one
	// transaction. build makes the event once the range is known. While a purge of the tenant runs, that one is
	// returned when before is equal, else fault.Conflict.
	Purge(ctx context.Context, tenant TenantID, before Micros, build func(Purge) (Draft, error)) (p Purge, started bool, err error)
	// Doomed is a page of at most limit events at or below the watermark that are not removed yet, of the oldest
	// running purge of any tenant; empty when none is running.
	Doomed(ctx context.Context, limit int) (Purge, []Event, error)
	// Remove removes events of the purge up to and including last, whose keys are destroyed; it keeps each one's id
	// and leaf hash. done ends the purge.
	Remove(ctx context.Context, p Purge, last Position, leaves []Leaf, done bool) error
	// RemovedLeaf is the kept leaf of a removed event: fault.NotFound when there is none.
	RemovedLeaf(ctx context.Context, tenant TenantID, id EventID) (Leaf, error)
}

// Leaf is what stays of a removed event.
type Leaf struct {
	Position Position
	ID       EventID
	Hash     [32]byte // RFC 6962 leaf hash (event-format.md)
}
