package timescale

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"auditlog/eventstore"
	"auditlog/internal/pgdb"
)

// appendSQL stores a flush of drafts that need no look-up, in one statement. Nothing happens, and no row comes back, when
// the clock is behind the head or the drafts may be those of a flush whose row is gone; a known key or flush id is a
// unique violation. The steps take what they know from the step before, so they run in this order: the head's lock
// first.
const appendSQL = `
	WITH head AS (
		UPDATE auditlog.shards s
		SET "offset" = s."offset" + $2, flushes = s.flushes + 1,
			previous_at = s.recorded_at, recorded_at = greatest(s.recorded_at, coalesce($3::timestamptz, clock_timestamp()))
		WHERE s.shard = $1
			AND (s.recorded_at IS NULL OR s.recorded_at <= coalesce($3::timestamptz, clock_timestamp()) + $4::interval)
			AND (s.pruned_at IS NULL OR s.pruned_at < $5)
		RETURNING s."offset" - $2 AS base, s.flushes AS seq, s.previous_at, s.recorded_at
	), tenant AS (
		UPDATE auditlog.heads h
		SET position = h.position + n.count, "offset" = head.base + n.last,
			previous_at = h.recorded_at, recorded_at = head.recorded_at
		FROM head, unnest($6::integer[], $7::integer[], $8::integer[], $9::integer[]) AS n (tenant, count, first, last)
		WHERE h.tenant = n.tenant
		RETURNING h.tenant, h.position - n.count AS base, head.base + n.first AS first_offset, h.previous_at
	), log AS (
		INSERT INTO auditlog.events (recorded_at, "offset", position, tenant, key_epoch, key_index, shard, id, type, public, private)
		SELECT head.recorded_at, head.base + d.nth, tenant.base + d.rank, d.tenant, d.epoch, d.index, $1, d.id, d.type, d.public, d.private
		FROM unnest($10::integer[], $11::bigint[], $12::uuid[], $13::text[], $14::integer[], $15::integer[], $16::bytea[], $17::bytea[])
			WITH ORDINALITY AS d (tenant, rank, id, type, epoch, index, public, private, nth)
		JOIN tenant ON tenant.tenant = d.tenant
		CROSS JOIN head
	), keys AS (
		INSERT INTO auditlog.idempotency (tenant, token, fingerprint, position, recorded_at)
		SELECT k.tenant, k.token, k.fingerprint, tenant.base + k.rank, head.recorded_at
		FROM unnest($18::integer[], $19::bigint[], $20::uuid[], $21::uuid[]) AS k (tenant, rank, token, fingerprint)
		JOIN tenant ON tenant.tenant = k.tenant
		CROSS JOIN head
		ORDER BY k.tenant, k.token
	), flush AS (
		INSERT INTO auditlog.flushes (id, seq, recorded_at, shard)
		SELECT $22, head.seq, head.recorded_at, $1 FROM head
	), shard_mark AS (
		INSERT INTO auditlog.shard_marks (shard, first, recorded_at)
		SELECT $1, head.base + 1, head.recorded_at FROM head
		WHERE date_bin($23, head.previous_at, 'epoch') IS DISTINCT FROM date_bin($23, head.recorded_at, 'epoch')
	), tenant_mark AS (
		INSERT INTO auditlog.tenant_marks (tenant, first, "offset", recorded_at)
		SELECT tenant.tenant, tenant.base + 1, tenant.first_offset, head.recorded_at FROM tenant CROSS JOIN head
		WHERE date_bin($23, tenant.previous_at, 'epoch') IS DISTINCT FROM date_bin($23, head.recorded_at, 'epoch')
	)
	SELECT tenant.tenant, tenant.base, head.recorded_at, head.seq FROM tenant CROSS JOIN head`

// A flush is kept for this many flushes of its shard, and pruneEvery tells how often older ones leave.
const (
	keepFlushes = 10_000
	pruneEvery  = 500
)

// Append stores a flush.
func (s *Store) Append(ctx context.Context, f eventstore.Flush) ([]eventstore.Outcome, error) {
	if err := s.checkShard(f.Shard); err != nil {
		return nil, err
	}
	if f.ID == (eventstore.FlushID{}) {
		return nil, errors.New("a flush needs an id")
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var outcomes []eventstore.Outcome
	err := s.withPartition(ctx, f.Shard, func() (err error) {
		outcomes, err = s.appendAgain(ctx, f)
		return err
	})
	if err != nil {
		return nil, s.failed("append", err)
	}
	s.wake.committed(f.Shard)
	return outcomes, nil
}

// appendAgain sends a flush again over another connection when one breaks: its id makes that safe, whatever became of
// the first.
func (s *Store) appendAgain(ctx context.Context, f eventstore.Flush) ([]eventstore.Outcome, error) {
	for try := 0; ; try++ {
		outcomes, done, err := s.fast(ctx, f)
		if err == nil && !done {
			outcomes, err = s.slow(ctx, f)
		}
		if !pgdb.Lost(err) || try == 2 || ctx.Err() != nil {
			return outcomes, err
		}
		s.hot.Reset() // after a restart of the server every connection is broken
		s.pool.Reset()
	}
}

// withPartition runs f, and again once a native partition that it missed was made.
func (b *base) withPartition(ctx context.Context, shard eventstore.Shard, f func() error) error {
	err := f()
	if b.tier != Plain || pgdb.State(err) != pgdb.CheckViolation || pgdb.Constraint(err) != "" {
		return err
	}
	_, err = b.pool.Exec(ctx, `
		SELECT auditlog.ensure_partition(greatest(s.recorded_at, coalesce($2, clock_timestamp()))) FROM auditlog.shards s WHERE s.shard = $1`,
		shard, b.at())
	if err != nil {
		return err
	}
	return f()
}

// share is what a flush holds of one tenant.
type share struct{ count, first, last int32 }

// fast tries the one statement; done is false when it cannot decide the flush.
func (s *Store) fast(ctx context.Context, f eventstore.Flush) (outcomes []eventstore.Outcome, done bool, err error) {
	shares := map[int32]share{}
	total := 0
	for i := range f.Units {
		total += len(f.Units[i].Drafts)
	}
	if total == 0 {
		return nil, false, nil
	}
	cols := newColumns(total)
	oldest := forever
	nth := int32(0)
	for i := range f.Units {
		u := &f.Units[i]
		t, err := s.tenant(ctx, u.Tenant)
		if errors.Is(err, errNoTenant) || err == nil && t.shard != f.Shard {
			return nil, false, nil // the answer is in the transaction's hands
		}
		if err != nil {
			return nil, false, err
		}
		sh := shares[t.no]
		for j := range u.Drafts {
			d := &u.Drafts[j]
			if isAbout(d) || !d.EntryID.IsZero() {
				return nil, false, nil
			}
			nth++
			sh.count++
			if sh.first == 0 {
				sh.first = nth
			}
			sh.last = nth
			if made := madeAt(d.ID); made.Before(oldest) {
				oldest = made
			}
			cols.add(t.no, int64(sh.count), d)
		}
		if sh.count > 0 {
			shares[t.no] = sh
		}
	}
	bases, at, err := s.sendFast(ctx, f, cols, shares, oldest)
	if err != nil || bases == nil {
		return nil, false, err
	}
	outcomes = make([]eventstore.Outcome, total)
	for i := range outcomes {
		outcomes[i] = eventstore.Outcome{
			Status: eventstore.Stored, ID: cols.ids[i], RecordedAt: at,
			Position: eventstore.Position(bases[cols.tenants[i]] + cols.positions[i]),
		}
	}
	return outcomes, true, nil
}

// pruneSlack is how far the clocks of those who make ids may be behind the database's for an id to be surely newer than
// what was pruned.
const pruneSlack = time.Minute

// sendFast gives the positions that the tenants' drafts come after; none when the statement could not decide.
func (s *Store) sendFast(ctx context.Context, f eventstore.Flush, c *columns, shares map[int32]share, oldest time.Time) (map[int32]int64, eventstore.Micros, error) {
	conn, err := s.hot.Acquire(ctx)
	if err != nil {
		return nil, 0, err
	}
	defer conn.Release()
	ctx, cancel := begun(ctx)
	defer cancel()
	var tenants, counts, firsts, lasts flat[int32]
	for no, sh := range shares {
		tenants, counts, firsts, lasts = append(tenants, no), append(counts, sh.count), append(firsts, sh.first), append(lasts, sh.last)
	}
	rows, err := conn.Query(ctx, appendSQL,
		f.Shard, int64(len(c.ids)), s.at(), eventstore.MaxClockLead, oldest.Add(-pruneSlack),
		tenants, counts, firsts, lasts,
		c.tenants, c.positions, c.ids, c.types, c.epochs, c.indexes, c.publics, c.privates,
		c.keyTenants, c.keyPlaces, c.tokens, c.fingerprint,
		[16]byte(f.ID), s.span)
	if err != nil {
		return nil, 0, err
	}
	var no int32
	var base, seq int64
	var at time.Time
	bases := make(map[int32]int64, len(shares))
	_, err = pgx.ForEachRow(rows, []any{&no, &base, &at, &seq}, func() error {
		bases[no] = base
		return nil
	})
	if needsLook(err) || err == nil && len(bases) == 0 {
		return nil, 0, nil
	}
	if err == nil && seq%pruneEvery == 0 {
		s.prune(ctx, conn, f.Shard, seq-keepFlushes)
	}
	return bases, eventstore.MicrosOf(at), err
}

// needsLook tells the refusals that a look at keys and flushes explains.
func needsLook(err error) bool {
	if pgdb.State(err) != pgdb.UniqueViolation {
		return false
	}
	c := pgdb.Constraint(err)
	return c == "idempotency_key" || c == "flushes_id"
}

// prune removes old flushes. The head remembers how new the newest of them was, and is locked before they go. When it
// fails, the next one removes more.
func (s *Store) prune(ctx context.Context, q interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}, shard eventstore.Shard, upTo int64,
) {
	rows, err := q.Query(ctx, `
		WITH head AS (
			UPDATE auditlog.shards s
			SET pruned_at = greatest(s.pruned_at, (SELECT max(o.recorded_at) FROM auditlog.flushes o WHERE o.shard = $1 AND o.seq <= $2))
			WHERE s.shard = $1 RETURNING s.shard
		)
		DELETE FROM auditlog.flushes f USING head WHERE f.shard = head.shard AND f.seq <= $2`, shard, upTo)
	if err == nil {
		rows.Close()
	}
}

// knownID turns the unique violation of an event's id into an error that says so. The constraint of a chunk or partition
// has a name of its own.
func knownID(err error) error {
	if pgdb.State(err) == pgdb.UniqueViolation && slices.ContainsFunc([]string{"events_id", "id_recorded_at"}, func(part string) bool {
		return strings.Contains(pgdb.Constraint(err), part)
	}) {
		return errors.Join(errKnownID, err)
	}
	return err
}
