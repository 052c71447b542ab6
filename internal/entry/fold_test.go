package entry_test

import (
	"reflect"
	"testing"

	"auditlog/eventstore"
	"auditlog/eventstore/format"
	"auditlog/internal/entry"
)

func opened(last byte, p eventstore.Position, typ eventstore.Type, priv *format.Private) entry.Opened {
	return entry.Opened{
		Event: eventstore.Event{Tenant: eventstore.TenantID(id(0xee)), ID: id(last), Position: p, Offset: eventstore.Offset(p), RecordedAt: at + eventstore.Micros(p), Type: typ},
		Pub:   format.Public{ID: id(last), Type: typ, Action: "READ"},
		Priv:  priv,
	}
}

func original() entry.Opened {
	return opened(1, 10, eventstore.EntryRecorded, &format.Private{Message: "secret", Emitter: "w"})
}

func amended(last byte, p eventstore.Position) entry.Opened {
	return opened(last, p, eventstore.EntryAmended, &format.Private{Emitter: "clerk", Reason: "why", Message: "better", Metadata: []byte(`{}`)})
}

func TestFoldOriginalAlone(t *testing.T) {
	e := entry.Fold(original(), nil)
	if e.ID != id(1) || e.Position != 10 || e.Newest != 10 || e.Private.Message != "secret" || e.Erased != nil || e.Amendments != nil {
		t.Errorf("got %+v", e)
	}
	if e.OccurredAt != e.RecordedAt {
		t.Errorf("occurred_at %v is not recorded_at %v", e.OccurredAt, e.RecordedAt)
	}
	o := original()
	named := at - 7
	o.Pub.OccurredAt = &named
	if got := entry.Fold(o, nil).OccurredAt; got != named {
		t.Errorf("occurred_at is %v, want %v", got, named)
	}
}

func TestFoldAmendments(t *testing.T) {
	e := entry.Fold(original(), []entry.Opened{amended(2, 12), amended(3, 15)})
	want := []entry.Amendment{
		{EventID: id(2), Position: 12, At: at + 12, By: "clerk", Reason: "why", Message: "better", Metadata: []byte(`{}`)},
		{EventID: id(3), Position: 15, At: at + 15, By: "clerk", Reason: "why", Message: "better", Metadata: []byte(`{}`)},
	}
	if !reflect.DeepEqual(e.Amendments, want) || e.Newest != 15 || e.Private.Message != "secret" {
		t.Errorf("got %+v", e)
	}
}

// An erasure covers the entry and its amendments, whether their keys are destroyed already or not.
func TestFoldErasure(t *testing.T) {
	erasure := opened(4, 20, eventstore.EntryErased, &format.Private{Reason: "subject's right"})
	gone := erasure
	gone.Priv = nil
	destroyed, destroyedAmendment := original(), amended(2, 12)
	destroyed.Priv, destroyedAmendment.Priv = nil, nil
	for name, c := range map[string]struct {
		original entry.Opened
		about    []entry.Opened
	}{
		"keys there":     {original(), []entry.Opened{amended(2, 12), erasure}},
		"keys destroyed": {destroyed, []entry.Opened{destroyedAmendment, gone}},
	} {
		t.Run(name, func(t *testing.T) {
			e := entry.Fold(c.original, c.about)
			if !reflect.DeepEqual(e.Private, format.Private{}) {
				t.Errorf("private part is %+v", e.Private)
			}
			if e.Erased == nil || *e.Erased != (entry.Erasure{At: at + 20, By: id(4)}) {
				t.Errorf("erased is %+v", e.Erased)
			}
			if want := []entry.Amendment{{EventID: id(2), Position: 12, At: at + 12}}; !reflect.DeepEqual(e.Amendments, want) {
				t.Errorf("amendments are %+v", e.Amendments)
			}
			if e.Newest != 20 || e.Public.Action != "READ" {
				t.Errorf("got %+v", e)
			}
		})
	}
}

// The first of several erasures counts: later ones are no events of a store that keeps its contract, but of a merge.
func TestFoldFirstErasureCounts(t *testing.T) {
	e := entry.Fold(original(), []entry.Opened{opened(4, 20, eventstore.EntryErased, nil), opened(5, 21, eventstore.EntryErased, nil)})
	if e.Erased == nil || e.Erased.By != id(4) || e.Newest != 21 {
		t.Errorf("got %+v", e.Erased)
	}
}
