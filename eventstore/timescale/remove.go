package timescale

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"auditlog/eventstore"
	"auditlog/internal/fault"
)

// Remove removes a page of a purge. Sending a page again changes nothing. It fails, and removes nothing, when an event
// in the range has no leaf, or when done is said of a purge that still has events.
func (l *Lifecycle) Remove(ctx context.Context, p eventstore.Purge, last eventstore.Position, leaves []eventstore.Leaf, done bool) error {
	t, err := l.tenant(ctx, p.Tenant)
	if err != nil {
		return err
	}
	err = l.inTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		var status string
		r := removal{base: l.base, tenant: t}
		err := tx.QueryRow(ctx, `SELECT p.first, p.last, p.status FROM auditlog.purges p WHERE p.id = $1 AND p.tenant = $2 FOR UPDATE`,
			[16]byte(p.ID), t.no).Scan(&r.first, &r.end, &status)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return fault.New(fault.NotFound, "there is no such purge")
		case err != nil:
			return err
		case status == eventstore.PurgeDone:
			return nil
		}
		r.last = min(int64(last), r.end)
		removed, err := r.remove(ctx, tx, leaves)
		if err != nil {
			return err
		}
		if done {
			if left, err := r.left(ctx, tx, r.first, r.end); err != nil || left > 0 {
				return errors.Join(fmt.Errorf("purge %v is not done: %d events are left", p.ID, left), err)
			}
		}
		_, err = tx.Exec(ctx, `
			UPDATE auditlog.purges SET removed = removed + $2, status = CASE WHEN $3 THEN 'done' ELSE status END,
				completed_at = CASE WHEN $3 THEN greatest(requested_at, coalesce($4, clock_timestamp())) END
			WHERE id = $1`, [16]byte(p.ID), removed, done, l.at())
		return err
	})
	return translate("remove events", err)
}

// removal is a range of a tenant's positions: first..last are to go now, first..end in all.
type removal struct {
	*base
	tenant           tenant
	first, last, end int64
}

// span is the range of time in which a range of positions lies.
func (r *removal) span(ctx context.Context, tx pgx.Tx, first, last int64) (from, to time.Time, err error) {
	err = tx.QueryRow(ctx, `
		SELECT coalesce((SELECT max(m.recorded_at) FROM auditlog.tenant_marks m WHERE m.tenant = $1 AND m.first <= $2), 'epoch'),
			coalesce((SELECT min(m.recorded_at) FROM auditlog.tenant_marks m WHERE m.tenant = $1 AND m.first > $3), $4)`,
		r.tenant.no, first, last, forever).Scan(&from, &to)
	return from, to, err
}

// remove keeps the leaves of the events in the range, and deletes these. Where a chunk of columns does not let them go,
// it becomes rows first.
func (r *removal) remove(ctx context.Context, tx pgx.Tx, leaves []eventstore.Leaf) (int64, error) {
	if r.tier == Community { // a limit for careless statements, which counts whole batches
		if _, err := tx.Exec(ctx, `SET LOCAL timescaledb.max_tuples_decompressed_per_dml_transaction = 0`); err != nil {
			return 0, err
		}
	}
	first := r.first
	if len(leaves) > 0 { // pages come in order: no chunk of those before is opened again
		first = max(first, int64(leaves[0].Position))
	}
	from, to, err := r.span(ctx, tx, first, r.last)
	if err != nil {
		return 0, err
	}
	var removed int64
	for try := 0; ; try++ {
		n, err := r.delete(ctx, tx, from, to, leaves)
		if err != nil {
			return 0, err
		}
		removed += n
		left, err := r.left(ctx, tx, first, r.last)
		switch {
		case err != nil || left == 0:
			return removed, err
		case r.tier != Community || try > 0:
			return 0, fmt.Errorf("the database kept %d events that it was to remove", left)
		}
		if _, err := tx.Exec(ctx, `SELECT auditlog.chunks_to_rows($1, $2)`, from, to); err != nil {
			return 0, err
		}
	}
}

func (r *removal) delete(ctx context.Context, tx pgx.Tx, from, to time.Time, leaves []eventstore.Leaf) (int64, error) {
	positions, ids, hashes := make(flat[int64], 0, len(leaves)), make(flat[[16]byte], 0, len(leaves)), make(flat[[]byte], 0, len(leaves))
	for i := range leaves {
		l := &leaves[i]
		positions, ids, hashes = append(positions, int64(l.Position)), append(ids, [16]byte(l.ID)), append(hashes, l.Hash[:])
	}
	tag, err := tx.Exec(ctx, `
		WITH gone AS (
			DELETE FROM auditlog.events e
			WHERE e.shard = $9 AND e.tenant = $1 AND e.position BETWEEN $2 AND $3 AND e.recorded_at >= $4 AND e.recorded_at < $5
			RETURNING e.tenant, e.position, e."offset", e.recorded_at, e.id, e.entry_id
		), about AS (
			DELETE FROM auditlog.about a USING gone WHERE a.tenant = gone.tenant AND a.entry = gone.entry_id AND a.position = gone.position
		)
		INSERT INTO auditlog.removed (tenant, position, "offset", recorded_at, id, leaf)
		SELECT gone.tenant, gone.position, gone."offset", gone.recorded_at, gone.id, l.hash
		FROM gone LEFT JOIN unnest($6::bigint[], $7::uuid[], $8::bytea[]) AS l (position, id, hash) ON l.position = gone.position AND l.id = gone.id`,
		r.tenant.no, r.first, r.last, from, to, positions, ids, hashes, r.tenant.shard)
	if err != nil { // an event without a leaf violates NOT NULL
		return 0, fmt.Errorf("events to be removed must each have a leaf: %w", err)
	}
	return tag.RowsAffected(), nil
}

// left counts the events that are there in a range of positions.
func (r *removal) left(ctx context.Context, tx pgx.Tx, first, last int64) (n int64, err error) {
	from, to, err := r.span(ctx, tx, first, last)
	if err != nil {
		return 0, err
	}
	err = tx.QueryRow(ctx, `
		SELECT count(*) FROM auditlog.events e
		WHERE e.shard = $6 AND e.tenant = $1 AND e.position BETWEEN $2 AND $3 AND e.recorded_at >= $4 AND e.recorded_at < $5`,
		r.tenant.no, first, last, from, to, r.tenant.shard).Scan(&n)
	return n, err
}
