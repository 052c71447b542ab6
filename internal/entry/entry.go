// Package entry is the reader's view of a log: one entry, with its amendments inside and its erasure honoured.
//
// An entry is folded from the event that recorded it and the events about it. Every reader (get, list, export, stream,
// history) and every projection sees entries through this package, so that all agree on what one is.
package entry

import (
	"context"
	"errors"
	"fmt"

	"auditlog/eventstore"
	"auditlog/eventstore/format"
	"auditlog/keyring"
)

// Opened is an event with its parts readable. Private is nil once its key was destroyed.
type Opened struct {
	eventstore.Event
	Pub  format.Public
	Priv *format.Private
}

// Amendment is a correction beside the original.
type Amendment struct {
	EventID  eventstore.EventID
	Position eventstore.Position
	At       eventstore.Micros
	By       string
	Reason   string
	Message  string
	Metadata []byte // canonical JSON object; nil: absent
}

// Erasure tells that the private parts are gone, and by which event.
type Erasure struct {
	At eventstore.Micros
	By eventstore.EventID
}

// Entry is what readers see. Private is the zero value once Erased is set; public fields stay.
type Entry struct {
	Tenant     eventstore.TenantID
	ID         eventstore.EventID
	Type       eventstore.Type
	Position   eventstore.Position
	Offset     eventstore.Offset // never shown
	RecordedAt eventstore.Micros
	OccurredAt eventstore.Micros
	Public     format.Public
	Private    format.Private
	Amendments []Amendment // oldest first; without content once Erased is set
	Erased     *Erasure
	Newest     eventstore.Position // of the newest event that is folded in
}

// Opener opens events with a keyring.
type Opener struct{ Ring *keyring.Ring }

// Open decodes both parts of an event. A destroyed key is no error: Priv is nil then.
func (o Opener) Open(ctx context.Context, ev eventstore.Event) (Opened, error) {
	out := Opened{Event: ev}
	plain, err := format.Unpack(nil, ev.Public)
	if err != nil {
		return out, fmt.Errorf("open event %s: %w", ev.ID, err)
	}
	if out.Pub, err = format.DecodePublic(plain); err != nil {
		return out, fmt.Errorf("open event %s: %w", ev.ID, err)
	}
	private, err := o.OpenPrivate(ctx, ev)
	if err != nil || private == nil {
		return out, err
	}
	priv, err := format.DecodePrivate(private)
	if err != nil {
		return out, fmt.Errorf("open event %s: %w", ev.ID, err)
	}
	out.Priv = &priv
	return out, nil
}

// OpenPrivate is the plain private part, exactly as it was committed to; nil when its key was destroyed.
func (o Opener) OpenPrivate(ctx context.Context, ev eventstore.Event) ([]byte, error) {
	packed, err := o.Ring.Open(ctx, ev.Tenant, ev.ID, keyring.Ref(ev.Key), nil, ev.Private)
	switch {
	case errors.Is(err, keyring.ErrPunctured):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("open event %s: %w", ev.ID, err)
	}
	plain, err := format.Unpack(nil, packed)
	if err != nil {
		return nil, fmt.Errorf("open event %s: %w", ev.ID, err)
	}
	return plain, nil
}

// Fold makes an entry from the event that recorded it and the events about it, in ascending position. Whatever an
// erasure covers is left out, whether its key is destroyed already or not; amendments stay as places without content, so
// that the revision never falls.
func Fold(original Opened, about []Opened) Entry {
	e := Entry{
		Tenant: original.Tenant, ID: original.ID, Type: original.Type, Position: original.Position, Offset: original.Offset,
		RecordedAt: original.RecordedAt, OccurredAt: original.RecordedAt, Public: original.Pub, Newest: original.Position,
	}
	if original.Pub.OccurredAt != nil {
		e.OccurredAt = *original.Pub.OccurredAt
	}
	for _, a := range about {
		e.Newest = max(e.Newest, a.Position)
		if a.Type == eventstore.EntryErased && e.Erased == nil {
			e.Erased = &Erasure{At: a.RecordedAt, By: a.ID}
		}
	}
	if e.Erased == nil && original.Priv != nil {
		e.Private = *original.Priv
	}
	for _, a := range about {
		if a.Type == eventstore.EntryAmended {
			e.Amendments = append(e.Amendments, amendment(a, e.Erased != nil))
		}
	}
	return e
}

// amendment is what readers see of one; after the entry's erasure that is no more than its place in the log.
func amendment(a Opened, erased bool) Amendment {
	am := Amendment{EventID: a.ID, Position: a.Position, At: a.RecordedAt}
	if a.Priv != nil && !erased {
		am.By, am.Reason, am.Message, am.Metadata = a.Priv.Emitter, a.Priv.Reason, a.Priv.Message, a.Priv.Metadata
	}
	return am
}
