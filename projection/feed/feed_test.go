package feed_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"auditlog/eventstore"
	"auditlog/internal/fault"
	"auditlog/projection/feed"
	"auditlog/projection/projtest"
	"auditlog/query"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, goleak.IgnoreCurrent()) }

// counting is a store that counts what readers ask of it.
type counting struct {
	feed.Store
	pages, heads, followed atomic.Int64
}

func (c *counting) ReadShard(ctx context.Context, shard eventstore.Shard, after eventstore.Offset, limit int) ([]eventstore.Event, error) {
	events, err := c.Store.ReadShard(ctx, shard, after, limit)
	c.followed.Add(int64(len(events)))
	return events, err
}

func (c *counting) ShardHead(ctx context.Context, shard eventstore.Shard) (eventstore.ShardHead, error) {
	c.heads.Add(1)
	return c.Store.ShardHead(ctx, shard)
}

func (c *counting) ReadTenant(ctx context.Context, tenant eventstore.TenantID, after eventstore.Position, limit int) ([]eventstore.Event, error) {
	c.pages.Add(1)
	return c.Store.ReadTenant(ctx, tenant, after, limit)
}

// start runs a feed over the world until the test ends.
func start(t *testing.T, w *projtest.World, o feed.Options) (*feed.Feed, *counting) {
	t.Helper()
	store := &counting{Store: w.Store}
	f := feed.New(store, w.Opener, o)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	})
	return f, store
}

func subscribe(t *testing.T, f *feed.Feed, tenant eventstore.TenantID, after eventstore.Position) query.Subscription {
	t.Helper()
	s, err := f.Subscribe(t.Context(), tenant, after)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func next(t *testing.T, s query.Subscription) query.StreamItem {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	item, err := s.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return item
}

// quiet fails when there is an item.
func quiet(t *testing.T, s query.Subscription) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if item, err := s.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("position %d, %v, want nothing", item.Position, err)
	}
}

func TestItems(t *testing.T) {
	w := projtest.New(t)
	tenant, other := w.Tenant("acme"), w.Tenant("other")
	f, _ := start(t, w, feed.Options{})
	s := subscribe(t, f, tenant, 0)
	defer s.Close()
	if item := next(t, s); item.Type != query.ItemEntry || item.Entry.Type != eventstore.TenantCreated || item.Position != 1 {
		t.Errorf("first: %+v", item)
	}
	a := w.Record(tenant, projtest.Entry{Message: "hello"})
	w.Record(other, projtest.Entry{Message: "foreign"})
	if item := next(t, s); item.Type != query.ItemEntry || item.Entry.Private.Message != "hello" || item.Position != a.Position {
		t.Errorf("entry: %+v", item)
	}
	m := w.Amend(tenant, a.ID, "corrected")
	if item := next(t, s); item.Type != query.ItemAmended || item.Position != m.Position || item.Entry.ID != a.ID ||
		item.Entry.Private.Message != "hello" || len(item.Entry.Amendments) != 1 || item.Entry.Amendments[0].Message != "corrected" {
		t.Errorf("amended: %+v", item)
	}
	e := w.Erase(tenant, a.ID)
	if item := next(t, s); item.Type != query.ItemErased || item.Position != e.Position || item.Entry.ID != a.ID ||
		item.Entry.Erased == nil || item.Entry.Private.Message != "" || item.Entry.Amendments[0].Message != "" {
		t.Errorf("erased: %+v", item)
	}
	quiet(t, s)
	late, at, err := f.Latest(t.Context(), tenant)
	if err != nil || at != e.Position {
		t.Fatalf("from now: %d, %v", at, err)
	}
	defer late.Close()
	quiet(t, late)
	b := w.Record(tenant, projtest.Entry{Message: "new"})
	if item := next(t, late); item.Position != b.Position {
		t.Errorf("from now: %+v", item)
	}
}

// A shard without readers costs the store nothing, and who joins later misses nothing of what passed meanwhile.
func TestNobodyReads(t *testing.T) {
	w := projtest.New(t)
	tenant := w.Tenant("acme")
	f, store := start(t, w, feed.Options{})
	for position := eventstore.Position(1); position < 100; {
		before := store.heads.Load()
		var a eventstore.Outcome
		for range 20 {
			a = w.Record(tenant, projtest.Entry{Message: "unseen"})
		}
		if looks := store.heads.Load() - before; looks > 2 { // some may be of the reader before
			t.Errorf("%d looks at the head while nobody read", looks)
		}
		s := subscribe(t, f, tenant, position)
		b := w.Record(tenant, projtest.Entry{Message: "seen"})
		for position < b.Position {
			if item := next(t, s); item.Position != position+1 {
				t.Fatalf("position %d follows %d, up to %d was recorded before", item.Position, position, a.Position)
			}
			position++
		}
		s.Close()
	}
	if n := store.followed.Load(); n > 10 {
		t.Errorf("%d events were followed, 5 came while somebody read", n)
	}
}

// Whoever reads what was erased or purged, from the store, from the ring, or from what it held unread: no plaintext.
func TestErasedAndPurgedPlaintextIsGone(t *testing.T) {
	w := projtest.New(t)
	tenant := w.Tenant("acme")
	f, _ := start(t, w, feed.Options{})
	fast, slow, unread := subscribe(t, f, tenant, 1), subscribe(t, f, tenant, 1), subscribe(t, f, tenant, 1)
	for _, s := range []query.Subscription{fast, slow, unread} {
		defer s.Close()
	}
	x := w.Record(tenant, projtest.Entry{Message: "first"})
	a := w.Record(tenant, projtest.Entry{Message: "canary"})
	w.Amend(tenant, a.ID, "canary too")
	for range 3 { // all of it is opened and in the ring
		next(t, fast)
	}
	next(t, slow) // holds the rest unread
	w.Erase(tenant, a.ID)
	if item := next(t, fast); item.Type != query.ItemErased {
		t.Fatalf("%+v", item)
	}
	resumed := subscribe(t, f, tenant, x.Position)
	defer resumed.Close()
	for name, s := range map[string]query.Subscription{"slow": slow, "resumed": resumed} {
		for _, want := range []string{query.ItemEntry, query.ItemAmended, query.ItemErased} {
			item := next(t, s)
			if item.Type != want || item.Entry.Erased == nil || strings.Contains(fmt.Sprintf("%+v", item), "canary") {
				t.Errorf("%s: %+v", name, item)
			}
		}
	}
	w.Tick()
	w.Purge(tenant, w.Now())
	if item := next(t, fast); item.Entry.Type != eventstore.LifecyclePurged {
		t.Fatalf("%+v", item)
	}
	if item := next(t, unread); item.Entry.Type != eventstore.LifecyclePurged {
		t.Errorf("a reader is shown a purged event: %+v", item)
	}
}

// What a reader took from the store and has not been given yet is void once an erasure or purge passed.
func TestHeldPagesBecomeVoid(t *testing.T) {
	w := projtest.New(t)
	tenant := w.Tenant("acme")
	w.Record(tenant, projtest.Entry{Message: "first"})
	a := w.Record(tenant, projtest.Entry{Message: "canary"})
	w.Tick()
	border := w.Now()
	b := w.Record(tenant, projtest.Entry{Message: "kept"})
	f, store := start(t, w, feed.Options{Events: 3}) // shorter than the log: readers of its start read the store
	live := subscribe(t, f, tenant, b.Position)
	defer live.Close()
	quiet(t, live)
	var held []query.Subscription
	for range 2 {
		s := subscribe(t, f, tenant, 0)
		defer s.Close()
		next(t, s)
		held = append(held, s)
	}
	if store.pages.Load() == 0 {
		t.Fatal("nobody reads the store: the case is not met")
	}
	w.Erase(tenant, a.ID)
	next(t, live)
	next(t, held[0])
	if item := next(t, held[0]); item.Position != a.Position || item.Entry.Erased == nil || item.Entry.Private.Message != "" {
		t.Errorf("after the erasure: %+v", item)
	}
	w.Purge(tenant, border)
	next(t, live)
	if item := next(t, held[1]); item.Position != b.Position {
		t.Errorf("after the purge: %+v", item)
	}
}

// reader reads until it has seen the position and tells all that it saw.
func reader(ctx context.Context, s query.Subscription, last eventstore.Position, pause func(int)) ([]eventstore.Position, error) {
	var seen []eventstore.Position
	for {
		item, err := s.Next(ctx)
		if err != nil {
			return seen, err
		}
		if item.Type != query.ItemEntry || item.Entry.Position != item.Position {
			return seen, fmt.Errorf("item %+v", item)
		}
		seen = append(seen, item.Position)
		if item.Position == last {
			return seen, nil
		}
		pause(len(seen))
	}
}

// Beside appends of two tenants and a ring far too short for them, every reader, fast or slow, from the start, the middle
// or now, sees each position of its tenant once, in order.
func TestNoGapBesideAppends(t *testing.T) {
	const flushes, size = 60, 10
	w := projtest.New(t)
	tenant, other := w.Tenant("acme"), w.Tenant("other")
	w.RecordMany(tenant, 200) // positions 2 … 201
	const last = 201 + flushes*size
	f, _ := start(t, w, feed.Options{Events: 40})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var readers sync.WaitGroup
	for i := range 24 {
		after := []eventstore.Position{0, 150, 201, 200}[i%4]
		s := subscribe(t, f, tenant, after)
		pause := func(int) {}
		if i%3 == 1 {
			pause = func(n int) {
				if n%50 == 0 {
					time.Sleep(20 * time.Millisecond) // a slow client, not a wait for something
				}
			}
		}
		readers.Go(func() {
			defer s.Close()
			seen, err := reader(ctx, s, last, pause)
			if err != nil {
				t.Errorf("reader %d, after %d positions: %v", i, len(seen), err)
				return
			}
			for j, p := range seen {
				if p != after+eventstore.Position(j)+1 {
					t.Errorf("reader %d: position %d in place %d above %d", i, p, j, after)
					return
				}
			}
		})
	}
	for i := range flushes {
		var drafts []eventstore.Draft
		for range size {
			drafts = append(drafts, w.Draft(tenant, projtest.Entry{}))
		}
		w.Append(tenant, drafts...)
		if i%2 == 0 {
			w.RecordMany(other, 15)
		}
	}
	readers.Wait()
}

// Readers of the ring cost the store nothing, however many there are; those of a quiet tenant stay in the ring while
// another tenant fills it.
func TestReadersShareTheRing(t *testing.T) {
	w := projtest.New(t)
	tenant, busy := w.Tenant("acme"), w.Tenant("busy")
	f, store := start(t, w, feed.Options{Events: 150}) // longer than a flush, shorter than two
	var subs []query.Subscription
	for range 200 {
		s := subscribe(t, f, tenant, 1)
		defer s.Close()
		subs = append(subs, s)
	}
	own := subscribe(t, f, busy, 1)
	defer own.Close()
	w.Record(tenant, projtest.Entry{})
	for _, s := range subs {
		next(t, s)
	}
	store.pages.Store(0)
	for range 3 {
		for range 2 {
			w.RecordMany(busy, 100)
			for range 100 { // so that the tailer keeps up
				next(t, own)
			}
		}
		a := w.Record(tenant, projtest.Entry{})
		for _, s := range subs {
			if item := next(t, s); item.Position != a.Position {
				t.Fatalf("position %d, want %d", item.Position, a.Position)
			}
		}
	}
	if n := store.pages.Load(); n > 0 {
		t.Errorf("200 readers of 3 events read %d pages of the store", n)
	}
}

// A reader that is too far behind and does not gain is told where it was; one that gains is not.
func TestLagged(t *testing.T) {
	w := projtest.New(t)
	tenant := w.Tenant("acme")
	w.RecordMany(tenant, 500)
	var now atomic.Int64
	f, _ := start(t, w, feed.Options{Events: 10, MaxLag: 100, LagTime: 30 * time.Second, Clock: func() time.Time { return time.Unix(now.Load(), 0) }})
	gaining := subscribe(t, f, tenant, 0)
	defer gaining.Close()
	for want := range eventstore.Position(501) {
		now.Add(60)
		if item := next(t, gaining); item.Position != want+1 {
			t.Fatalf("position %d, want %d", item.Position, want+1)
		}
	}
	losing := subscribe(t, f, tenant, 0)
	defer losing.Close()
	for n := eventstore.Position(1); ; n++ {
		item, err := losing.Next(t.Context())
		var lagged *query.LaggedError
		if errors.As(err, &lagged) {
			if lagged.After != n-1 || n < 64 {
				t.Errorf("lagged after %d, having seen %d", lagged.After, n-1)
			}
			break
		}
		if err != nil || item.Position != n {
			t.Fatalf("position %d, %v, want %d", item.Position, err, n)
		}
		if n > 400 {
			t.Fatal("a reader that loses ground is never told")
		}
		if n%64 == 0 {
			w.RecordMany(tenant, 100)
			now.Add(60)
		}
	}
}

// A subscription ends with its context, with Close, and with the feed.
func TestEnds(t *testing.T) {
	w := projtest.New(t)
	tenant := w.Tenant("acme")
	f := feed.New(w.Store, w.Opener, feed.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	life, end := context.WithCancel(t.Context())
	bounded, err := f.Subscribe(life, tenant, 1)
	if err != nil {
		t.Fatal(err)
	}
	closed, whole := subscribe(t, f, tenant, 1), subscribe(t, f, tenant, 1)
	results := make(chan error, 3)
	for _, s := range []query.Subscription{bounded, closed, whole} {
		go func() {
			_, err := s.Next(t.Context())
			results <- err
		}()
	}
	end()
	if err := <-results; !errors.Is(err, context.Canceled) {
		t.Errorf("after its context: %v", err)
	}
	closed.Close()
	closed.Close()
	if err := <-results; !errors.Is(err, context.Canceled) {
		t.Errorf("after Close: %v", err)
	}
	cancel()
	if err := <-results; !fault.Is(err, fault.Unavailable) {
		t.Errorf("after the feed: %v", err)
	}
	<-ended
	whole.Close()
	if _, err := f.Subscribe(t.Context(), eventstore.TenantID{9}, 0); err == nil {
		t.Error("an unknown tenant has a feed")
	}
}

// BenchmarkLatency is the time from the acknowledged append to the item, with 1 and 200 readers.
func BenchmarkLatency(b *testing.B) {
	for _, n := range []int{1, 200} {
		b.Run(fmt.Sprintf("%d readers", n), func(b *testing.B) {
			w := projtest.New(b)
			tenant := w.Tenant("acme")
			f := feed.New(w.Store, w.Opener, feed.Options{})
			ctx, cancel := context.WithCancel(b.Context())
			ended := make(chan error, 1)
			go func() { ended <- f.Run(ctx) }()
			got := make(chan struct{}, n)
			var readers sync.WaitGroup
			for range n {
				s, err := f.Subscribe(ctx, tenant, 1)
				if err != nil {
					b.Fatal(err)
				}
				readers.Go(func() {
					for {
						if _, err := s.Next(ctx); err != nil {
							return
						}
						got <- struct{}{}
					}
				})
			}
			var took []time.Duration
			for b.Loop() {
				w.Record(tenant, projtest.Entry{})
				start := time.Now()
				for range n {
					<-got
				}
				took = append(took, time.Since(start))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
			cancel()
			readers.Wait()
			<-ended
		})
	}
}
