// Package feed delivers a tenant's events to live readers as they are appended.
//
// While a shard has readers, a tailer follows its head into a bounded ring of events, which are opened at most once, when the
// first reader meets them, and shared by all. A reader starts above any position: it catches up from the store and goes
// on in the ring, without a gap or repetition at the seam; one that falls behind the ring goes back to the store. What
// an erasure or purge covers is dropped from the ring as it passes, and from what readers hold unread. A reader that is
// far behind and does not gain is told so, with the position to come back with. Nobody waits for a reader.
//
// Nothing is kept over a restart: the position is all that a reader needs.
package feed

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"auditlog/eventstore"
	"auditlog/internal/entry"
	"auditlog/internal/fault"
	"auditlog/query"
)

// Store is what the feed reads of the event store.
type Store interface {
	Shards() int
	ShardHead(ctx context.Context, shard eventstore.Shard) (eventstore.ShardHead, error)
	ReadShard(ctx context.Context, shard eventstore.Shard, after eventstore.Offset, limit int) ([]eventstore.Event, error)
	Appended(shard eventstore.Shard) <-chan struct{}
	Head(ctx context.Context, tenant eventstore.TenantID) (eventstore.Head, error)
	ReadTenant(ctx context.Context, tenant eventstore.TenantID, after eventstore.Position, limit int) ([]eventstore.Event, error)
	Get(ctx context.Context, tenant eventstore.TenantID, id eventstore.EventID) (eventstore.Event, error)
	About(ctx context.Context, tenant eventstore.TenantID, entries []eventstore.EventID) ([]eventstore.Event, error)
	Purges(ctx context.Context, tenant eventstore.TenantID) ([]eventstore.Purge, error)
}

// Options of a Feed. Zero values take the defaults.
type Options struct {
	Events  int           // in the ring of a shard; default 4,096
	Bytes   int64         // in the ring of a shard, opened ones counted in plain form; default 16 MiB
	MaxLag  int64         // events behind at which a reader must gain; default 100,000
	LagTime time.Duration // time in which it must have gained; default 30 s
	Clock   func() time.Time
	Log     *slog.Logger
}

// poll bounds the wait for a wake-up that was lost; backoff is between failing reads of the store.
const (
	poll    = time.Second
	backoff = 200 * time.Millisecond
	page    = 64 // events that a reader or the tailer takes at once
)

// Feed implements query.Feed. It is safe for concurrent use.
type Feed struct {
	store  Store
	opener entry.Opener
	o      Options
	rings  []*ring // by shard
	ended  chan struct{}
}

var _ query.Feed = (*Feed)(nil)

// New makes a feed. Readers that subscribe before Run wait for it.
func New(store Store, opener entry.Opener, o Options) *Feed {
	if o.Events <= 0 {
		o.Events = 4096
	}
	if o.Bytes <= 0 {
		o.Bytes = 16 << 20
	}
	if o.MaxLag <= 0 {
		o.MaxLag = 100_000
	}
	if o.LagTime <= 0 {
		o.LagTime = 30 * time.Second
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	f := &Feed{store: store, opener: opener, o: o, rings: make([]*ring, store.Shards()), ended: make(chan struct{})}
	for i := range f.rings {
		f.rings[i] = newRing(o.Events, o.Bytes)
	}
	return f
}

// Run follows the store until ctx ends and returns its error; readers then get fault.Unavailable. It is called once.
func (f *Feed) Run(ctx context.Context) error {
	defer close(f.ended)
	var tailers sync.WaitGroup
	for shard, r := range f.rings {
		tailers.Go(func() { f.tail(ctx, eventstore.Shard(shard), r) })
	}
	tailers.Wait()
	return ctx.Err()
}

func (f *Feed) tail(ctx context.Context, shard eventstore.Shard, r *ring) {
	for ctx.Err() == nil {
		if joined := r.rest(); joined != nil {
			select { // a look at the store for each append would be for nobody
			case <-joined:
			case <-ctx.Done():
			}
			continue
		}
		wake := f.store.Appended(shard) // before the read, so that no append falls in between
		more, err := f.follow(ctx, shard, r)
		switch {
		case err != nil && ctx.Err() == nil:
			f.o.Log.WarnContext(ctx, "live feed cannot read the store, trying again", "shard", shard, "error", err)
			wait(ctx, backoff, nil)
		case !more:
			wait(ctx, poll, wake)
		}
	}
}

// follow takes one page into the ring. After a time without readers, and when the store is further ahead than the ring is
// long, it goes to the head at once: readers then read the store.
func (f *Feed) follow(ctx context.Context, shard eventstore.Shard, r *ring) (more bool, err error) {
	head, err := f.store.ShardHead(ctx, shard)
	if err != nil {
		return false, err
	}
	at := r.newest()
	if head.Offset <= at || r.jump(head.Offset) {
		return false, nil
	}
	events, err := f.store.ReadShard(ctx, shard, at, page)
	if err != nil {
		return false, err
	}
	var purged []purge
	for _, ev := range events {
		if ev.Type == eventstore.LifecyclePurged {
			p, err := f.purge(ctx, ev)
			if err != nil {
				return false, err
			}
			purged = append(purged, p)
		}
	}
	r.add(events, purged, head.Offset)
	return true, nil
}

func (f *Feed) purge(ctx context.Context, ev eventstore.Event) (purge, error) {
	all, err := f.store.Purges(ctx, ev.Tenant)
	if err != nil {
		return purge{}, err
	}
	out := purge{tenant: ev.Tenant}
	for _, p := range all {
		out.last = max(out.last, p.Last)
	}
	return out, nil
}

// Subscribe implements query.Feed.
func (f *Feed) Subscribe(ctx context.Context, tenant eventstore.TenantID, after eventstore.Position) (query.Subscription, error) {
	head, err := f.store.Head(ctx, tenant)
	if err != nil {
		return nil, err
	}
	if int(head.Shard) >= len(f.rings) {
		return nil, fmt.Errorf("feed: tenant is on shard %d of %d", head.Shard, len(f.rings))
	}
	s := &subscription{feed: f, ring: f.rings[head.Shard], tenant: tenant, position: after}
	s.topic = s.ring.join(tenant)
	if after == head.Position {
		s.offset = head.Offset
	}
	s.left = make(chan struct{})
	s.detach = context.AfterFunc(ctx, s.leave)
	return s, nil
}

// Latest subscribes from now on and tells the position that it starts above.
func (f *Feed) Latest(ctx context.Context, tenant eventstore.TenantID) (query.Subscription, eventstore.Position, error) {
	head, err := f.store.Head(ctx, tenant)
	if err != nil {
		return nil, 0, err
	}
	s, err := f.Subscribe(ctx, tenant, head.Position)
	return s, head.Position, err
}

var errEnded = fault.New(fault.Unavailable, "the service is shutting down; resume from the last position")

// wait returns after d, at a wake-up, or when ctx ends.
func wait(ctx context.Context, d time.Duration, wake <-chan struct{}) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-wake:
	case <-t.C:
	}
}
