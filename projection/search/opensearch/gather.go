package opensearch

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
	documents []document                                  // one per id
	purged    map[eventstore.TenantID]eventstore.Position // new watermarks
}

// gather opens the events that are not applied yet, and reads from the store the entries that they change.
func (x *Index) gather(ctx context.Context, env projection.Envelope, applied projection.Ranges) (effect, error) {
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
		opened, err := x.cfg.Opener.Open(ctx, ev)
		if err != nil {
			return eff, unreadable(ev, err)
		}
		e := entry.Fold(opened, nil)
		eff.documents = append(eff.documents, newDocument(&e, env.Shard))
		if ev.Type == eventstore.LifecyclePurged {
			if eff.purged[ev.Tenant], err = x.watermark(ctx, ev.Tenant); err != nil {
				return eff, err
			}
		}
	}
	for tenant, ids := range changed {
		slices.SortFunc(ids, func(a, b eventstore.EventID) int { return slices.Compare(a[:], b[:]) })
		rebuilt, err := x.rebuilt(ctx, env.Shard, tenant, slices.Compact(ids))
		if err != nil {
			return eff, err
		}
		eff.documents = append(eff.documents, rebuilt...)
	}
	slices.SortFunc(eff.documents, func(a, b document) int { // the newest of an id first
		return cmp.Or(slices.Compare(a.id[:], b.id[:]), cmp.Compare(b.version, a.version))
	})
	eff.documents = slices.CompactFunc(eff.documents, func(a, b document) bool { return a.id == b.id })
	return eff, nil
}

// rebuilt are the documents of entries as the store has them now. Those that were purged meanwhile are left out: the
// purge's own event takes their documents away.
func (x *Index) rebuilt(ctx context.Context, shard eventstore.Shard, tenant eventstore.TenantID, ids []eventstore.EventID) ([]document, error) {
	events, err := x.cfg.Store.About(ctx, tenant, ids)
	if err != nil {
		return nil, err
	}
	about := map[eventstore.EventID][]entry.Opened{}
	for _, ev := range events {
		opened, err := x.cfg.Opener.Open(ctx, ev)
		if err != nil {
			return nil, unreadable(ev, err)
		}
		about[ev.EntryID] = append(about[ev.EntryID], opened)
	}
	var out []document
	for _, id := range ids {
		ev, err := x.cfg.Store.Get(ctx, tenant, id)
		if fault.Is(err, fault.Purged) || fault.Is(err, fault.NotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		original, err := x.cfg.Opener.Open(ctx, ev)
		if err != nil {
			return nil, unreadable(ev, err)
		}
		e := entry.Fold(original, about[id])
		out = append(out, newDocument(&e, shard))
	}
	return out, nil
}

// watermark is the position up to which a tenant's purges reach.
func (x *Index) watermark(ctx context.Context, tenant eventstore.TenantID) (last eventstore.Position, err error) {
	purges, err := x.cfg.Store.Purges(ctx, tenant)
	for _, p := range purges {
		last = max(last, p.Last)
	}
	return last, err
}

// unreadable marks errors that say that the event's bytes are damaged; others, such as a key store that does not answer,
// pass with time.
func unreadable(ev eventstore.Event, err error) error {
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
