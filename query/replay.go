package query

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"auditlog/eventstore"
	"auditlog/eventstore/format"
	"auditlog/internal/canon"
	"auditlog/internal/fault"
)

// Replay writes every stored event of a tenant above after as NDJSON, exact bytes, in the form of docs/event-format.md:
//
//	{"tenant_id","position","recorded_at","public":"exact bytes","private":"exact bytes"|null}
//	{"purged":{"first","last","certificate"}}
//	{"end":true,"count":n,"next":position}
//
// Lines and purged ranges together are dense from after+1 to next, the newest position when the replay began; count is
// the number of event lines; certificate is the id of the lifecycle.purged event that tells of the range. private is
// null from the commit of an erasure on, for the entry and its amendments. An error leaves the output without its end
// line. No read is longer than a page.
func (q *Queries) Replay(ctx context.Context, tenant eventstore.TenantID, after eventstore.Position, w io.Writer) (count int, next eventstore.Position, err error) {
	head, err := q.store.Head(ctx, tenant)
	if err != nil {
		return 0, 0, err
	}
	if after < 0 || after > head.Position {
		return 0, 0, fault.At(fault.Invalid, "?after", "after must be a position of this log, or 0")
	}
	r := replay{q: q, tenant: tenant, at: after, bound: head.Position, w: w}
	for r.at < r.bound {
		if err := r.page(ctx); err != nil {
			return r.count, r.at, err
		}
	}
	r.line = append(r.line[:0], `{"end":true,"count":`...)
	r.line = strconv.AppendInt(r.line, int64(r.count), 10)
	r.line = append(r.line, `,"next":`...)
	r.line = strconv.AppendInt(r.line, int64(r.at), 10)
	r.line = append(r.line, "}\n"...)
	_, err = w.Write(r.line)
	return r.count, r.at, err
}

// replay is a walk over a tenant's log.
type replay struct {
	q      *Queries
	tenant eventstore.TenantID
	at     eventstore.Position // up to which lines were made
	bound  eventstore.Position
	count  int
	w      io.Writer
	line   []byte // lines not written yet
	plain  []byte
}

// page writes the next page of events, and the purged range before it.
func (r *replay) page(ctx context.Context) error {
	events, err := r.q.store.ReadTenant(ctx, r.tenant, r.at, r.q.o.PageEvents)
	if err != nil {
		return err
	}
	events = upTo(events, r.bound)
	r.line = r.line[:0]
	switch {
	case len(events) == 0:
		if err := r.purged(ctx, r.bound); err != nil {
			return err
		}
	case events[0].Position != r.at+1:
		if err := r.purged(ctx, events[0].Position-1); err != nil {
			return err
		}
		if events[0].Position != r.at+1 { // the purge goes further than the page knew
			events = nil
		}
	}
	if err := r.events(ctx, events); err != nil {
		return err
	}
	_, err = r.w.Write(r.line)
	return err
}

// purged adds the lines of the purged ranges from r.at on, which must reach at least to last.
func (r *replay) purged(ctx context.Context, last eventstore.Position) error {
	purges, err := r.q.store.Purges(ctx, r.tenant)
	if err != nil {
		return err
	}
	for _, p := range purges {
		to := min(p.Last, r.bound)
		if to <= r.at {
			continue
		}
		if p.First > r.at+1 {
			break
		}
		r.line = append(r.line, `{"purged":{"first":`...)
		r.line = strconv.AppendInt(r.line, int64(r.at+1), 10)
		r.line = append(r.line, `,"last":`...)
		r.line = strconv.AppendInt(r.line, int64(to), 10)
		r.line = append(r.line, `,"certificate":"`...)
		r.line, _ = p.ID.AppendText(r.line)
		r.line = append(r.line, "\"}}\n"...)
		r.at = to
	}
	if r.at < last {
		return fmt.Errorf("replay of tenant %s: positions %d to %d are missing, and no purge tells of them", r.tenant, r.at+1, last)
	}
	return nil
}

// events adds the lines of events, which follow r.at without a gap. It stops early where a purge took the rest.
func (r *replay) events(ctx context.Context, events []eventstore.Event) error {
	erased, err := r.erased(ctx, events)
	if err != nil {
		return err
	}
	for i := range events {
		ev := &events[i]
		if ev.Position != r.at+1 {
			return fmt.Errorf("replay of tenant %s: position %d follows %d", r.tenant, ev.Position, r.at)
		}
		var private []byte
		if !erased[entryOf(ev)] || ev.Type == eventstore.EntryErased {
			var gone bool
			if private, gone, err = r.private(ctx, ev); err != nil || gone {
				return err
			}
		}
		if err := r.event(ev, private); err != nil {
			return err
		}
	}
	return nil
}

// entryOf is the entry that an event belongs to.
func entryOf(ev *eventstore.Event) eventstore.EventID {
	if ev.EntryID.IsZero() {
		return ev.ID
	}
	return ev.EntryID
}

// erased are those entries of events that are erased.
func (r *replay) erased(ctx context.Context, events []eventstore.Event) (map[eventstore.EventID]bool, error) {
	ids := make([]eventstore.EventID, 0, len(events))
	for i := range events {
		if events[i].Type.IsEntry() {
			ids = append(ids, entryOf(&events[i]))
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	about, err := r.q.store.About(ctx, r.tenant, ids)
	if err != nil {
		return nil, err
	}
	var erased map[eventstore.EventID]bool
	for i := range about {
		if about[i].Type != eventstore.EntryErased {
			continue
		}
		if erased == nil {
			erased = make(map[eventstore.EventID]bool)
		}
		erased[about[i].EntryID] = true
	}
	return erased, nil
}

// private opens a private part. A key that is gone belongs to an entry that was erased since the page was read, hence
// null, or to an event that was purged since, hence gone.
func (r *replay) private(ctx context.Context, ev *eventstore.Event) (plain []byte, gone bool, err error) {
	plain, err = r.q.opener.OpenPrivate(ctx, *ev)
	if err != nil || plain != nil {
		return plain, false, err
	}
	_, err = r.q.store.Get(ctx, r.tenant, ev.ID)
	if fault.Is(err, fault.Purged) {
		return nil, true, nil
	}
	if err != nil {
		return nil, false, err
	}
	erased, err := r.erased(ctx, []eventstore.Event{*ev})
	if err == nil && !erased[entryOf(ev)] {
		err = fmt.Errorf("replay event %s: a key is destroyed, though nothing erased or purged it", ev.ID)
	}
	return nil, false, err
}

// event adds one event's line.
func (r *replay) event(ev *eventstore.Event, private []byte) error {
	public, err := format.Unpack(r.plain[:0], ev.Public)
	if err != nil {
		return fmt.Errorf("replay event %s: %w", ev.ID, err)
	}
	r.plain = public
	b := append(r.line, `{"tenant_id":"`...)
	b, _ = ev.Tenant.AppendText(b)
	b = append(b, `","position":`...)
	b = strconv.AppendInt(b, int64(ev.Position), 10)
	b = append(b, `,"recorded_at":"`...)
	b = ev.RecordedAt.AppendTo(b)
	b = append(b, `","public":`...)
	b = canon.AppendBytes(b, public)
	b = append(b, `,"private":`...)
	if private == nil {
		b = append(b, "null"...)
	} else {
		b = canon.AppendBytes(b, private)
	}
	r.line = append(b, "}\n"...)
	r.at, r.count = ev.Position, r.count+1
	return nil
}
