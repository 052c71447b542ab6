package query_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"auditlog/eventstore"
	"auditlog/eventstore/format"
	"auditlog/internal/entry"
	"auditlog/keyring"
	"auditlog/keyring/file"
	"auditlog/query"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var startOfLog = eventstore.MicrosOf(time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC))

// world is a read side over parts that the test steers.
type world struct {
	tb     testing.TB
	ring   *keyring.Ring
	opener entry.Opener
	store  *memStore
	index  *memIndex
	rolls  *memRollups
	feed   *memFeed
	q      *query.Queries
	now    time.Time
	reader query.Reader
	stored map[eventstore.EventID]eventstore.Event
}

// newRing is a real keyring in files.
func newRing(tb testing.TB) *keyring.Ring {
	driver, err := file.Open(filepath.Join(tb.TempDir(), "keys"))
	if err != nil {
		tb.Fatal(err)
	}
	ring := keyring.New(driver, keyring.Options{})
	tb.Cleanup(func() {
		if err := ring.Close(); err != nil {
			tb.Error(err)
		}
	})
	return ring
}

func newWorld(tb testing.TB) *world { return newWorldOn(tb, newRing(tb), query.Options{}) }

// newWorldOn makes an empty log with one tenant on a ring that may be shared by many worlds.
func newWorldOn(tb testing.TB, ring *keyring.Ring, o query.Options) *world {
	w := &world{tb: tb, ring: ring, opener: entry.Opener{Ring: ring}, stored: map[eventstore.EventID]eventstore.Event{}}
	w.now = startOfLog.Time()
	w.store = &memStore{tb: tb}
	w.index = newMemIndex(w)
	w.rolls = &memRollups{tb: tb}
	w.feed = &memFeed{tb: tb}
	o.Now = func() time.Time { return w.now }
	w.q = query.New(w.store, w.opener, w.index, w.rolls, w.feed, [32]byte{42}, o)
	w.reader = query.Reader{Tenant: w.tenant(), Sub: "reader"}
	return w
}

func (w *world) tenant() eventstore.TenantID {
	id := eventstore.TenantID(eventstore.NewEventID())
	if err := w.ring.CreateTenant(context.Background(), id); err != nil {
		w.tb.Fatal(err)
	}
	return id
}

// parts is an event in plain form; fields that a test leaves out are filled in.
type parts struct {
	tenant eventstore.TenantID
	id     eventstore.EventID
	kind   eventstore.Type
	about  eventstore.EventID
	pub    format.Public
	priv   format.Private
}

// append stores an event of the reader's tenant unless it names another.
func (w *world) append(p parts) eventstore.Event {
	w.tb.Helper()
	ev := w.seal(p)
	ev = w.store.add(ev)
	w.stored[ev.ID] = ev
	return ev
}

// seal makes the stored form of an event.
func (w *world) seal(p parts) eventstore.Event {
	w.tb.Helper()
	if p.tenant.IsZero() {
		p.tenant = w.reader.Tenant
	}
	if p.kind == "" {
		p.kind = eventstore.EntryRecorded
	}
	if p.pub.Action == "" && p.kind == eventstore.EntryRecorded {
		p.pub.Action, p.pub.ActorType, p.pub.ResourceType = "CREATE", "user", "document"
		p.pub.Severity, p.pub.Outcome = "INFO", "success"
	}
	id := p.id
	if id.IsZero() {
		id = eventstore.NewEventID()
	}
	p.pub.ID, p.pub.Type, p.pub.EntryID, p.pub.Roles = id, p.kind, p.about, []string{"writer"}
	if p.priv.Emitter == "" {
		p.priv.Emitter = "service-1"
	}
	if _, err := rand.Read(p.priv.Salt[:]); err != nil {
		w.tb.Fatal(err)
	}
	private := format.AppendPrivate(nil, &p.priv)
	p.pub.Private = format.Commit(private)
	ev := eventstore.Event{Tenant: p.tenant, ID: id, Type: p.kind, EntryID: p.about}
	ev.Public = format.PackPublic(nil, format.AppendPublic(nil, &p.pub))
	sealed, ref, err := w.ring.Seal(context.Background(), ev.Tenant, ev.ID, nil, format.PackPrivate(nil, private))
	if err != nil {
		w.tb.Fatal(err)
	}
	ev.Private, ev.Key = sealed, eventstore.KeyRef(ref)
	return ev
}

func (w *world) record(message string) eventstore.Event {
	w.tb.Helper()
	return w.append(parts{priv: format.Private{Actor: format.Actor{ID: "alice"}, Message: message}})
}

func (w *world) amend(id eventstore.EventID, message string) eventstore.Event {
	w.tb.Helper()
	return w.append(parts{kind: eventstore.EntryAmended, about: id, priv: format.Private{Message: message, Reason: "typo"}})
}

func (w *world) erase(id eventstore.EventID) eventstore.Event {
	w.tb.Helper()
	return w.append(parts{kind: eventstore.EntryErased, about: id, priv: format.Private{Reason: "asked to"}})
}

// purge hides everything up to last and appends the event that tells of it.
func (w *world) purge(last eventstore.Position) eventstore.Event {
	w.tb.Helper()
	ev := w.append(parts{kind: eventstore.LifecyclePurged, pub: format.Public{Action: "lifecycle.purged"}})
	w.store.purge(w.reader.Tenant, ev, last)
	return ev
}

// puncture destroys the keys of events.
func (w *world) puncture(events ...eventstore.Event) {
	w.tb.Helper()
	for _, ev := range events {
		if err := w.ring.Puncture(context.Background(), ev.Tenant, []keyring.Ref{keyring.Ref(ev.Key)}); err != nil {
			w.tb.Fatal(err)
		}
	}
}

// recordMany appends n entries whose messages are "entry 1" … "entry n" and lets the index catch up.
func (w *world) recordMany(n int) []eventstore.Event {
	w.tb.Helper()
	events := make([]eventstore.Event, n)
	for i := range events {
		events[i] = w.record(fmt.Sprintf("entry %d", i+1))
	}
	w.index.catchUp()
	return events
}

func positions(entries []entry.Entry) []eventstore.Position {
	out := make([]eventstore.Position, len(entries))
	for i := range entries {
		out[i] = entries[i].Position
	}
	return out
}
