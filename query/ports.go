package query

import (
	"context"
	"fmt"

	"auditlog/eventstore"
	"auditlog/internal/criteria"
	"auditlog/internal/entry"
)

// Store is what reading asks of the event store; eventstore.Store keeps it.
type Store interface {
	Head(ctx context.Context, tenant eventstore.TenantID) (eventstore.Head, error)
	PositionAt(ctx context.Context, tenant eventstore.TenantID, o eventstore.Offset) (eventstore.Position, eventstore.Micros, error)
	Get(ctx context.Context, tenant eventstore.TenantID, id eventstore.EventID) (eventstore.Event, error)
	ReadTenant(ctx context.Context, tenant eventstore.TenantID, after eventstore.Position, limit int) ([]eventstore.Event, error)
	ReadPositions(ctx context.Context, tenant eventstore.TenantID, at []eventstore.Position) ([]eventstore.Event, error)
	About(ctx context.Context, tenant eventstore.TenantID, entries []eventstore.EventID) ([]eventstore.Event, error)
	Purges(ctx context.Context, tenant eventstore.TenantID) ([]eventstore.Purge, error)
}

// The types of a StreamItem.
const (
	ItemEntry   = "entry"   // an event that is an entry of its own: entry.recorded, and the log's events about itself
	ItemAmended = "amended" // an amendment: Entry is the entry that it is about, as it reads now
	ItemErased  = "erased"  // an erasure: Entry is the entry that it is about, public fields only
)

// StreamItem is one event as a live feed delivers it.
type StreamItem struct {
	Type     string
	Entry    entry.Entry
	Position eventstore.Position // of the event, not of the entry
}

// Feed delivers a tenant's events as they are appended.
type Feed interface {
	// Subscribe starts above a position, catching up from the store where needed. ctx bounds the subscription's life.
	Subscribe(ctx context.Context, tenant eventstore.TenantID, after eventstore.Position) (Subscription, error)
}

// Subscription is one reader's place in a feed. It is used by one goroutine.
type Subscription interface {
	// Next waits for the tenant's next event, of any type, in order of position and without a gap. It fails with
	// ctx's error, or with *LaggedError when the reader fell too far behind.
	Next(ctx context.Context) (StreamItem, error)
	// Close gives up the place. Closing twice is harmless.
	Close()
}

// LaggedError says that a reader was too slow for the feed and may come back with After.
type LaggedError struct{ After eventstore.Position }

func (e *LaggedError) Error() string {
	return fmt.Sprintf("the reader fell too far behind; continue after position %d", e.After)
}

// Sort is the order of a listing.
type Sort struct {
	Ascending bool
	Occurred  bool // by occurred_at, position breaking ties; otherwise by position
}

// Key is a place in a listing: of the last entry of a page.
type Key struct {
	Occurred eventstore.Micros // only for Sort.Occurred
	Position eventstore.Position
}

// IndexQuery asks an index for one page of keys.
type IndexQuery struct {
	Tenant   eventstore.TenantID
	Criteria criteria.Criteria
	Sort     Sort
	After    *Key                // exclusive; nil: from the start
	Floor    eventstore.Position // leave out entries at or below it (purged)
	Bound    eventstore.Position // leave out entries above it: the newest position of page one
	Limit    int
}

// Index finds entries; the embedded one and OpenSearch keep the same promises (projection/search/searchtest). An index
// that cannot tell by itself how a context's end came about returns a plain error: then it was at work on the question.
// One that can gives fault.QueryTooCostly for that, and fault.Overloaded or Unavailable when it, or its server, was busy
// with others.
type Index interface {
	// Find gives the keys of at most q.Limit matching entries in order. Fewer than Limit means that there are no more.
	Find(ctx context.Context, q IndexQuery) ([]Key, error)
	// Count counts matches of q up to max; exact when the answer is at most max.
	Count(ctx context.Context, q IndexQuery, max int) (int, error)
	// Visible is the offset up to which every event of the shard can be found.
	Visible(ctx context.Context, shard eventstore.Shard) (eventstore.Offset, error)
	// Changed is closed at the next move of Visible: a wake-up.
	Changed() <-chan struct{}
}

// StatsQuery asks for counts. Times are half-open and on bucket borders or anywhere: partial buckets count what lies
// inside. Interval is "minute", "hour" or "day" (UTC).
type StatsQuery struct {
	Tenant        eventstore.TenantID
	From, To      eventstore.Micros
	Interval      string
	GroupBy       string // "", "action", "severity", "outcome", "resource_type", "actor_id"
	Actions       []string
	Severities    []string
	Outcomes      []string
	ResourceTypes []string
	ActorID       string
}

// Count is how many entries carry a value.
type Count struct {
	Key   string
	Count int64
}

// Bucket is one interval. Groups is nil without GroupBy.
type Bucket struct {
	Start  eventstore.Micros
	Count  int64
	Groups []Count // descending by count; what is beyond the top values is under "other"
}

// Stats is the answer. Buckets without entries are left out.
type Stats struct {
	Total        int64
	Buckets      []Bucket
	TopActions   []Count
	TopActors    []Count
	TopResources []Count
}

// Rollups counts entries (kind=entries).
type Rollups interface {
	Stats(ctx context.Context, q StatsQuery) (Stats, error)
	Visible(ctx context.Context, shard eventstore.Shard) (eventstore.Offset, error)
}
