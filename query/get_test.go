package query_test

import (
	"context"
	"testing"

	"auditlog/eventstore"
	"auditlog/eventstore/format"
	"auditlog/internal/fault"
	"auditlog/query"
)

// TestGetNeedsNoIndex: an entry is readable at once, with what happened to it since.
func TestGetNeedsNoIndex(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	ev := w.record("secret")
	e, err := w.q.Get(ctx, w.reader, ev.ID)
	if err != nil || e.Private.Message != "secret" || e.Position != 1 || e.OccurredAt != ev.RecordedAt {
		t.Fatalf("recorded: %+v, %v", e, err)
	}
	amended := w.amend(ev.ID, "corrected")
	e, err = w.q.Get(ctx, w.reader, ev.ID)
	if err != nil || len(e.Amendments) != 1 || e.Amendments[0].Position != amended.Position || e.Newest != amended.Position {
		t.Fatalf("amended: %+v, %v", e, err)
	}
	erased := w.erase(ev.ID)
	for _, destroyed := range []bool{false, true} {
		if destroyed {
			w.puncture(ev, amended)
		}
		e, err = w.q.Get(ctx, w.reader, ev.ID)
		if err != nil || e.Erased == nil || e.Erased.By != erased.ID || e.Private.Message != "" || e.Private.Actor.ID != "" || e.Public.Action != "CREATE" {
			t.Fatalf("erased, keys destroyed %v: %+v, %v", destroyed, e, err)
		}
		for _, a := range e.Amendments {
			if a.Message != "" || a.Reason != "" || a.By != "" {
				t.Fatalf("an erased entry shows its amendment: %+v", a)
			}
		}
	}
}

func TestGetRefuses(t *testing.T) {
	w := newWorld(t)
	first, ev := w.record("purged"), w.record("kept")
	amended, erased := w.amend(ev.ID, "corrected"), w.erase(ev.ID)
	purge := w.purge(1)
	auditor := query.Reader{Tenant: w.reader.Tenant, AccessEvents: true}
	for name, c := range map[string]struct {
		reader query.Reader
		id     eventstore.EventID
		kind   fault.Kind
	}{
		"missing":                  {w.reader, eventstore.NewEventID(), fault.NotFound},
		"B3 another tenant's":      {query.Reader{Tenant: w.tenant()}, ev.ID, fault.NotFound},
		"an amendment":             {auditor, amended.ID, fault.NotFound},
		"an erasure":               {auditor, erased.ID, fault.NotFound},
		"purged":                   {w.reader, first.ID, fault.Purged},
		"of the log, for a reader": {w.reader, purge.ID, fault.NotFound},
	} {
		for _, err := range []error{
			second(w.q.Get(context.Background(), c.reader, c.id)), second(w.q.History(context.Background(), c.reader, c.id)),
		} {
			if !fault.Is(err, c.kind) {
				t.Errorf("%s: %v, want %v", name, err, c.kind)
			}
		}
	}
	if e, err := w.q.Get(context.Background(), auditor, purge.ID); err != nil || e.Type != eventstore.LifecyclePurged {
		t.Errorf("of the log, for an auditor: %+v, %v", e, err)
	}
}

func TestHistory(t *testing.T) {
	w := newWorld(t)
	ev := w.append(parts{priv: format.Private{Message: "secret", Emitter: "app", Actor: format.Actor{ID: "alice"}}})
	amended := w.amend(ev.ID, "corrected")
	history := func() []query.HistoryItem {
		t.Helper()
		items, err := w.q.History(context.Background(), w.reader, ev.ID)
		if err != nil {
			t.Fatal(err)
		}
		return items
	}
	items := history()
	if len(items) != 2 || items[0].EventID != ev.ID || items[0].By != "app" || items[0].Message != "secret" ||
		items[1].EventID != amended.ID || items[1].Message != "corrected" || items[1].Reason != "typo" || items[1].Type != eventstore.EntryAmended {
		t.Fatalf("before the erasure: %+v", items)
	}
	erased := w.erase(ev.ID)
	for _, c := range []struct {
		destroy []eventstore.Event
		keys    string
	}{{nil, query.KeysPending}, {[]eventstore.Event{ev}, query.KeysPending}, {[]eventstore.Event{amended}, query.KeysDestroyed}} {
		w.puncture(c.destroy...)
		items = history()
		if len(items) != 3 || items[2].EventID != erased.ID || items[2].Keys != c.keys || items[2].Reason != "asked to" {
			t.Fatalf("after the erasure: %+v, want keys %s", items, c.keys)
		}
		for _, item := range items[:2] {
			if item.By != "" || item.Message != "" || item.Reason != "" || item.Keys != "" {
				t.Fatalf("an erased event shows %+v", item)
			}
		}
	}
}

// TestHistoryDuringAnErasure: keys that are destroyed between two reads are looked into again.
func TestHistoryDuringAnErasure(t *testing.T) {
	w := newWorld(t)
	ev := w.record("secret")
	w.puncture(ev)
	gets := 0
	w.store.before = func(call string) {
		if call == "Get" {
			if gets++; gets == 2 {
				w.store.before = nil
				w.erase(ev.ID)
			}
		}
	}
	items, err := w.q.History(context.Background(), w.reader, ev.ID)
	if err != nil || len(items) != 2 || items[1].Keys != query.KeysDestroyed {
		t.Fatalf("%+v, %v", items, err)
	}
}

func TestHistoryOfALostKey(t *testing.T) {
	w := newWorld(t)
	ev := w.record("secret")
	w.puncture(ev)
	if _, err := w.q.History(context.Background(), w.reader, ev.ID); !fault.Is(err, fault.Internal) {
		t.Fatalf("a lost key answers %v", err)
	}
}
