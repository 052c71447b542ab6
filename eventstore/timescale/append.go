package timescale

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"auditlog/eventstore"
	"auditlog/internal/fault"
	"auditlog/internal/pgdb"
)

// placesSQL gives a flush of drafts that need no look-up its places, and stores all of it but the events, which follow by
// COPY in the same transaction; appendSQL stores them as well. Nothing happens, and no row comes back, when the clock is
// behind the head or the drafts may be those of a flush whose row is gone; a known key or flush id is a unique violation.
// The head's lock comes first, since all else takes what it knows from there; of the rest PostgreSQL runs the last first,
// so that a known key or flush id is found before an event's id is.
const (
	placesSQL = takePlaces + keepPlaces
	appendSQL = takePlaces + insertLog + keepPlaces
)

const takePlaces = `
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
	)`

const keepPlaces = `, keys AS (
		INSERT INTO auditlog.idempotency (slot, rest, fingerprint, position)
		SELECT k.slot, k.rest, k.fingerprint, tenant.base + k.rank
		FROM unnest($10::integer[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[]) AS k (tenant, rank, slot, rest, fingerprint)
		JOIN tenant ON tenant.tenant = k.tenant
		ORDER BY k.slot
	), flush AS (
		INSERT INTO auditlog.flushes (id, seq, recorded_at, shard)
		SELECT $15, head.seq, head.recorded_at, $1 FROM head
	), shard_mark AS (
		INSERT INTO auditlog.shard_marks (shard, first, recorded_at)
		SELECT $1, head.base + 1, head.recorded_at FROM head
		WHERE date_bin($16, head.previous_at, 'epoch') IS DISTINCT FROM date_bin($16, head.recorded_at, 'epoch')
	), tenant_mark AS (
		INSERT INTO auditlog.tenant_marks (tenant, first, "offset", recorded_at)
		SELECT tenant.tenant, tenant.base + 1, tenant.first_offset, head.recorded_at FROM tenant CROSS JOIN head
		WHERE date_bin($16, tenant.previous_at, 'epoch') IS DISTINCT FROM date_bin($16, head.recorded_at, 'epoch')
	)
	SELECT tenant.tenant, tenant.base, head.base, head.recorded_at, head.seq FROM tenant CROSS JOIN head`

const insertLog = `, log AS (
		INSERT INTO auditlog.events (recorded_at, "offset", position, tenant, key_epoch, key_index, shard, id, type, public, private)
		SELECT head.recorded_at, head.base + d.nth, tenant.base + d.rank, d.tenant, d.epoch, d.index, $1, d.id, d.type, d.public, d.private
		FROM unnest($17::integer[], $18::bigint[], $19::uuid[], $20::text[], $21::integer[], $22::integer[], $23::bytea[], $24::bytea[])
			WITH ORDINALITY AS d (tenant, rank, id, type, epoch, index, public, private, nth)
		JOIN tenant ON tenant.tenant = d.tenant
		CROSS JOIN head
	)`

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
			outcomes, err = s.slowly(ctx, f)
		}
		if try > 0 && fault.Is(err, fault.Clock) { // the server may still carry out the first one
			return nil, fault.Wrap(fault.Unavailable, err, "the database refused to try again; whether the flush is stored is not known")
		}
		if !pgdb.Lost(err) || try == 2 || ctx.Err() != nil {
			return outcomes, err
		}
		s.hot.Reset() // after a restart of the server every connection is broken
		s.pool.Reset()
	}
}

// slowly looks again when another shard's flush took a key's slot since it was looked at, which means that one got on.
func (s *Store) slowly(ctx context.Context, f eventstore.Flush) (outcomes []eventstore.Outcome, err error) {
	for range 100 {
		if outcomes, err = s.slow(ctx, f); !slotTaken(err) {
			break
		}
	}
	return outcomes, err
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

// simple is a flush of drafts that need no look-up but that of their keys.
type simple struct {
	flush  *eventstore.Flush
	nos    []int32 // surrogates of the units' tenants
	shares map[int32]share
	total  int
	bytes  int
	oldest time.Time // that an id was made
	keys   keyColumns
}

// simple looks at a flush; false when it takes more than places and keys to decide it.
func (s *Store) simple(ctx context.Context, f *eventstore.Flush) (*simple, bool, error) {
	p := &simple{flush: f, nos: make([]int32, len(f.Units)), shares: make(map[int32]share, 1), oldest: forever, keys: newKeyColumns()}
	for i := range f.Units {
		u := &f.Units[i]
		t, err := s.tenant(ctx, u.Tenant)
		if errors.Is(err, errNoTenant) || err == nil && t.shard != f.Shard {
			return nil, false, nil // the answer is in the transaction's hands
		}
		if err != nil {
			return nil, false, err
		}
		p.nos[i] = t.no
		sh := p.shares[t.no]
		for j := range u.Drafts {
			d := &u.Drafts[j]
			if isAbout(d) || !d.EntryID.IsZero() {
				return nil, false, nil
			}
			p.total++
			p.bytes += len(d.Public) + len(d.Private)
			sh.count++
			if sh.first == 0 {
				sh.first = int32(p.total)
			}
			sh.last = int32(p.total)
			if made := madeAt(d.ID); made.Before(p.oldest) {
				p.oldest = made
			}
			if d.Idempotency != nil {
				key := keyOf(u.Tenant, d.Idempotency)
				p.keys.add(t.no, int64(sh.count), key.slot, key, d.Idempotency)
			}
		}
		if sh.count > 0 {
			p.shares[t.no] = sh
		}
	}
	return p, p.total > 0, nil
}

// each calls do for every draft in order, with its tenant and its rank among the tenant's, from 1.
func (p *simple) each(do func(no int32, rank int64, d *eventstore.Draft)) {
	ranks := make(map[int32]int64, len(p.shares))
	for i := range p.flush.Units {
		drafts := p.flush.Units[i].Drafts
		rank := ranks[p.nos[i]]
		for j := range drafts {
			rank++
			do(p.nos[i], rank, &drafts[j])
		}
		ranks[p.nos[i]] = rank
	}
}

// places is what a flush was given: for each tenant the position that its drafts come after, and the shard's offset.
type places struct {
	bases  map[int32]int64
	offset int64
	at     time.Time
	seq    int64
}

// fast appends without looking at what is stored; done is false when that cannot decide the flush.
func (s *Store) fast(ctx context.Context, f eventstore.Flush) (outcomes []eventstore.Outcome, done bool, err error) {
	p, ok, err := s.simple(ctx, &f)
	if err != nil || !ok {
		return nil, false, err
	}
	send := s.sendSmall
	switch {
	case p.total >= s.copyFrom:
		send = s.sendCopy
	case p.bytes > smallBytes:
		send = s.sendFast
	}
	got, err := send(ctx, p)
	if err == nil {
		s.pruneAt(ctx, s.hot, f.Shard, got.seq)
	}
	if needsLook(err) || err == nil && len(got.bases) == 0 {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	outcomes, at := make([]eventstore.Outcome, 0, p.total), eventstore.MicrosOf(got.at)
	p.each(func(no int32, rank int64, d *eventstore.Draft) {
		outcomes = append(outcomes, eventstore.Outcome{
			Status: eventstore.Stored, ID: d.ID, RecordedAt: at, Position: eventstore.Position(got.bases[no] + rank),
		})
	})
	return outcomes, true, nil
}

// pruneSlack is how far the clocks of those who make ids may be behind the database's for an id to be surely newer than
// what was pruned.
const pruneSlack = time.Minute

// args are the parameters of placesSQL, and the first ones of appendSQL.
func (s *Store) args(p *simple, more int) []any {
	var tenants, counts, firsts, lasts flat[int32]
	for no, sh := range p.shares {
		tenants, counts, firsts, lasts = append(tenants, no), append(counts, sh.count), append(firsts, sh.first), append(lasts, sh.last)
	}
	return append(make([]any, 0, 16+more),
		p.flush.Shard, int64(p.total), s.at(), eventstore.MaxClockLead, p.oldest.Add(-pruneSlack),
		tenants, counts, firsts, lasts,
		p.keys.tenants, p.keys.places, p.keys.slots, p.keys.rests, p.keys.fingerprints,
		[16]byte(p.flush.ID), s.span)
}

// appendArgs are the parameters of appendSQL.
func (s *Store) appendArgs(p *simple) []any {
	c := newColumns(p.total)
	p.each(c.add)
	return append(s.args(p, 8), c.tenants, c.positions, c.ids, c.types, c.epochs, c.indexes, c.publics, c.privates)
}

// scan reads the places that a flush was given; none when the statement could not decide.
func (p *simple) scan(rows pgx.Rows) (got places, err error) {
	got.bases = make(map[int32]int64, len(p.shares))
	var no int32
	var base int64
	_, err = pgx.ForEachRow(rows, []any{&no, &base, &got.offset, &got.at, &got.seq}, func() error {
		got.bases[no] = base
		return nil
	})
	return got, err
}

// sendFast sends a flush as one statement: one round trip, which is what counts for few drafts.
func (s *Store) sendFast(ctx context.Context, p *simple) (got places, err error) {
	args := s.appendArgs(p)
	conn, err := s.hot.Acquire(ctx)
	if err != nil {
		return got, err
	}
	defer conn.Release()
	ctx, cancel := begun(ctx)
	defer cancel()
	rows, err := conn.Query(ctx, appendSQL, args...)
	if err != nil {
		return got, err
	}
	return p.scan(rows)
}

// pruneAt removes old flushes now and then.
func (s *Store) pruneAt(ctx context.Context, q querier, shard eventstore.Shard, seq int64) {
	if seq > 0 && seq%pruneEvery == 0 {
		s.prune(ctx, q, shard, seq-keepFlushes)
	}
}

// needsLook tells the refusals that a look at keys and flushes explains.
func needsLook(err error) bool {
	if pgdb.State(err) != pgdb.UniqueViolation {
		return false
	}
	c := pgdb.Constraint(err)
	return c == keyConstraint || c == "flushes_id"
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
