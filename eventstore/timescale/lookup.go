package timescale

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"auditlog/eventstore"
)

// lookAll puts what the store knows of a flush into its plan: heads, keys, and the entries that drafts are about.
func (b *base) lookAll(ctx context.Context, tx pgx.Tx, p *plan, f eventstore.Flush, nos []int32) error {
	if err := lookHeads(ctx, tx, p, nos); err != nil {
		return err
	}
	if err := b.lookKeys(ctx, tx, p, f, nos); err != nil {
		return err
	}
	return lookTargets(ctx, tx, p, f, nos)
}

func lookHeads(ctx context.Context, tx pgx.Tx, p *plan, nos []int32) error {
	rows, err := tx.Query(ctx, `SELECT tenant, position, "offset", purged FROM auditlog.heads WHERE tenant = ANY ($1::integer[])`, nos)
	if err != nil {
		return err
	}
	var no int32
	var h tenantHead
	_, err = pgx.ForEachRow(rows, []any{&no, &h.position, &h.offset, &h.purged}, func() error {
		p.heads[no] = h
		return nil
	})
	return err
}

// eachDraft calls f for the drafts of units whose tenant is there.
func eachDraft(f eventstore.Flush, nos []int32, do func(no int32, id eventstore.TenantID, d *eventstore.Draft)) {
	for i := range f.Units {
		for j := range f.Units[i].Drafts {
			if nos[i] != 0 {
				do(nos[i], f.Units[i].Tenant, &f.Units[i].Drafts[j])
			}
		}
	}
}

// lookTargets puts the entries that drafts are about into the plan; those that are no entries of the tenant are left out.
func lookTargets(ctx context.Context, tx pgx.Tx, p *plan, f eventstore.Flush, nos []int32) error {
	about := map[entryKey]bool{}
	var ids [][16]byte
	eachDraft(f, nos, func(no int32, _ eventstore.TenantID, d *eventstore.Draft) {
		if isAbout(d) && !about[entryKey{no, d.EntryID}] {
			about[entryKey{no, d.EntryID}] = true
			ids = append(ids, d.EntryID)
		}
	})
	if len(about) == 0 {
		return nil
	}
	found, err := lookEntries(ctx, tx, p, f.Shard, about, ids)
	if err != nil {
		return err
	}
	return lookRefusals(ctx, tx, p, about, ids, found)
}

// lookEntries finds events by their ids, first around the times in them, and gives those found of any type.
func lookEntries(ctx context.Context, tx pgx.Tx, p *plan, shard eventstore.Shard, about map[entryKey]bool, ids [][16]byte) (map[entryKey]bool, error) {
	from, to := forever, time.Unix(0, 0)
	for _, id := range ids {
		made := madeAt(id)
		if made.Before(from) {
			from = made
		}
		if made.After(to) {
			to = made
		}
	}
	found := map[entryKey]bool{}
	for _, window := range [][2]time.Time{{from.Add(-idWindow), to.Add(idWindow)}, {time.Unix(0, 0), forever}} {
		if len(found) == len(about) {
			break
		}
		rows, err := tx.Query(ctx, `
			SELECT e.tenant, e.id, e.type, e.position FROM auditlog.events e
			WHERE e.shard = $4 AND e.id = ANY ($1::uuid[]) AND e.recorded_at >= $2 AND e.recorded_at < $3`, ids, window[0], window[1], shard)
		if err != nil {
			return nil, err
		}
		var k entryKey
		var typ string
		var position eventstore.Position
		_, err = pgx.ForEachRow(rows, []any{&k.tenant, (*[16]byte)(&k.entry), &typ, &position}, func() error {
			if !about[k] {
				return nil
			}
			found[k] = true
			if eventstore.Type(typ) == eventstore.EntryRecorded {
				t := target{}
				if position <= p.heads[k.tenant].purged {
					t.answer.Status = eventstore.TargetPurged
				}
				p.targets[k] = t
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

// lookRefusals adds what was removed, and what erased an entry that is there.
func lookRefusals(ctx context.Context, tx pgx.Tx, p *plan, about map[entryKey]bool, ids [][16]byte, found map[entryKey]bool) error {
	if len(found) < len(about) {
		rows, err := tx.Query(ctx, `SELECT r.tenant, r.id FROM auditlog.removed r WHERE r.id = ANY ($1::uuid[])`, ids)
		if err != nil {
			return err
		}
		var k entryKey
		_, err = pgx.ForEachRow(rows, []any{&k.tenant, (*[16]byte)(&k.entry)}, func() error {
			if about[k] {
				p.targets[k] = target{eventstore.Outcome{Status: eventstore.TargetPurged}}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	var tenants flat[int32]
	var entries flat[[16]byte]
	for k, t := range p.targets {
		if t.answer.Status == 0 {
			tenants, entries = append(tenants, k.tenant), append(entries, [16]byte(k.entry))
		}
	}
	if len(entries) == 0 {
		return nil
	}
	rows, err := tx.Query(ctx, `
		SELECT a.tenant, a.entry, a.id, a.position, a.recorded_at
		FROM unnest($1::integer[], $2::uuid[]) AS q (tenant, entry)
		JOIN auditlog.about a ON a.tenant = q.tenant AND a.entry = q.entry AND a.erasure`, tenants, entries)
	if err != nil {
		return err
	}
	var k entryKey
	var at time.Time
	o := eventstore.Outcome{Status: eventstore.TargetErased}
	_, err = pgx.ForEachRow(rows, []any{&k.tenant, (*[16]byte)(&k.entry), (*[16]byte)(&o.ID), &o.Position, &at}, func() error {
		o.RecordedAt = eventstore.MicrosOf(at)
		p.targets[k] = target{o}
		return nil
	})
	return err
}

// lookFlush finds a flush that was stored, with a status for each draft; nil when all were stored.
func lookFlush(ctx context.Context, tx pgx.Tx, id eventstore.FlushID) (statuses []byte, found bool, err error) {
	err = tx.QueryRow(ctx, `SELECT f.statuses FROM auditlog.flushes f WHERE f.id = $1`, [16]byte(id)).Scan(&statuses)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, false, nil
	}
	return statuses, err == nil, err
}
