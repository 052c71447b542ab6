package command

import (
	"context"
	"fmt"

	"auditlog/eventstore"
	"auditlog/eventstore/format"
	"auditlog/internal/entry"
)

// Amend puts a correction beside an entry and answers with the entry as it reads now. Errors: NotFound, Erased, Purged,
// and Record's.
func (c *Commands) Amend(ctx context.Context, who Caller, id eventstore.EventID, a Amendment) (entry.Entry, error) {
	out, err := c.appendAbout(ctx, who,
		format.Public{Type: eventstore.EntryAmended, EntryID: id},
		format.Private{Message: a.Message, Metadata: a.Metadata, Reason: a.Reason})
	if err != nil {
		return entry.Entry{}, err
	}
	if problem := refusal(out.Status, ""); problem != nil {
		return entry.Entry{}, problem
	}
	return c.current(ctx, who.Tenant, id)
}

// appendAbout appends one event about an entry.
func (c *Commands) appendAbout(ctx context.Context, who Caller, pub format.Public, priv format.Private) (eventstore.Outcome, error) {
	t, err := c.Tenant(ctx, who.Tenant)
	if err != nil {
		return eventstore.Outcome{}, err
	}
	draft, err := c.about(ctx, who, pub, priv)
	if err != nil {
		return eventstore.Outcome{}, err
	}
	out, err := c.appender.Submit(ctx, t.Shard, eventstore.Unit{Tenant: who.Tenant, Drafts: []eventstore.Draft{draft}, Atomic: true})
	if err != nil {
		return eventstore.Outcome{}, err
	}
	return out[0], nil
}

// current is the entry with everything about it, from the store.
func (c *Commands) current(ctx context.Context, tenant eventstore.TenantID, id eventstore.EventID) (entry.Entry, error) {
	ev, err := c.store.Get(ctx, tenant, id)
	if err != nil {
		return entry.Entry{}, fmt.Errorf("read an amended entry: %w", err)
	}
	original, err := c.opener.Open(ctx, ev)
	if err != nil {
		return entry.Entry{}, err
	}
	events, err := c.store.About(ctx, tenant, []eventstore.EventID{id})
	if err != nil {
		return entry.Entry{}, fmt.Errorf("read about an amended entry: %w", err)
	}
	about := make([]entry.Opened, len(events))
	for i, ev := range events {
		if about[i], err = c.opener.Open(ctx, ev); err != nil {
			return entry.Entry{}, err
		}
	}
	return entry.Fold(original, about), nil
}
