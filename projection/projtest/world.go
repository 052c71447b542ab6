// Package projtest gives the tests of projections a real store and keyring in a folder of the test, and events to fill
// them with.
package projtest

import (
	"context"
	"crypto/rand"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"auditlog/eventstore"
	"auditlog/eventstore/format"
	"auditlog/eventstore/sqlite"
	"auditlog/internal/entry"
	"auditlog/keyring"
	"auditlog/keyring/file"
	"auditlog/projection"
)

// World is a store with its keyring.
type World struct {
	Store  *sqlite.Store
	Ring   *keyring.Ring
	Opener entry.Opener

	tb    testing.TB
	dir   string
	clock atomic.Int64 // µs
}

// New opens an empty world whose clock starts at 2026-01-01 and moves one second with each call of Tick.
func New(tb testing.TB) *World {
	tb.Helper()
	w := &World{tb: tb, dir: tb.TempDir()}
	w.clock.Store(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro())
	var err error
	w.Store, err = sqlite.Open(context.Background(), filepath.Join(w.dir, "events.db"), sqlite.Options{Now: w.Now})
	must(tb, err)
	driver, err := file.Open(filepath.Join(w.dir, "keys"))
	must(tb, err)
	w.Ring = keyring.New(driver, keyring.Options{})
	w.Opener = entry.Opener{Ring: w.Ring}
	tb.Cleanup(func() {
		must(tb, w.Store.Close())
		must(tb, w.Ring.Close())
	})
	return w
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// Now is the world's clock.
func (w *World) Now() time.Time { return time.UnixMicro(w.clock.Load()).UTC() }

// Tick moves the clock by one second.
func (w *World) Tick() { w.clock.Add(1e6) }

// Dir is the world's folder.
func (w *World) Dir() string { return w.dir }

// Tenant creates a tenant.
func (w *World) Tenant(slug string) eventstore.TenantID {
	w.tb.Helper()
	ctx, id := context.Background(), eventstore.TenantID(uuid.Must(uuid.NewV7()))
	must(w.tb, w.Ring.CreateTenant(ctx, id))
	_, err := w.Store.CreateTenant(ctx, eventstore.Tenant{ID: id, Slug: slug, Name: slug, Status: "active", RetentionDays: 90},
		w.draft(id, format.Public{Type: eventstore.TenantCreated}, format.Private{}))
	must(w.tb, err)
	return id
}

// Entry is what a recorded entry says. Empty fields get defaults.
type Entry struct {
	Actor, Action, Severity, Outcome, Resource, Message string
	Subjects                                            []string
	Occurred                                            *eventstore.Micros
}

// Draft makes the draft of an entry.
func (w *World) Draft(tenant eventstore.TenantID, e Entry) eventstore.Draft {
	w.tb.Helper()
	or := func(s, d string) string {
		if s == "" {
			return d
		}
		return s
	}
	return w.draft(tenant, format.Public{
		Type: eventstore.EntryRecorded, OccurredAt: e.Occurred, Action: or(e.Action, "read"), Severity: or(e.Severity, "INFO"),
		Outcome: or(e.Outcome, "success"), ActorType: "user", ResourceType: or(e.Resource, "document"),
	}, format.Private{Actor: format.Actor{ID: or(e.Actor, "ada")}, Message: e.Message, Subjects: e.Subjects, Emitter: "test"})
}

func (w *World) draft(tenant eventstore.TenantID, pub format.Public, priv format.Private) eventstore.Draft {
	w.tb.Helper()
	pub.ID = eventstore.NewEventID()
	_, err := rand.Read(priv.Salt[:])
	must(w.tb, err)
	plain := format.AppendPrivate(nil, &priv)
	pub.Private = format.Commit(plain)
	sealed, ref, err := w.Ring.Seal(context.Background(), tenant, pub.ID, nil, format.PackPrivate(nil, plain))
	must(w.tb, err)
	return eventstore.Draft{
		ID: pub.ID, Type: pub.Type, EntryID: pub.EntryID, Key: eventstore.KeyRef(ref),
		Public: format.PackPublic(nil, format.AppendPublic(nil, &pub)), Private: sealed,
	}
}

// Append stores drafts of one tenant in one flush and gives their outcomes, all of which must be stored.
func (w *World) Append(tenant eventstore.TenantID, drafts ...eventstore.Draft) []eventstore.Outcome {
	w.tb.Helper()
	out, err := w.Store.Append(context.Background(), eventstore.Flush{
		ID: eventstore.FlushID(uuid.New()), Shard: 0, Units: []eventstore.Unit{{Tenant: tenant, Drafts: drafts}},
	})
	must(w.tb, err)
	for _, o := range out {
		if o.Status != eventstore.Stored {
			w.tb.Fatalf("append: status %d", o.Status)
		}
	}
	return out
}

// Record stores one entry.
func (w *World) Record(tenant eventstore.TenantID, e Entry) eventstore.Outcome {
	w.tb.Helper()
	return w.Append(tenant, w.Draft(tenant, e))[0]
}

// RecordMany stores n entries "m<i>" in flushes of 100, with actors and actions that repeat.
func (w *World) RecordMany(tenant eventstore.TenantID, n int) {
	w.tb.Helper()
	var drafts []eventstore.Draft
	for i := range n {
		drafts = append(drafts, w.Draft(tenant, Entry{
			Actor: fmt.Sprintf("actor-%d", i%7), Action: fmt.Sprintf("action-%d", i%5), Message: fmt.Sprintf("m%d", i),
		}))
		if len(drafts) == 100 || i == n-1 {
			w.Append(tenant, drafts...)
			drafts = nil
		}
	}
}

// Amend stores an amendment.
func (w *World) Amend(tenant eventstore.TenantID, id eventstore.EventID, message string) eventstore.Outcome {
	w.tb.Helper()
	return w.Append(tenant, w.draft(tenant, format.Public{Type: eventstore.EntryAmended, EntryID: id},
		format.Private{Message: message, Reason: "because", Emitter: "test"}))[0]
}

// Erase stores an erasure.
func (w *World) Erase(tenant eventstore.TenantID, id eventstore.EventID) eventstore.Outcome {
	w.tb.Helper()
	return w.Append(tenant, w.draft(tenant, format.Public{Type: eventstore.EntryErased, EntryID: id},
		format.Private{Reason: "asked to", Emitter: "test"}))[0]
}

// Purge starts a purge of everything recorded before a time.
func (w *World) Purge(tenant eventstore.TenantID, before time.Time) eventstore.Purge {
	w.tb.Helper()
	p, _, err := w.Store.Purge(context.Background(), tenant, eventstore.MicrosOf(before), func(eventstore.Purge) (eventstore.Draft, error) {
		return w.draft(tenant, format.Public{Type: eventstore.LifecyclePurged}, format.Private{}), nil
	})
	must(w.tb, err)
	return p
}

// Events are all events of the shard.
func (w *World) Events() (all []eventstore.Event) {
	w.tb.Helper()
	for {
		var after eventstore.Offset
		if len(all) > 0 {
			after = all[len(all)-1].Offset
		}
		page, err := w.Store.ReadShard(context.Background(), 0, after, 1000)
		must(w.tb, err)
		if len(page) == 0 {
			return all
		}
		all = append(all, page...)
	}
}

// Single is the envelope of one event.
func Single(ev eventstore.Event) projection.Envelope {
	return projection.Envelope{Shard: ev.Shard, From: ev.Offset - 1, To: ev.Offset, Events: []eventstore.Event{ev}}
}
