package query

import (
	"context"

	"auditlog/eventstore"
	"auditlog/internal/entry"
	"auditlog/internal/fault"
)

// Get is one entry straight from the event store, readable as soon as its write was acknowledged. What retention
// removed is fault.Purged. The ids of amendments and erasures name no entry, and those of the log's events about itself
// name one only for readers with AccessEvents: fault.NotFound.
func (q *Queries) Get(ctx context.Context, r Reader, id eventstore.EventID) (entry.Entry, error) {
	original, about, err := q.eventsOf(ctx, r, id)
	if err != nil {
		return entry.Entry{}, err
	}
	return q.open(ctx, original, about)
}

// eventsOf are the event that an entry's id names and the events about it.
func (q *Queries) eventsOf(ctx context.Context, r Reader, id eventstore.EventID) (eventstore.Event, []eventstore.Event, error) {
	original, err := q.store.Get(ctx, r.Tenant, id)
	if err != nil {
		return eventstore.Event{}, nil, err
	}
	if !isOriginal(original.Type) || (!original.Type.IsEntry() && !r.AccessEvents) {
		return eventstore.Event{}, nil, fault.New(fault.NotFound, "there is no such entry")
	}
	if original.Type != eventstore.EntryRecorded {
		return original, nil, nil
	}
	about, err := q.store.About(ctx, r.Tenant, []eventstore.EventID{id})
	return original, about, err
}
