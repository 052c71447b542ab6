package query

import (
	"context"

	"auditlog/eventstore"
	"auditlog/internal/entry"
	"auditlog/keyring"
)

// States of an erased entry's keys.
const (
	KeysPending   = "pending"   // reads answer as erased already; the keys are destroyed next
	KeysDestroyed = "destroyed" // the private bytes are unreadable for good
)

// HistoryItem is one event of an entry.
type HistoryItem struct {
	EventID    eventstore.EventID
	Type       eventstore.Type
	Position   eventstore.Position
	RecordedAt eventstore.Micros
	Action     string
	Roles      []string // of the emitter

	// From the private part, hence absent from an erased entry's events but the erasure itself.
	By       string // sub of the emitter
	Reason   string
	Message  string
	Metadata []byte // canonical JSON object; nil: absent

	Keys string // of an erasure: KeysPending or KeysDestroyed
}

// History is every event of an entry, oldest first. Errors are those of Get.
func (q *Queries) History(ctx context.Context, r Reader, id eventstore.EventID) ([]HistoryItem, error) {
	items, whole, err := q.historyOnce(ctx, r, id)
	if err == nil && !whole { // an erasure or a purge passed between the reads
		items, whole, err = q.historyOnce(ctx, r, id)
	}
	if err == nil && !whole {
		err = errLostKey(id)
	}
	return items, err
}

// historyOnce tells, beside the items, whether every private part that no erasure covers could be opened.
func (q *Queries) historyOnce(ctx context.Context, r Reader, id eventstore.EventID) (items []HistoryItem, whole bool, err error) {
	original, about, err := q.eventsOf(ctx, r, id)
	if err != nil {
		return nil, false, err
	}
	events := append([]eventstore.Event{original}, about...)
	erased := hasErasure(about)
	items, whole = make([]HistoryItem, len(events)), true
	for i := range events {
		opened, err := q.opener.Open(ctx, events[i])
		if err != nil {
			return nil, false, err
		}
		whole = whole && (opened.Priv != nil || erased)
		items[i] = historyItem(&opened, erased)
		if events[i].Type != eventstore.EntryErased {
			continue
		}
		if items[i].Keys, err = q.keysOf(ctx, events); err != nil {
			return nil, false, err
		}
	}
	return items, whole, nil
}

func historyItem(ev *entry.Opened, erased bool) HistoryItem {
	item := HistoryItem{
		EventID: ev.ID, Type: ev.Type, Position: ev.Position, RecordedAt: ev.RecordedAt,
		Action: ev.Pub.Action, Roles: ev.Pub.Roles,
	}
	if p := ev.Priv; p != nil && (!erased || ev.Type == eventstore.EntryErased) {
		item.By, item.Reason, item.Message, item.Metadata = p.Emitter, p.Reason, p.Message, p.Metadata
	}
	return item
}

func hasErasure(about []eventstore.Event) bool {
	for i := range about {
		if about[i].Type == eventstore.EntryErased {
			return true
		}
	}
	return false
}

// keysOf is the state of the keys of all that an erasure covers: the entry and its amendments.
func (q *Queries) keysOf(ctx context.Context, events []eventstore.Event) (string, error) {
	for i := range events {
		if events[i].Type == eventstore.EntryErased {
			continue
		}
		gone, err := q.opener.Ring.Punctured(ctx, events[i].Tenant, keyring.Ref(events[i].Key))
		if err != nil {
			return "", err
		}
		if !gone {
			return KeysPending, nil
		}
	}
	return KeysDestroyed, nil
}
