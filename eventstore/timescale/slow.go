package timescale

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"auditlog/eventstore"
)

// slow decides a flush under the head's lock by looking at everything, each time with a fresh snapshot.
func (s *Store) slow(ctx context.Context, f eventstore.Flush) (outcomes []eventstore.Outcome, err error) {
	nos, err := s.tenantsOf(ctx, f)
	if err != nil {
		return nil, err
	}
	err = s.inTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		head, err := s.lock(ctx, tx, f.Shard)
		if err != nil {
			return err
		}
		statuses, found, err := lookFlush(ctx, tx, f.ID)
		if err != nil {
			return err
		}
		if found {
			outcomes, err = s.replay(ctx, tx, f, nos, statuses)
			return err
		}
		p, err := head.plan()
		if err != nil {
			return err
		}
		if err := head.refuseOld(ctx, tx, f); err != nil {
			return err
		}
		if err := s.lookAll(ctx, tx, p, f, nos); err != nil {
			return err
		}
		for i := range f.Units {
			p.unit(nos[i], &f.Units[i])
		}
		outcomes = p.outcomes
		if len(p.rows) == 0 && repeatable(outcomes) {
			return nil
		}
		return s.storePlan(ctx, tx, f.Shard, p, &f)
	})
	return outcomes, knownID(err)
}

// tenantsOf are the surrogates of the units' tenants: 0 for one that is not on the flush's shard.
func (s *Store) tenantsOf(ctx context.Context, f eventstore.Flush) ([]int32, error) {
	nos := make([]int32, len(f.Units))
	for i := range f.Units {
		t, err := s.tenant(ctx, f.Units[i].Tenant)
		switch {
		case err == nil && t.shard == f.Shard:
			nos[i] = t.no
		case err != nil && !errors.Is(err, errNoTenant):
			return nil, err
		}
	}
	return nos, nil
}

// repeatable tells outcomes that the same flush, sent again, gets from the keys alone: they need no flush row.
func repeatable(outcomes []eventstore.Outcome) bool {
	return !slices.ContainsFunc(outcomes, func(o eventstore.Outcome) bool {
		return o.Status != eventstore.Replayed && o.Status != eventstore.KeyReused
	})
}

// shardHead is a shard's head whose row is locked.
type shardHead struct {
	offset     eventstore.Offset
	recordedAt *time.Time
	prunedAt   *time.Time
	now        time.Time
}

// lock takes the head's lock until the transaction ends.
func (b *base) lock(ctx context.Context, tx pgx.Tx, shard eventstore.Shard) (h shardHead, err error) {
	err = tx.QueryRow(ctx, `SELECT s."offset", s.recorded_at, s.pruned_at FROM auditlog.shards s WHERE s.shard = $1 FOR UPDATE`, shard).
		Scan(&h.offset, &h.recordedAt, &h.prunedAt)
	if err == nil {
		err = tx.QueryRow(ctx, `SELECT coalesce($1, clock_timestamp())`, b.at()).Scan(&h.now)
	}
	return h, err
}

// plan begins a plan at the time that the next events get: never before that of the newest event.
func (h *shardHead) plan() (*plan, error) {
	at, last := eventstore.MicrosOf(h.now), microsOf(h.recordedAt)
	if lead := time.Duration(last-at) * time.Microsecond; h.recordedAt != nil && lead > eventstore.MaxClockLead {
		return nil, clockFault(lead)
	}
	return newPlan(max(at, last), h.offset), nil
}

// refuseOld fails when a draft is stored already, by a flush that is too old to be kept: newer ones were found by their id.
func (h *shardHead) refuseOld(ctx context.Context, tx pgx.Tx, f eventstore.Flush) error {
	var ids [][16]byte
	oldest := forever
	for i := range f.Units {
		for j := range f.Units[i].Drafts {
			id := f.Units[i].Drafts[j].ID
			ids = append(ids, id)
			if made := madeAt(id); made.Before(oldest) {
				oldest = made
			}
		}
	}
	if h.prunedAt == nil || h.prunedAt.Before(oldest.Add(-pruneSlack)) {
		return nil
	}
	var there bool
	err := tx.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM auditlog.events e WHERE e.id = ANY ($1::uuid[]) AND e.recorded_at >= $2)
			OR EXISTS (SELECT FROM auditlog.removed r WHERE r.id = ANY ($1::uuid[]))`, ids, oldest.Add(-idWindow)).Scan(&there)
	if err == nil && there {
		err = errKnownID
	}
	return err
}

// planSQL stores the rows of a plan with the places that it gave them.
const planSQL = `
	WITH head AS (
		UPDATE auditlog.shards s
		SET "offset" = $2, flushes = s.flushes + 1, previous_at = s.recorded_at, recorded_at = $3
		WHERE s.shard = $1 RETURNING s.flushes AS seq, s.previous_at
	), tenant AS (
		UPDATE auditlog.heads h
		SET position = n.position, "offset" = n."offset", previous_at = h.recorded_at, recorded_at = $3
		FROM unnest($4::integer[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[]) AS n (tenant, position, "offset", first, first_offset)
		WHERE h.tenant = n.tenant RETURNING h.tenant, h.previous_at, n.first, n.first_offset
	), log AS (
		INSERT INTO auditlog.events (recorded_at, "offset", position, tenant, key_epoch, key_index, shard, id, entry_id, type, public, private)
		SELECT $3, d."offset", d.position, d.tenant, d.epoch, d.index, $1, d.id, d.entry, d.type, d.public, d.private
		FROM unnest($9::integer[], $10::bigint[], $11::bigint[], $12::uuid[], $13::uuid[], $14::text[], $15::integer[], $16::integer[], $17::bytea[], $18::bytea[])
			AS d (tenant, "offset", position, id, entry, type, epoch, index, public, private)
	), keys AS (
		INSERT INTO auditlog.idempotency (slot, rest, fingerprint, position)
		SELECT k.slot, k.rest, k.fingerprint, k.position
		FROM unnest($19::bigint[], $20::bigint[], $21::bigint[], $22::bigint[]) AS k (position, slot, rest, fingerprint)
		ORDER BY k.slot
	), about AS (
		INSERT INTO auditlog.about (tenant, entry, position, id, recorded_at, erasure)
		SELECT a.tenant, a.entry, a.position, a.id, $3, a.erasure
		FROM unnest($23::integer[], $24::uuid[], $25::bigint[], $26::uuid[], $27::boolean[]) AS a (tenant, entry, position, id, erasure)
	), shard_mark AS (
		INSERT INTO auditlog.shard_marks (shard, first, recorded_at)
		SELECT $1, $28, $3 FROM head
		WHERE date_bin($29, head.previous_at, 'epoch') IS DISTINCT FROM date_bin($29, $3, 'epoch')
	), tenant_mark AS (
		INSERT INTO auditlog.tenant_marks (tenant, first, "offset", recorded_at)
		SELECT tenant.tenant, tenant.first, tenant.first_offset, $3 FROM tenant
		WHERE date_bin($29, tenant.previous_at, 'epoch') IS DISTINCT FROM date_bin($29, $3, 'epoch')
	)
	SELECT head.seq FROM head`

// storePlan writes a plan, with the flush's row when it is of one.
func (b *base) storePlan(ctx context.Context, tx pgx.Tx, shard eventstore.Shard, p *plan, f *eventstore.Flush) error {
	seq, err := b.storeRows(ctx, tx, shard, p)
	if err != nil || f == nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO auditlog.flushes (id, seq, recorded_at, shard, statuses) VALUES ($1, $2, $3, $4, $5)`,
		[16]byte(f.ID), seq, p.at.Time(), shard, statusBytes(p.outcomes))
	return err
}

func (b *base) storeRows(ctx context.Context, tx pgx.Tx, shard eventstore.Shard, p *plan) (seq int64, err error) {
	if len(p.rows) == 0 {
		err = tx.QueryRow(ctx, `UPDATE auditlog.shards SET flushes = flushes + 1 WHERE shard = $1 RETURNING flushes`, shard).Scan(&seq)
		return seq, err
	}
	var tenants flat[int32]
	var positions, offsets, firsts, firstOffs flat[int64]
	for no, h := range p.heads {
		if h.first > 0 {
			tenants, positions, offsets = append(tenants, no), append(positions, int64(h.position)), append(offsets, int64(h.offset))
			firsts, firstOffs = append(firsts, int64(h.first)), append(firstOffs, int64(h.firstOff))
		}
	}
	c, keys, at := newColumns(len(p.rows)), newKeyColumns(), p.at.Time()
	rowOffsets := make(flat[int64], 0, len(p.rows))
	var a abouts
	for i := range p.rows {
		r := &p.rows[i]
		c.add(r.tenant, int64(r.position), r.draft)
		if r.draft.Idempotency != nil {
			keys.add(r.tenant, int64(r.position), r.slot, r.key, r.draft.Idempotency)
		}
		rowOffsets = append(rowOffsets, int64(r.offset))
		if isAbout(r.draft) {
			a.add(r)
		}
	}
	err = tx.QueryRow(ctx, planSQL,
		shard, p.shard, at, tenants, positions, offsets, firsts, firstOffs,
		c.tenants, rowOffsets, c.positions, c.ids, c.entries, c.types, c.epochs, c.indexes, c.publics, c.privates,
		keys.places, keys.slots, keys.rests, keys.fingerprints,
		a.tenants, a.entries, a.positions, a.ids, a.erasures,
		p.rows[0].offset, b.span).Scan(&seq)
	return seq, err
}

// abouts are the rows of the about table by column.
type abouts struct {
	tenants      flat[int32]
	entries, ids flat[[16]byte]
	positions    flat[int64]
	erasures     flat[bool]
}

func (a *abouts) add(r *row) {
	a.tenants, a.positions = append(a.tenants, r.tenant), append(a.positions, int64(r.position))
	a.entries, a.ids = append(a.entries, [16]byte(r.draft.EntryID)), append(a.ids, [16]byte(r.draft.ID))
	a.erasures = append(a.erasures, r.draft.Type == eventstore.EntryErased)
}

// one appends a single event that the store itself is asked for, in a transaction with what build does.
func (b *base) one(ctx context.Context, tx pgx.Tx, shard eventstore.Shard, build func(*plan) (int32, *eventstore.Draft, error)) error {
	head, err := b.lock(ctx, tx, shard)
	if err != nil {
		return err
	}
	p, err := head.plan()
	if err != nil {
		return err
	}
	no, d, err := build(p)
	if err != nil {
		return err
	}
	if _, ok := p.heads[no]; !ok {
		if err := lookHeads(ctx, tx, p, []int32{no}); err != nil {
			return err
		}
	}
	p.store(no, d)
	return knownID(b.storePlan(ctx, tx, shard, p, nil))
}

// statusBytes is the flush row's form of outcomes; nil when every draft was stored.
func statusBytes(outcomes []eventstore.Outcome) []byte {
	if !slices.ContainsFunc(outcomes, func(o eventstore.Outcome) bool { return o.Status != eventstore.Stored }) {
		return nil
	}
	b := make([]byte, len(outcomes))
	for i := range outcomes {
		b[i] = byte(outcomes[i].Status)
	}
	return b
}
