package search

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"auditlog/eventstore"
	"auditlog/eventstore/format"
	"auditlog/internal/criteria"
	"auditlog/internal/entry"
	"auditlog/internal/fault"
	"auditlog/keyring"
	"auditlog/projection"
)

// effect is what an envelope does to the index, found before any write.
type effect struct {
	documents []document                                  // ascending by id, one per id
	purged    map[eventstore.TenantID]eventstore.Position // new watermarks
}

// gather opens the events that are not applied yet, and reads from the store the entries that they change.
func (f *file) gather(ctx context.Context, env projection.Envelope, applied projection.Ranges) (effect, error) {
	eff := effect{purged: map[eventstore.TenantID]eventstore.Position{}}
	changed := map[eventstore.TenantID][]eventstore.EventID{}
	for _, ev := range env.Events {
		if applied.Has(ev.Offset) {
			continue
		}
		if criteria.KindOf(ev.Type) == "" {
			changed[ev.Tenant] = append(changed[ev.Tenant], ev.EntryID)
			continue
		}
		opened, err := f.opener.Open(ctx, ev)
		if err != nil {
			return eff, f.unreadable(ev, err)
		}
		eff.documents = append(eff.documents, f.document(entry.Fold(opened, nil), env.Shard))
		if ev.Type == eventstore.LifecyclePurged {
			if eff.purged[ev.Tenant], err = f.watermark(ctx, ev.Tenant); err != nil {
				return eff, err
			}
		}
	}
	for tenant, ids := range changed {
		slices.SortFunc(ids, func(a, b eventstore.EventID) int { return slices.Compare(a[:], b[:]) })
		rebuilt, err := f.rebuilt(ctx, env.Shard, tenant, slices.Compact(ids))
		if err != nil {
			return eff, err
		}
		eff.documents = append(eff.documents, rebuilt...)
	}
	slices.SortFunc(eff.documents, func(a, b document) int {
		return cmp.Or(cmp.Compare(a.id, b.id), cmp.Compare(b.version, a.version)) // the newest of an id first
	})
	eff.documents = slices.CompactFunc(eff.documents, func(a, b document) bool { return a.id == b.id })
	return eff, nil
}

// rebuilt are the documents of entries as the store has them now. Those that were purged meanwhile are left out: the
// purge's own event takes their documents away.
func (f *file) rebuilt(ctx context.Context, shard eventstore.Shard, tenant eventstore.TenantID, ids []eventstore.EventID) ([]document, error) {
	events, err := f.store.About(ctx, tenant, ids)
	if err != nil {
		return nil, err
	}
	about := map[eventstore.EventID][]entry.Opened{}
	for _, ev := range events {
		opened, err := f.opener.Open(ctx, ev)
		if err != nil {
			return nil, f.unreadable(ev, err)
		}
		about[ev.EntryID] = append(about[ev.EntryID], opened)
	}
	var out []document
	for _, id := range ids {
		ev, err := f.store.Get(ctx, tenant, id)
		if fault.Is(err, fault.Purged) || fault.Is(err, fault.NotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		original, err := f.opener.Open(ctx, ev)
		if err != nil {
			return nil, f.unreadable(ev, err)
		}
		out = append(out, f.document(entry.Fold(original, about[id]), shard))
	}
	return out, nil
}

// watermark is the position up to which a tenant's purges reach.
func (f *file) watermark(ctx context.Context, tenant eventstore.TenantID) (eventstore.Position, error) {
	purges, err := f.store.Purges(ctx, tenant)
	if err != nil {
		return 0, err
	}
	var last eventstore.Position
	for _, p := range purges {
		last = max(last, p.Last)
	}
	return last, nil
}

// unreadable marks errors that say that the event's bytes are damaged; others, such as a key store that does not answer,
// pass with time.
func (f *file) unreadable(ev eventstore.Event, err error) error {
	err = fmt.Errorf("index event %s at offset %d: %w", ev.ID, ev.Offset, err)
	plain, damage := format.Unpack(nil, ev.Public)
	if damage == nil {
		_, damage = format.DecodePublic(plain)
	}
	if damage != nil || errors.Is(err, keyring.ErrAltered) {
		return &projection.Poison{Err: err}
	}
	return err
}
