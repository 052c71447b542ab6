package searchtest

import (
	"context"
	"encoding/binary"
	"slices"
	"sync"
	"testing"

	"auditlog/eventstore"
	"auditlog/eventstore/format"
	"auditlog/internal/canon"
	"auditlog/internal/entry"
	"auditlog/internal/fault"
	"auditlog/projection"
)

// Log is an event log in memory: what an index reads of a store, and an opener of its events. Private parts are packed
// but not sealed; erased ones do not open. It is strict: what no store would hold is a fatal error of the test.
type Log struct {
	tb testing.TB

	mu     sync.Mutex
	events []eventstore.Event // by offset
	heads  map[eventstore.TenantID]eventstore.Position
	gone   map[eventstore.EventID]bool // whose keys are destroyed
	purges []eventstore.Purge
	now    eventstore.Micros
	ids    uint64
}

// Start is recorded_at of a log's first event, 2024-03-01T10:59:59Z: the hour ends after one second.
const Start = eventstore.Micros(1709290799_000000)

// NewLog is an empty log of one shard.
func NewLog(tb testing.TB) *Log {
	return &Log{tb: tb, heads: map[eventstore.TenantID]eventstore.Position{}, gone: map[eventstore.EventID]bool{}, now: Start - 1_000000}
}

// Tenant is the nth tenant's id.
func Tenant(n byte) eventstore.TenantID {
	return eventstore.TenantID{0x01, 0x8f, 0, 0, 0, n, 0x70, 0, 0x80, 15: n}
}

// Advance moves the clock forward; every event moves it by one second as well.
func (l *Log) Advance(by eventstore.Micros) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now += by
}

// Record appends an entry; Type, ID and defaults are filled in.
func (l *Log) Record(tenant eventstore.TenantID, pub format.Public, priv format.Private) eventstore.Event {
	pub.Type = eventstore.EntryRecorded
	return l.Append(tenant, pub, priv)
}

// Amend appends an amendment of an entry.
func (l *Log) Amend(target eventstore.Event, priv format.Private) eventstore.Event {
	return l.Append(target.Tenant, format.Public{Type: eventstore.EntryAmended, EntryID: target.ID}, priv)
}

// Erase appends an erasure of an entry and destroys its keys.
func (l *Log) Erase(target eventstore.Event) eventstore.Event {
	ev := l.Append(target.Tenant, format.Public{Type: eventstore.EntryErased, EntryID: target.ID}, format.Private{Reason: "asked"})
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.events {
		if e.ID == target.ID || e.EntryID == target.ID && e.Type == eventstore.EntryAmended {
			l.gone[e.ID] = true
		}
	}
	return ev
}

// Purge appends a purge of the tenant's events up to a position.
func (l *Log) Purge(tenant eventstore.TenantID, last eventstore.Position) eventstore.Event {
	ev := l.Append(tenant, format.Public{Type: eventstore.LifecyclePurged}, format.Private{})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.purges = append(l.purges, eventstore.Purge{ID: ev.ID, Tenant: tenant, Position: ev.Position, First: 1, Last: last, Status: eventstore.PurgeRunning})
	return ev
}

// Append appends an event of any type.
func (l *Log) Append(tenant eventstore.TenantID, pub format.Public, priv format.Private) eventstore.Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ids++
	binary.BigEndian.PutUint64(pub.ID[:8], 0x018f000000007000)
	binary.BigEndian.PutUint64(pub.ID[8:], 0x8000000000000000+l.ids)
	if priv.Metadata != nil {
		priv.Metadata = l.canonical(priv.Metadata)
	}
	private := format.AppendPrivate(nil, &priv)
	pub.Private = format.Commit(private)
	l.heads[tenant]++
	l.now += 1_000000
	ev := eventstore.Event{
		Tenant: tenant, Position: l.heads[tenant], Offset: eventstore.Offset(len(l.events) + 1), RecordedAt: l.now,
		ID: pub.ID, Type: pub.Type, EntryID: pub.EntryID,
		Public: format.PackPublic(nil, format.AppendPublic(nil, &pub)), Private: format.PackPrivate(nil, private),
	}
	l.events = append(l.events, ev)
	return ev
}

func (l *Log) canonical(raw []byte) []byte {
	doc, err := canon.Parse(raw, canon.Limits{})
	if err != nil {
		l.tb.Fatalf("metadata %s: %v", raw, err)
	}
	defer doc.Release()
	return doc.Root().AppendCanonical(nil)
}

// Envelope is the events of an offset range, as a relay would send them.
func (l *Log) Envelope(from, to eventstore.Offset) projection.Envelope {
	l.mu.Lock()
	defer l.mu.Unlock()
	return projection.Envelope{From: from, To: to, Events: slices.Clone(l.events[from:to])}
}

// Head is the newest offset.
func (l *Log) Head() eventstore.Offset {
	l.mu.Lock()
	defer l.mu.Unlock()
	return eventstore.Offset(len(l.events))
}

// Open decodes both parts; the private one of what was erased is nil.
func (l *Log) Open(_ context.Context, ev eventstore.Event) (out entry.Opened, err error) {
	out.Event = ev
	plain, err := format.Unpack(nil, ev.Public)
	if err != nil {
		return out, err
	}
	if out.Pub, err = format.DecodePublic(plain); err != nil {
		return out, err
	}
	l.mu.Lock()
	gone := l.gone[ev.ID]
	l.mu.Unlock()
	if gone {
		return out, nil
	}
	if plain, err = format.Unpack(nil, ev.Private); err != nil {
		return out, err
	}
	priv, err := format.DecodePrivate(plain)
	out.Priv = &priv
	return out, err
}

// Shards is 1.
func (l *Log) Shards() int { return 1 }

// ShardHead is the newest place.
func (l *Log) ShardHead(context.Context, eventstore.Shard) (eventstore.ShardHead, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return eventstore.ShardHead{Offset: eventstore.Offset(len(l.events)), RecordedAt: l.now}, nil
}

// ReadShard is a page by offset, purged events included.
func (l *Log) ReadShard(_ context.Context, _ eventstore.Shard, after eventstore.Offset, limit int) ([]eventstore.Event, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	page := l.events[min(int(after), len(l.events)):]
	return slices.Clone(page[:min(limit, len(page))]), nil
}

func (l *Log) watermark(tenant eventstore.TenantID) (last eventstore.Position) {
	for _, p := range l.purges {
		if p.Tenant == tenant {
			last = max(last, p.Last)
		}
	}
	return last
}

// Get is one event: fault.NotFound, or fault.Purged below the watermark.
func (l *Log) Get(_ context.Context, tenant eventstore.TenantID, id eventstore.EventID) (eventstore.Event, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, ev := range l.events {
		if ev.ID != id || ev.Tenant != tenant {
			continue
		}
		if ev.Position <= l.watermark(tenant) {
			return eventstore.Event{}, fault.New(fault.Purged, "removed by retention")
		}
		return ev, nil
	}
	return eventstore.Event{}, fault.New(fault.NotFound, "no such event")
}

// About are the amendments and erasures of entries that are not purged.
func (l *Log) About(_ context.Context, tenant eventstore.TenantID, entries []eventstore.EventID) (out []eventstore.Event, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, ev := range l.events {
		if ev.Tenant == tenant && slices.Contains(entries, ev.EntryID) && ev.Position > l.watermark(tenant) {
			out = append(out, ev)
		}
	}
	return out, nil
}

// Purges are a tenant's purges.
func (l *Log) Purges(_ context.Context, tenant eventstore.TenantID) (out []eventstore.Purge, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.purges {
		if p.Tenant == tenant {
			out = append(out, p)
		}
	}
	return out, nil
}

// Entries are a tenant's entries and events about itself that are not purged, as readers see them, ascending.
func (l *Log) Entries(tenant eventstore.TenantID) (out []entry.Entry) {
	ctx := context.Background()
	all, err := l.ReadShard(ctx, 0, 0, int(l.Head()))
	if err != nil {
		l.tb.Fatal(err)
	}
	for _, ev := range all {
		if ev.Tenant != tenant || !ev.EntryID.IsZero() || ev.Position <= l.watermark(tenant) {
			continue
		}
		about, err := l.About(ctx, tenant, []eventstore.EventID{ev.ID})
		if err != nil {
			l.tb.Fatal(err)
		}
		opened := l.opened(append([]eventstore.Event{ev}, about...))
		out = append(out, entry.Fold(opened[0], opened[1:]))
	}
	return out
}

func (l *Log) opened(events []eventstore.Event) (out []entry.Opened) {
	for _, ev := range events {
		o, err := l.Open(context.Background(), ev)
		if err != nil {
			l.tb.Fatal(err)
		}
		out = append(out, o)
	}
	return out
}
