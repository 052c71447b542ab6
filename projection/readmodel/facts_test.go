package readmodel_test

import (
	"context"
	"errors"
	"testing"

	"auditlog/eventstore"
	"auditlog/internal/entry"
	"auditlog/keyring"
	"auditlog/projection"
	"auditlog/projection/projtest"
	"auditlog/projection/readmodel"
)

// away is a key store that does not answer.
type away struct{ keyring.Driver }

func (away) Get(context.Context, [16]byte, keyring.Item) ([]byte, error) {
	return nil, errors.New("key store is away")
}

func (away) Place([16]byte, keyring.Item) string { return "nowhere" }

// What can never be read is poison; a key store that does not answer is not, and a destroyed key is no failure.
func TestCollectTellsPoisonFromTrouble(t *testing.T) {
	w := projtest.New(t)
	tenant := w.Tenant("acme")
	w.Record(tenant, projtest.Entry{Message: "hello"})
	good := w.Events()[1]
	collect := func(o entry.Opener, change func(*eventstore.Event)) (readmodel.Facts, error) {
		ev := good
		change(&ev)
		return readmodel.Collect(t.Context(), w.Store, o, projtest.Single(ev), nil)
	}
	for name, change := range map[string]func(*eventstore.Event){
		"altered private part": func(e *eventstore.Event) { e.Private = append([]byte{e.Private[0] ^ 1}, e.Private[1:]...) },
		"moved to a neighbour": func(e *eventstore.Event) { e.ID[15] ^= 1 },
		"damaged public part":  func(e *eventstore.Event) { e.Public = []byte{1, 2, 3} },
		"empty public part":    func(e *eventstore.Event) { e.Public = nil },
		"erasure of nothing":   func(e *eventstore.Event) { e.Type, e.EntryID = eventstore.EntryErased, eventstore.NewEventID() },
		"purge unknown":        func(e *eventstore.Event) { e.Type = eventstore.LifecyclePurged },
	} {
		var poison *projection.Poison
		if _, err := collect(w.Opener, change); !errors.As(err, &poison) {
			t.Errorf("%s: %v, want poison", name, err)
		}
	}
	same := func(*eventstore.Event) {}
	broken := entry.Opener{Ring: keyring.New(away{}, keyring.Options{})}
	var poison *projection.Poison
	if _, err := collect(broken, same); err == nil || errors.As(err, &poison) {
		t.Errorf("key store away: %v, want an error that is no poison", err)
	}
	if f, err := collect(w.Opener, same); err != nil || len(f.Records) != 1 || f.Records[0].Priv.Message != "hello" {
		t.Errorf("sound: %+v, %v", f, err)
	}
	if err := w.Ring.Puncture(t.Context(), tenant, []keyring.Ref{keyring.Ref(good.Key)}); err != nil {
		t.Fatal(err)
	}
	if f, err := collect(w.Opener, same); err != nil || len(f.Records) != 1 || f.Records[0].Priv != nil {
		t.Errorf("key destroyed: %+v, %v", f, err)
	}
}
