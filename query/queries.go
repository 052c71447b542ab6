package query

import (
	"strconv"
	"time"

	"auditlog/eventstore"
	"auditlog/internal/criteria"
	"auditlog/internal/cursor"
	"auditlog/internal/entry"
	"auditlog/internal/fault"
)

// Reader is who asks, as the credential says. The tenant of every answer is the reader's.
type Reader struct {
	Tenant       eventstore.TenantID
	Sub          string
	AccessEvents bool // may see the log's events about itself: kind=access and kind=all
}

// CompleteTo is what a reader can rely on: every match up to this position is in the answer or on a later page. The
// zero value means that nothing was looked at yet.
type CompleteTo struct {
	Position   eventstore.Position
	RecordedAt eventstore.Micros
}

// Options tune Queries. The zero value is the recommended one.
type Options struct {
	// Now is the clock by which cursors age and the default range of stats ends; nil is time.Now.
	Now func() time.Time
	// SearchTime bounds the work of one search or stats, not its wait for MinPosition. Default 2 s.
	SearchTime time.Duration
	// ForgetTime bounds how long a count waits for an erasure or purge to be taken out of it. Default 1 s.
	ForgetTime time.Duration
	// PageEvents is how many events a long read (export, replay) takes at a time. Default 500.
	PageEvents int
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.SearchTime <= 0 {
		o.SearchTime = 2 * time.Second
	}
	if o.ForgetTime <= 0 {
		o.ForgetTime = time.Second
	}
	if o.PageEvents <= 0 {
		o.PageEvents = 500
	}
	return o
}

// Queries answers readers. It is safe for concurrent use and starts no goroutine.
type Queries struct {
	store   Store
	opener  entry.Opener
	index   Index
	rollups Rollups
	feed    Feed
	cursors *cursor.Codec
	places  places
	o       Options
}

// New makes the read side. secret is the service's cursor secret: cursors outlive a restart when it stays the same.
func New(store Store, opener entry.Opener, index Index, rollups Rollups, feed Feed, secret [32]byte, o Options) *Queries {
	o = o.withDefaults()
	return &Queries{
		store: store, opener: opener, index: index, rollups: rollups, feed: feed,
		cursors: cursor.New(secret, "search", o.Now), o: o,
	}
}

// checkKind refuses kinds that the reader may not see, or that do not exist.
func (r Reader) checkKind(k criteria.Kind) error {
	switch k {
	case "", criteria.Entries:
		return nil
	case criteria.Access, criteria.All:
		if !r.AccessEvents {
			return fault.New(fault.Forbidden, "kind=access and kind=all are for auditors and administrators")
		}
		return nil
	default:
		return fault.At(fault.Invalid, "?kind", "kind must be entries, access or all")
	}
}

// AppendJSON appends {"position":…,"recorded_at":…}; recorded_at is null before the first event.
func (c CompleteTo) AppendJSON(b []byte) []byte {
	b = append(b, `{"position":`...)
	b = strconv.AppendInt(b, int64(c.Position), 10)
	b = append(b, `,"recorded_at":`...)
	if c.Position == 0 {
		return append(b, "null}"...)
	}
	b = c.RecordedAt.AppendTo(append(b, '"'))
	return append(b, `"}`...)
}
