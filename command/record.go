package command

import (
	"context"
	"errors"
	"fmt"
	"time"

	"auditlog/eventstore"
	"auditlog/eventstore/format"
	"auditlog/internal/entry"
	"auditlog/internal/fault"
)

// Receipt is the answer for one entry. On a replay Entry is the first answer again, without later amendments; its Erased
// is set when the entry was erased since, and when Purged is set there is no Entry but only ID and Position.
type Receipt struct {
	ID         eventstore.EventID
	Position   eventstore.Position
	RecordedAt eventstore.Micros
	Replayed   bool
	Purged     bool
	Entry      entry.Entry
}

// Record appends one entry. Errors: KeyReuse, InFlight, Overloaded, Unavailable, Clock, TenantInactive, NotFound (no such
// tenant).
func (c *Commands) Record(ctx context.Context, who Caller, e *Entry) (Receipt, error) {
	t, err := c.Tenant(ctx, who.Tenant)
	if err != nil {
		return Receipt{}, err
	}
	pub, priv := recorded(who, e, eventstore.NewEventID(), newSalt())
	draft, err := c.single(ctx, who.Tenant, e, &pub, &priv)
	if err != nil {
		return Receipt{}, err
	}
	out, err := c.appender.Submit(ctx, t.Shard, eventstore.Unit{Tenant: who.Tenant, Drafts: []eventstore.Draft{draft}, Atomic: true})
	if isWaiting(err) && c.appender.twin(t.Shard, who.Tenant, &draft) {
		return Receipt{}, inFlight(err)
	}
	if err != nil {
		return Receipt{}, err
	}
	if out[0].Status == eventstore.Replayed {
		return c.replay(ctx, who.Tenant, out[0])
	}
	if problem := refusal(out[0].Status, e.base); problem != nil {
		return Receipt{}, problem
	}
	return Receipt{ID: out[0].ID, Position: out[0].Position, RecordedAt: out[0].RecordedAt, Entry: fresh(who.Tenant, &pub, &priv, out[0])}, nil
}

// single drafts the event of one entry with its idempotency tokens.
func (c *Commands) single(ctx context.Context, tenant eventstore.TenantID, e *Entry, pub *format.Public, priv *format.Private) (eventstore.Draft, error) {
	d := c.drafter()
	defer d.release()
	draft, err := d.draft(ctx, tenant, pub, priv)
	if err != nil || e.private.IdempotencyKey == "" {
		return draft, err
	}
	draft.Idempotency = new(eventstore.Idempotency)
	return draft, d.idempotency(ctx, tenant, e, draft.Idempotency)
}

// fresh is the entry that was just stored, made without reading it back.
func fresh(tenant eventstore.TenantID, pub *format.Public, priv *format.Private, out eventstore.Outcome) entry.Entry {
	e := entry.Entry{
		Tenant: tenant, ID: out.ID, Type: pub.Type, Position: out.Position, Newest: out.Position,
		RecordedAt: out.RecordedAt, OccurredAt: out.RecordedAt, Public: *pub, Private: *priv,
	}
	if pub.OccurredAt != nil {
		e.OccurredAt = *pub.OccurredAt
	}
	return e
}

// replay gives the first answer of an idempotency key again, from what is stored.
func (c *Commands) replay(ctx context.Context, tenant eventstore.TenantID, out eventstore.Outcome) (Receipt, error) {
	r := Receipt{ID: out.ID, Position: out.Position, RecordedAt: out.RecordedAt, Replayed: true}
	events, err := c.store.ReadPositions(ctx, tenant, []eventstore.Position{out.Position})
	if err != nil {
		return Receipt{}, fmt.Errorf("read a replayed entry: %w", err)
	}
	if len(events) == 0 {
		r.Purged = true
		return r, nil
	}
	original, err := c.opener.Open(ctx, events[0])
	if err != nil {
		return Receipt{}, err
	}
	erasures, err := c.erasures(ctx, tenant, out.ID)
	if err != nil {
		return Receipt{}, err
	}
	r.Entry = entry.Fold(original, erasures)
	r.Purged = original.Priv == nil && r.Entry.Erased == nil // its key went between the two reads: a purge
	return r, nil
}

// erasures are the erasure of an entry, if any: its public part is all that Fold needs.
func (c *Commands) erasures(ctx context.Context, tenant eventstore.TenantID, id eventstore.EventID) ([]entry.Opened, error) {
	about, err := c.store.About(ctx, tenant, []eventstore.EventID{id})
	if err != nil {
		return nil, fmt.Errorf("read about a replayed entry: %w", err)
	}
	for _, ev := range about {
		if ev.Type == eventstore.EntryErased {
			return []entry.Opened{{Event: ev}}, nil
		}
	}
	return nil, nil
}

// refusal is the problem of a draft that the store did not take; nil for one that it holds. base is the JSON pointer of
// its entry in the request.
func refusal(s eventstore.Status, base string) *fault.Error {
	switch s {
	case eventstore.Stored, eventstore.Replayed:
		return nil
	case eventstore.KeyReused:
		return fault.At(fault.KeyReuse, base+"/idempotency_key", "the idempotency key was used with another body")
	case eventstore.TargetMissing:
		return fault.New(fault.NotFound, "there is no such entry")
	case eventstore.TargetErased:
		return fault.New(fault.Erased, "the entry was erased")
	case eventstore.TargetPurged:
		return fault.New(fault.Purged, "the entry was removed by retention")
	case eventstore.TenantMissing:
		return fault.New(fault.NotFound, "there is no such tenant")
	default:
		return fault.Newf(fault.Internal, "the store answered with status %d", s)
	}
}

// isWaiting tells the errors that say no more than that an append took too long.
func isWaiting(err error) bool { return errors.Is(err, ErrWaited) }

func inFlight(cause error) error {
	f := fault.Wrap(fault.InFlight, cause, "a request with the same idempotency key has not finished")
	f.RetryAfter = time.Second
	return f
}
