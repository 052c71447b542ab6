package query_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/uuid"

	"auditlog/eventstore"
	"auditlog/eventstore/format"
	"auditlog/eventstore/sqlite"
	"auditlog/internal/criteria"
	"auditlog/internal/fault"
	"auditlog/query"
)

// real is a read side over the embedded event store; its index is the fake one, fed from that store.
type real struct {
	*world
	events *sqlite.Store
}

func newReal(tb testing.TB) *real {
	tb.Helper()
	ctx := context.Background()
	store, err := sqlite.Open(ctx, filepath.Join(tb.TempDir(), "events.db"), sqlite.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := store.Close(); err != nil {
			tb.Error(err)
		}
	})
	r := &real{world: newWorld(tb), events: store}
	created := r.draft(parts{kind: eventstore.TenantCreated, pub: format.Public{Action: "tenant.created"}})
	if _, err := store.CreateTenant(ctx, eventstore.Tenant{ID: r.reader.Tenant, Slug: "t", Name: "T", Status: "active", RetentionDays: 396}, created); err != nil {
		tb.Fatal(err)
	}
	if r.stored[created.ID], err = store.Get(ctx, r.reader.Tenant, created.ID); err != nil {
		tb.Fatal(err)
	}
	r.index.log = func(after eventstore.Offset) []eventstore.Event {
		var all []eventstore.Event
		for {
			page, err := store.ReadShard(ctx, 0, after, 1000)
			if err != nil {
				tb.Fatal(err)
			}
			if len(page) == 0 {
				return all
			}
			all, after = append(all, page...), page[len(page)-1].Offset
		}
	}
	r.q = query.New(store, r.opener, r.index, r.rolls, r.feed, [32]byte{42}, query.Options{})
	return r
}

func (r *real) draft(p parts) eventstore.Draft {
	ev := r.seal(p)
	r.stored[ev.ID] = ev
	return eventstore.Draft{ID: ev.ID, Type: ev.Type, EntryID: ev.EntryID, Public: ev.Public, Private: ev.Private, Key: ev.Key}
}

// flush appends drafts and keeps what they became.
func (r *real) flush(drafts ...eventstore.Draft) []eventstore.Event {
	r.tb.Helper()
	out, err := r.events.Append(context.Background(), eventstore.Flush{
		ID: eventstore.FlushID(uuid.New()), Units: []eventstore.Unit{{Tenant: r.reader.Tenant, Drafts: drafts, Atomic: true}},
	})
	if err != nil {
		r.tb.Fatal(err)
	}
	events := make([]eventstore.Event, len(out))
	for i, o := range out {
		if o.Status != eventstore.Stored {
			r.tb.Fatalf("draft %d: status %d", i, o.Status)
		}
		events[i] = r.stored[drafts[i].ID]
		events[i].Position, events[i].RecordedAt = o.Position, o.RecordedAt
		r.stored[events[i].ID] = events[i]
	}
	return events
}

func (r *real) entries(n int) []eventstore.Event {
	drafts := make([]eventstore.Draft, n)
	for i := range drafts {
		drafts[i] = r.draft(parts{priv: sample(i)})
	}
	return r.flush(drafts...)
}

// sample is the private part of an entry of about 600 bytes.
func sample(i int) format.Private {
	return format.Private{
		Actor:    format.Actor{ID: fmt.Sprintf("user-%04d", i%100), Name: "Alice Example", Email: "alice@example.com", SessionID: "s-7f3a9c"},
		Resource: format.Resource{ID: fmt.Sprintf("doc-%06d", i), Name: "Quarterly plan"}, Message: "shared the document with the finance group",
		Source:    format.Source{IP: "192.0.2.17", UserAgent: "Mozilla/5.0 (X11; Linux x86_64)", Service: "docs", Version: "1.42.0"},
		RequestID: "8c2e1b0a-5a41-4f6e-9a52-0d3c4d5e6f70", Emitter: "docs-service",
		Metadata: []byte(`{"folder":"finance/2026","permissions":["read","comment"],"reason":"review","size":18234}`),
	}
}

// TestOnTheEmbeddedStore runs every read over the real store, keyring included: amended, erased and purged.
func TestOnTheEmbeddedStore(t *testing.T) {
	r := newReal(t)
	ctx := context.Background()
	old := r.entries(700) // positions 2 to 701
	before := old[699].RecordedAt + 1
	var kept []eventstore.Event
	for len(kept) == 0 || kept[0].RecordedAt < before {
		kept = append(r.entries(1), kept...)
	}
	kept = kept[:1]
	kept = append(kept, r.entries(299)...)
	r.flush(r.draft(parts{kind: eventstore.EntryAmended, about: kept[5].ID, priv: format.Private{Message: "corrected", Reason: "typo"}}))
	r.flush(r.draft(parts{kind: eventstore.EntryErased, about: kept[7].ID, priv: format.Private{Reason: "asked to"}}))
	r.puncture(kept[7])
	r.index.catchUp()
	head, err := r.events.Head(ctx, r.reader.Tenant)
	if err != nil {
		t.Fatal(err)
	}

	all := r.replay(0)
	if len(all) != int(head.Position)+1 {
		t.Errorf("the replay has %d lines of %d", len(all), head.Position)
	}
	p, _, err := r.events.Purge(ctx, r.reader.Tenant, before, func(eventstore.Purge) (eventstore.Draft, error) {
		return r.draft(parts{kind: eventstore.LifecyclePurged, pub: format.Public{Action: "lifecycle.purged"}}), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	purge, err := r.events.Get(ctx, r.reader.Tenant, p.ID)
	if err != nil {
		t.Fatal(err)
	}
	r.stored[p.ID] = purge
	r.index.catchUp()

	walked := 0
	page := r.search(query.SearchRequest{Limit: 500, Total: true})
	want := page.Total.Value
	for {
		walked += len(page.Items)
		for _, e := range page.Items {
			if e.Position <= p.Last || (e.Erased != nil) != (e.ID == kept[7].ID) || (len(e.Amendments) == 1) != (e.ID == kept[5].ID) {
				t.Errorf("position %d reads %+v", e.Position, e)
			}
		}
		if page.NextCursor == "" {
			break
		}
		page = r.search(query.SearchRequest{Cursor: page.NextCursor, Limit: 37})
	}
	out, exported := r.export(query.CSV, query.ExportRequest{})
	if walked != want || exported.Count != want || bytes.Count(out, []byte("\r\n")) != want+1 {
		t.Errorf("found %d, exported %+v, of %d", walked, exported, want)
	}
	if _, err := r.q.Get(ctx, r.reader, old[0].ID); !fault.Is(err, fault.Purged) {
		t.Errorf("a purged entry answers %v", err)
	}
	items, err := r.q.History(ctx, r.reader, kept[7].ID)
	if err != nil || len(items) != 2 || items[1].Keys != query.KeysDestroyed {
		t.Errorf("the history of the erased entry is %+v, %v", items, err)
	}
	lines := r.replay(0)
	if lines[0].Purged == nil || lines[0].Purged.Last != int64(p.Last) || lines[0].Purged.Certificate != p.ID.String() ||
		lines[len(lines)-1].Next != int64(purge.Position) {
		t.Errorf("the replay begins with %+v and ends with %+v", lines[0], lines[len(lines)-1])
	}
	before1 := slices.IndexFunc(all, func(l replayLine) bool { return l.Position == int64(p.Last)+1 })
	for i, l := range lines[1 : len(lines)-2] {
		if *l.Public != *all[before1+i].Public || l.Position != all[before1+i].Position {
			t.Errorf("position %d changed between two replays", l.Position)
		}
	}
}

// newest is an index that knows the newest positions of one tenant, and costs nothing.
type newest struct {
	*memIndex
	head eventstore.Head
}

func (x *newest) Find(_ context.Context, q query.IndexQuery) ([]query.Key, error) {
	keys := make([]query.Key, q.Limit)
	for i := range keys {
		keys[i].Position = q.Bound - eventstore.Position(i)
	}
	return keys, nil
}

func (x *newest) Visible(context.Context, eventstore.Shard) (eventstore.Offset, error) {
	return x.head.Offset, nil
}

func benchReal(b *testing.B, n int) *real {
	r := newReal(b)
	for range n / 1000 {
		r.entries(1000)
	}
	head, err := r.events.Head(context.Background(), r.reader.Tenant)
	if err != nil {
		b.Fatal(err)
	}
	r.q = query.New(r.events, r.opener, &newest{r.index, head}, r.rolls, r.feed, [32]byte{42}, query.Options{})
	b.ResetTimer()
	b.ReportAllocs()
	return r
}

// BenchmarkSearchPage is a page of 50 without the index's own cost: reading, opening, folding.
func BenchmarkSearchPage(b *testing.B) {
	r := benchReal(b, 10_000)
	for b.Loop() {
		if page := r.search(query.SearchRequest{}); len(page.Items) != 50 {
			b.Fatal(len(page.Items))
		}
	}
}

func BenchmarkGet(b *testing.B) {
	r := benchReal(b, 1000)
	id := r.entries(1)[0].ID
	for b.Loop() {
		if _, err := r.q.Get(context.Background(), r.reader, id); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReplay writes 20,000 entries a turn.
func BenchmarkReplay(b *testing.B) {
	r := benchReal(b, 20_000)
	for b.Loop() {
		if n, _, err := r.q.Replay(context.Background(), r.reader.Tenant, 0, io.Discard); err != nil || n != 20_001 {
			b.Fatal(n, err)
		}
	}
	b.ReportMetric(float64(b.N)*20_001/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkReadTenant is what the store alone costs a replay.
func BenchmarkReadTenant(b *testing.B) {
	r := benchReal(b, 20_000)
	for b.Loop() {
		for after := eventstore.Position(0); ; {
			page, err := r.events.ReadTenant(context.Background(), r.reader.Tenant, after, 500)
			if err != nil {
				b.Fatal(err)
			}
			if len(page) == 0 {
				break
			}
			after = page[len(page)-1].Position
		}
	}
	b.ReportMetric(float64(b.N)*20_001/b.Elapsed().Seconds(), "events/s")
}

func BenchmarkExport(b *testing.B) {
	for _, f := range []query.Format{query.NDJSON, query.CSV} {
		b.Run(string(f), func(b *testing.B) {
			r := benchReal(b, 20_000)
			for b.Loop() {
				sink, err := query.NewExportSink(f, io.Discard)
				if err != nil {
					b.Fatal(err)
				}
				if result, err := r.q.Export(context.Background(), r.reader, query.ExportRequest{Criteria: criteria.Criteria{}}, sink); err != nil || result.Count != 20_000 {
					b.Fatal(result, err)
				}
			}
			b.ReportMetric(float64(b.N)*20_000/b.Elapsed().Seconds(), "entries/s")
		})
	}
}
