package timescale

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"auditlog/eventstore"
)

// replay answers a flush that was stored before: each draft by the status it had then, its place by its id or key.
func (b *base) replay(ctx context.Context, tx pgx.Tx, f eventstore.Flush, nos []int32, statuses []byte) ([]eventstore.Outcome, error) {
	p := newPlan(0, 0)
	if err := b.lookAll(ctx, tx, p, f, nos); err != nil {
		return nil, err
	}
	stored, err := lookStored(ctx, tx, f)
	if err != nil {
		return nil, err
	}
	var outcomes []eventstore.Outcome
	for i := range f.Units {
		for j := range f.Units[i].Drafts {
			status := eventstore.Stored
			if statuses != nil {
				if len(outcomes) >= len(statuses) {
					return nil, errOtherDrafts
				}
				status = eventstore.Status(statuses[len(outcomes)])
			}
			o, ok := p.again(nos[i], f.Units[i].Tenant, &f.Units[i].Drafts[j], status, stored)
			if !ok {
				return nil, errOtherDrafts
			}
			outcomes = append(outcomes, o)
		}
	}
	return outcomes, nil
}

// again is the outcome of a draft that had this status; false when it cannot have had it.
func (p *plan) again(no int32, id eventstore.TenantID, d *eventstore.Draft, status eventstore.Status, stored map[entryKey]eventstore.Outcome) (eventstore.Outcome, bool) {
	switch status {
	case eventstore.Stored:
		o, ok := stored[entryKey{no, d.ID}]
		return o, ok
	case eventstore.Replayed:
		if d.Idempotency == nil {
			return eventstore.Outcome{}, false
		}
		k, ok := p.keys[keyOf(id, d.Idempotency)]
		return k.answer, ok
	case eventstore.TargetErased:
		// Its entry may have been purged since; then that is what there is to say.
		t, ok := p.targets[entryKey{no, d.EntryID}]
		return t.answer, ok && t.answer.Status != 0
	}
	return eventstore.Outcome{Status: status}, true
}

// lookStored finds the drafts of a flush among the events and what purges left of them.
func lookStored(ctx context.Context, tx pgx.Tx, f eventstore.Flush) (map[entryKey]eventstore.Outcome, error) {
	var ids [][16]byte
	from, to := forever, time.Unix(0, 0)
	for i := range f.Units {
		for j := range f.Units[i].Drafts {
			id := f.Units[i].Drafts[j].ID
			made := madeAt(id)
			if made.Before(from) {
				from = made
			}
			if made.After(to) {
				to = made
			}
			ids = append(ids, id)
		}
	}
	stored := map[entryKey]eventstore.Outcome{}
	for _, window := range [][2]time.Time{{from.Add(-idWindow), to.Add(idWindow)}, {time.Unix(0, 0), forever}} {
		if len(stored) == len(ids) {
			break
		}
		rows, err := tx.Query(ctx, `
			SELECT e.tenant, e.id, e.position, e.recorded_at FROM auditlog.events e
			WHERE e.shard = $4 AND e.id = ANY ($1::uuid[]) AND e.recorded_at >= $2 AND e.recorded_at < $3
			UNION ALL
			SELECT r.tenant, r.id, r.position, r.recorded_at FROM auditlog.removed r WHERE r.id = ANY ($1::uuid[])`, ids, window[0], window[1], f.Shard)
		if err != nil {
			return nil, err
		}
		var k entryKey
		var at time.Time
		o := eventstore.Outcome{Status: eventstore.Stored}
		_, err = pgx.ForEachRow(rows, []any{&k.tenant, (*[16]byte)(&k.entry), &o.Position, &at}, func() error {
			o.ID, o.RecordedAt = k.entry, eventstore.MicrosOf(at)
			stored[k] = o
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return stored, nil
}
