package query

import (
	"context"

	"auditlog/eventstore"
	"auditlog/internal/criteria"
)

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

// Index finds entries; the embedded one and OpenSearch keep the same promises (projection/search/searchtest).
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
