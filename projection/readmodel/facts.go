package readmodel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"auditlog/eventstore"
	"auditlog/eventstore/format"
	"auditlog/internal/entry"
	"auditlog/internal/fault"
	"auditlog/keyring"
	"auditlog/projection"
)

// Store is what facts need of the event store.
type Store interface {
	Get(ctx context.Context, tenant eventstore.TenantID, id eventstore.EventID) (eventstore.Event, error)
	Purges(ctx context.Context, tenant eventstore.TenantID) ([]eventstore.Purge, error)
}

// Mark is a place in a tenant's log: of an erased entry, or the last one of a purge.
type Mark struct {
	Tenant   eventstore.TenantID
	Position eventstore.Position
}

// Facts are what an envelope tells about entries.
type Facts struct {
	Records []entry.Opened // entry.recorded, by tenant and then by offset; Priv is nil when the key was destroyed
	Erased  []Mark
	Purged  []Mark
}

// Collect opens what the envelope holds beyond the ranges done. An event that can never be read is *projection.Poison.
func Collect(ctx context.Context, store Store, opener entry.Opener, env projection.Envelope, done projection.Ranges) (Facts, error) {
	var f Facts
	for _, ev := range env.Events {
		if done.Has(ev.Offset) {
			continue
		}
		var err error
		switch ev.Type {
		case eventstore.EntryRecorded:
			var o entry.Opened
			if o, err = Open(ctx, opener, ev); err == nil {
				f.Records = append(f.Records, o)
			}
		case eventstore.EntryErased:
			err = f.erasure(ctx, store, ev)
		case eventstore.LifecyclePurged:
			err = f.purge(ctx, store, ev)
		}
		if err != nil {
			return Facts{}, err
		}
	}
	slices.SortStableFunc(f.Records, func(a, b entry.Opened) int { return bytes.Compare(a.Tenant[:], b.Tenant[:]) })
	return f, nil
}

func (f *Facts) erasure(ctx context.Context, store Store, ev eventstore.Event) error {
	target, err := store.Get(ctx, ev.Tenant, ev.EntryID)
	switch {
	case fault.Is(err, fault.Purged): // the purge takes it all
		return nil
	case fault.Is(err, fault.NotFound):
		return &projection.Poison{Err: fmt.Errorf("erasure %s names no entry: %w", ev.ID, err)}
	case err != nil:
		return fmt.Errorf("entry of erasure %s: %w", ev.ID, err)
	}
	f.Erased = append(f.Erased, Mark{ev.Tenant, target.Position})
	return nil
}

func (f *Facts) purge(ctx context.Context, store Store, ev eventstore.Event) error {
	purges, err := store.Purges(ctx, ev.Tenant)
	if err != nil {
		return fmt.Errorf("range of purge %s: %w", ev.ID, err)
	}
	for _, p := range purges {
		if p.ID == ev.ID {
			f.Purged = append(f.Purged, Mark{ev.Tenant, p.Last})
			return nil
		}
	}
	return &projection.Poison{Err: fmt.Errorf("purge %s is unknown to the store", ev.ID)}
}

// Open opens an event, and tells bytes that can never be read (*projection.Poison) from a key store that does not answer.
func Open(ctx context.Context, opener entry.Opener, ev eventstore.Event) (entry.Opened, error) {
	plain, err := format.Unpack(nil, ev.Public)
	if err != nil {
		return entry.Opened{}, poison(ev, err)
	}
	out := entry.Opened{Event: ev}
	if out.Pub, err = format.DecodePublic(plain); err != nil {
		return entry.Opened{}, poison(ev, err)
	}
	packed, err := opener.Ring.Open(ctx, ev.Tenant, ev.ID, keyring.Ref(ev.Key), nil, ev.Private)
	switch {
	case errors.Is(err, keyring.ErrPunctured):
		return out, nil
	case errors.Is(err, keyring.ErrAltered):
		return entry.Opened{}, poison(ev, err)
	case err != nil:
		return entry.Opened{}, fmt.Errorf("open event %s: %w", ev.ID, err)
	}
	if plain, err = format.Unpack(plain[:0], packed); err != nil {
		return entry.Opened{}, poison(ev, err)
	}
	priv, err := format.DecodePrivate(plain)
	if err != nil {
		return entry.Opened{}, poison(ev, err)
	}
	out.Priv = &priv
	return out, nil
}

func poison(ev eventstore.Event, err error) error {
	return &projection.Poison{Err: fmt.Errorf("event %s at shard %d, offset %d: %w", ev.ID, ev.Shard, ev.Offset, err)}
}
