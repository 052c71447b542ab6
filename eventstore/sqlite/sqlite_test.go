package sqlite_test

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/google/uuid"

	"auditlog/eventstore"
	"auditlog/eventstore/sqlite"
)

func open(tb testing.TB, path string) *sqlite.Store {
	tb.Helper()
	s, err := sqlite.Open(tb.Context(), path, sqlite.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

func newTenant(tb testing.TB, s eventstore.Store) eventstore.TenantID {
	tb.Helper()
	t := eventstore.Tenant{ID: eventstore.TenantID(uuid.New()), Slug: uuid.NewString(), Name: "Acme", Status: "active"}
	_, err := s.CreateTenant(tb.Context(), t, eventstore.Draft{ID: eventstore.NewEventID(), Type: eventstore.TenantCreated, Public: []byte("p")})
	if err != nil {
		tb.Fatal(err)
	}
	return t.ID
}

func drafts(n, size int) []eventstore.Draft {
	all := make([]eventstore.Draft, n)
	for i := range all {
		all[i] = eventstore.Draft{
			ID: eventstore.NewEventID(), Type: eventstore.EntryRecorded, Key: eventstore.KeyRef{Epoch: 1, Index: uint32(i)},
			Public: bytes.Repeat([]byte{'p'}, size/2), Private: bytes.Repeat([]byte{'q'}, size-size/2),
		}
	}
	return all
}

func flush(units ...eventstore.Unit) eventstore.Flush {
	return eventstore.Flush{ID: eventstore.FlushID(uuid.New()), Units: units}
}

func TestAppendAndRead(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "events.db"))
	tenant := newTenant(t, s)
	want := drafts(150, 400)
	got, err := s.Append(t.Context(), flush(eventstore.Unit{Tenant: tenant, Drafts: want}))
	if err != nil || len(got) != len(want) {
		t.Fatalf("%d outcomes, %v", len(got), err)
	}
	for i, o := range got {
		if o.Status != eventstore.Stored || o.Position != eventstore.Position(i+2) || o.ID != want[i].ID {
			t.Fatalf("outcome %d: %+v", i, o)
		}
	}
	events, err := s.ReadTenant(t.Context(), tenant, 1, 1000)
	if err != nil || len(events) != len(want) {
		t.Fatalf("%d events, %v", len(events), err)
	}
	for i, e := range events {
		d := want[i]
		if e.ID != d.ID || e.Type != d.Type || e.Key != d.Key || e.Tenant != tenant || e.RecordedAt != got[i].RecordedAt ||
			!bytes.Equal(e.Public, d.Public) || !bytes.Equal(e.Private, d.Private) {
			t.Fatalf("event %d: %+v", i, e)
		}
	}
}
