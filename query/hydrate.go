package query

import (
	"context"
	"fmt"

	"auditlog/eventstore"
	"auditlog/internal/entry"
	"auditlog/internal/fault"
)

// hydrate reads and folds the entries at keys, in that order. Those that are gone are left out.
func (q *Queries) hydrate(ctx context.Context, tenant eventstore.TenantID, keys []Key) ([]entry.Entry, error) {
	at := make([]eventstore.Position, len(keys))
	for i := range keys {
		at[i] = keys[i].Position
	}
	entries := make([]entry.Entry, 0, len(keys))
	for len(at) > 0 {
		events, err := q.store.ReadPositions(ctx, tenant, at)
		if err != nil {
			return nil, err
		}
		if len(events) == 0 {
			break
		}
		if entries, err = q.fold(ctx, tenant, entries, events); err != nil {
			return nil, err
		}
		at = rest(at, events[len(events)-1].Position) // a page of events may end early
	}
	return entries, nil
}

// rest is what follows last in at.
func rest(at []eventstore.Position, last eventstore.Position) []eventstore.Position {
	for i, p := range at {
		if p == last {
			return at[i+1:]
		}
	}
	return nil
}

// fold makes entries of those events that are entries and appends them to dst. Amendments and erasures among events are
// left out: they are inside the entries that they are about.
func (q *Queries) fold(ctx context.Context, tenant eventstore.TenantID, dst []entry.Entry, events []eventstore.Event) ([]entry.Entry, error) {
	about, err := q.aboutAll(ctx, tenant, events)
	if err != nil {
		return nil, err
	}
	for i := range events {
		if !isOriginal(events[i].Type) {
			continue
		}
		e, err := q.open(ctx, events[i], about[events[i].ID])
		switch {
		case err == nil:
			dst = append(dst, e)
		case !fault.Is(err, fault.Purged): // purged since it was read: gone, like one that was not found
			return nil, err
		}
	}
	return dst, nil
}

// isOriginal tells events that are an entry of their own from those about another's entry.
func isOriginal(t eventstore.Type) bool { return t == eventstore.EntryRecorded || !t.IsEntry() }

// aboutAll are the events about the recorded entries among events, by entry and ascending.
func (q *Queries) aboutAll(ctx context.Context, tenant eventstore.TenantID, events []eventstore.Event) (map[eventstore.EventID][]eventstore.Event, error) {
	ids := make([]eventstore.EventID, 0, len(events))
	for i := range events {
		if events[i].Type == eventstore.EntryRecorded {
			ids = append(ids, events[i].ID)
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	about, err := q.store.About(ctx, tenant, ids)
	if err != nil || len(about) == 0 {
		return nil, err
	}
	by := make(map[eventstore.EventID][]eventstore.Event)
	for _, ev := range about {
		by[ev.EntryID] = append(by[ev.EntryID], ev)
	}
	return by, nil
}

// open folds one entry. An erasure or a purge may commit, and destroy keys, after about was read; a key that is gone
// without a visible reason is therefore looked into once more.
func (q *Queries) open(ctx context.Context, original eventstore.Event, about []eventstore.Event) (entry.Entry, error) {
	e, whole, err := q.openOnce(ctx, original, about)
	if err != nil || whole {
		return e, err
	}
	if original, err = q.store.Get(ctx, original.Tenant, original.ID); err != nil {
		return e, err
	}
	if about, err = q.store.About(ctx, original.Tenant, []eventstore.EventID{original.ID}); err != nil {
		return e, err
	}
	if e, whole, err = q.openOnce(ctx, original, about); err == nil && !whole {
		err = errLostKey(original.ID)
	}
	return e, err
}

// errLostKey is our defect or the keyring's damage: answering with a blank entry would hide it.
func errLostKey(id eventstore.EventID) error {
	return fmt.Errorf("read entry %s: a key of it is destroyed, though nothing erased or purged it", id)
}

// openOnce folds one entry and tells whether it could be read whole: erased, or every private part opened.
func (q *Queries) openOnce(ctx context.Context, original eventstore.Event, about []eventstore.Event) (e entry.Entry, whole bool, err error) {
	first, err := q.opener.Open(ctx, original)
	if err != nil {
		return e, false, err
	}
	whole = first.Priv != nil
	later := make([]entry.Opened, len(about))
	for i := range about {
		if later[i], err = q.opener.Open(ctx, about[i]); err != nil {
			return e, false, err
		}
		whole = whole && later[i].Priv != nil
	}
	e = entry.Fold(first, later)
	return e, whole || e.Erased != nil, nil
}
