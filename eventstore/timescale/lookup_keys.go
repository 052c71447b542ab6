package timescale

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"auditlog/eventstore"
)

// keyRow is a row of the table of keys as one of a tenant: gone is what a purge left of the event at its position, mark
// the time of the first event of that event's chunk.
type keyRow struct {
	fingerprint int64
	position    eventstore.Position
	mark, at    *time.Time
	gone        *[16]byte
}

// A row is nobody's until its rest is looked at; only then does its position mean anything.
const (
	lookKeysSQL = `
		SELECT q.tenant, k.slot, k.rest, k.fingerprint, k.position, m.recorded_at, r.recorded_at, r.id
		FROM (SELECT DISTINCT q.tenant, q.slot FROM unnest($1::integer[], $2::bigint[]) AS q (tenant, slot)) q
		JOIN auditlog.idempotency k ON k.slot = q.slot` + lookEvents
	lookCrowdSQL = `
		SELECT q.tenant, k.slot, k.rest, k.fingerprint, k.position, m.recorded_at, r.recorded_at, r.id
		FROM (SELECT DISTINCT q.tenant, q.slot FROM unnest($1::integer[], $2::bigint[]) AS q (tenant, slot)) q
		CROSS JOIN LATERAL (
			(SELECT * FROM auditlog.idempotency k WHERE k.slot >= q.slot ORDER BY k.slot LIMIT $3)
			UNION ALL
			(SELECT * FROM auditlog.idempotency k ORDER BY k.slot LIMIT $3) -- the first slots come behind the last
		) k` + lookEvents
	lookEvents = `
		LEFT JOIN LATERAL (
			SELECT m.recorded_at FROM auditlog.tenant_marks m WHERE m.tenant = q.tenant AND m.first <= k.position ORDER BY m.first DESC LIMIT 1
		) m ON true
		LEFT JOIN auditlog.removed r ON r.tenant = q.tenant AND r.position = k.position`
)

// slotOf is a slot as one tenant asked for it.
type slotOf struct {
	tenant int32
	slot   int64
}

// keyLook finds the keys of a flush.
type keyLook struct {
	plan *plan
	keys map[tokenKey]int32 // asked for, with their tenants
	rows map[slotOf]keyRow
}

func (b *base) lookKeys(ctx context.Context, tx pgx.Tx, p *plan, f eventstore.Flush, nos []int32) error {
	l := keyLook{p, map[tokenKey]int32{}, map[slotOf]keyRow{}}
	eachDraft(f, nos, func(no int32, id eventstore.TenantID, d *eventstore.Draft) {
		if d.Idempotency != nil {
			l.keys[keyOf(id, d.Idempotency)] = no
		}
	})
	if len(l.keys) == 0 {
		return nil
	}
	var asked keyColumns
	for k, no := range l.keys {
		asked.tenants, asked.slots = append(asked.tenants, no), append(asked.slots, k.slot)
	}
	if err := l.look(ctx, tx, lookKeysSQL, asked.tenants, asked.slots); err != nil {
		return err
	}
	if err := l.lookCrowded(ctx, tx); err != nil {
		return err
	}
	return l.answer(ctx, tx, b, f.Shard)
}

func (l *keyLook) look(ctx context.Context, tx pgx.Tx, sql string, args ...any) error {
	rows, err := tx.Query(ctx, sql, args...)
	if err != nil {
		return err
	}
	var of slotOf
	var rest int64
	var r keyRow
	_, err = pgx.ForEachRow(rows, []any{&of.tenant, &of.slot, &rest, &r.fingerprint, &r.position, &r.mark, &r.at, &r.gone}, func() error {
		l.plan.slots[of.slot], l.rows[of] = rest, r
		return nil
	})
	return err
}

// lookCrowded looks further where a slot is another key's, or more than one key's of this flush: at the slots held from
// there on, enough of them to tell which are free for all keys of the flush.
func (l *keyLook) lookCrowded(ctx context.Context, tx pgx.Tx) error {
	var asked keyColumns
	first := make(map[int64]tokenKey, len(l.keys))
	for k, no := range l.keys {
		rest, held := l.plan.slots[k.slot]
		other, shared := first[k.slot]
		if held && rest != k.rest || shared && other != k {
			asked.tenants, asked.slots = append(asked.tenants, no), append(asked.slots, k.slot)
		}
		first[k.slot] = k
	}
	if len(asked.slots) == 0 {
		return nil
	}
	const others = 64 // than of this flush, that may stand side by side
	return l.look(ctx, tx, lookCrowdSQL, asked.tenants, asked.slots, len(l.keys)+others)
}

// answer puts the keys that were found into the plan, with the answers that they had first.
func (l *keyLook) answer(ctx context.Context, tx pgx.Tx, b *base, shard eventstore.Shard) error {
	there := wanted{plan: l.plan, chunks: map[time.Time]*chunkKeys{}, keys: map[placeKey][]tokenKey{}}
	for key, no := range l.keys {
		slot, found := l.plan.slots.find(key)
		if !found {
			continue
		}
		r, asked := l.rows[slotOf{no, slot}]
		if !asked || r.gone == nil && r.mark == nil {
			return fmt.Errorf("the slot %d of an idempotency key is another's", slot)
		}
		k := known{r.fingerprint, eventstore.Outcome{Status: eventstore.Replayed, Position: r.position}}
		if r.gone != nil {
			k.answer.ID, k.answer.RecordedAt = *r.gone, eventstore.MicrosOf(*r.at)
		} else {
			there.add(key, placeKey{no, int64(r.position)}, *r.mark, b.binEnd(*r.mark))
		}
		l.plan.keys[key] = k
	}
	return there.fill(ctx, tx, shard)
}

type placeKey struct {
	tenant   int32
	position int64
}

// wanted are the events whose ids and times the answers to known keys still lack.
type wanted struct {
	plan   *plan
	keys   map[placeKey][]tokenKey
	chunks map[time.Time]*chunkKeys // by their ends
}

// chunkKeys are those whose events lie in one chunk.
type chunkKeys struct {
	from        time.Time
	tenants     map[int32]bool
	positions   flat[int64]
	first, last int64
}

func (w *wanted) add(key tokenKey, at placeKey, from, end time.Time) {
	c := w.chunks[end]
	if c == nil {
		c = &chunkKeys{from: from, tenants: map[int32]bool{}, first: at.position, last: at.position}
		w.chunks[end] = c
	}
	if from.Before(c.from) {
		c.from = from
	}
	c.tenants[at.tenant], c.first, c.last = true, min(c.first, at.position), max(c.last, at.position)
	if w.keys[at] == nil {
		c.positions = append(c.positions, at.position)
	}
	w.keys[at] = append(w.keys[at], key)
}

// fill reads a page of each chunk, all in one round trip.
func (w *wanted) fill(ctx context.Context, tx pgx.Tx, shard eventstore.Shard) (err error) {
	if len(w.keys) == 0 {
		return nil
	}
	var b pgx.Batch
	for end, c := range w.chunks {
		tenants := make(flat[int32], 0, len(c.tenants))
		for no := range c.tenants {
			tenants = append(tenants, no)
		}
		b.Queue(`
			SELECT e.tenant, e.position, e.id, e.recorded_at FROM auditlog.events e
			WHERE e.shard = $5 AND e.tenant = ANY ($1::integer[]) AND e.position = ANY ($2::bigint[]) AND e.position >= $6 AND e.position <= $7
				AND e.recorded_at >= $3 AND e.recorded_at < $4`, tenants, c.positions, c.from, end, shard, c.first, c.last)
	}
	sent := tx.SendBatch(ctx, &b)
	for range b.Len() {
		if err = w.read(sent); err != nil {
			break
		}
	}
	if err = errors.Join(err, sent.Close()); err == nil && len(w.keys) > 0 {
		err = fmt.Errorf("the events of %d idempotency keys are gone", len(w.keys))
	}
	return err
}

func (w *wanted) read(sent pgx.BatchResults) error {
	rows, err := sent.Query()
	if err != nil {
		return err
	}
	var at placeKey
	var id [16]byte
	var recorded time.Time
	_, err = pgx.ForEachRow(rows, []any{&at.tenant, &at.position, &id, &recorded}, func() error {
		for _, key := range w.keys[at] {
			k := w.plan.keys[key]
			k.answer.ID, k.answer.RecordedAt = id, eventstore.MicrosOf(recorded)
			w.plan.keys[key] = k
		}
		delete(w.keys, at)
		return nil
	})
	return err
}
