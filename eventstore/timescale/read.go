package timescale

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"auditlog/eventstore"
)

// The statements give both ends of what they seek as values, for columns: those tell of each batch whether to open it.
const (
	readShardSQL = `
		SELECT ` + eventColumns + ` FROM auditlog.events e
		WHERE e.shard = $1 AND e."offset" > $2 AND e."offset" <= $6 AND e.recorded_at >= $3 AND e.recorded_at < $4
		ORDER BY e."offset" LIMIT $5`
	readTenantSQL = `
		SELECT ` + eventColumns + ` FROM auditlog.events e
		WHERE e.shard = $6 AND e.tenant = $1 AND e.position > $2 AND e.position <= $7 AND e.recorded_at >= $3 AND e.recorded_at < $4
			AND e.position > (SELECT h.purged FROM auditlog.heads h WHERE h.tenant = $1)
		ORDER BY e.position LIMIT $5`
	readPositionsSQL = `
		SELECT ` + eventColumns + ` FROM auditlog.events e
		WHERE e.shard = $5 AND e.tenant = $1 AND e.position = ANY ($2::bigint[]) AND e.position >= $6 AND e.position <= $7
			AND e.recorded_at >= $3 AND e.recorded_at < $4
			AND e.position > (SELECT h.purged FROM auditlog.heads h WHERE h.tenant = $1)`
	readAtSQL = `
		SELECT ` + eventColumns + ` FROM auditlog.events e
		WHERE e.shard = $4 AND e.tenant = $1 AND e.position = ANY ($2::bigint[]) AND e.recorded_at = ANY ($3::timestamptz[])
			AND e.position > (SELECT h.purged FROM auditlog.heads h WHERE h.tenant = $1)
		ORDER BY e.position`
	getSQL = `
		SELECT ` + eventColumns + `, (SELECT h.purged FROM auditlog.heads h WHERE h.tenant = $2) FROM auditlog.events e
		WHERE e.id = $1 AND e.shard = $5 AND e.tenant = $2 AND e.recorded_at >= $3 AND e.recorded_at < $4`
)

// maxPage is more events than PageBytes can hold.
const maxPage = 1 << 20

// ReadShard is a page of the shard's log.
func (s *Store) ReadShard(ctx context.Context, shard eventstore.Shard, after eventstore.Offset, limit int) ([]eventstore.Event, error) {
	if err := s.checkShard(shard); err != nil || limit <= 0 {
		return nil, err
	}
	limit = min(limit, maxPage)
	if s.tier != Community {
		return s.readShard(ctx, shard, after, math.MaxInt64, limit)
	}
	head, err := s.ShardHead(ctx, shard)
	if err != nil {
		return nil, err
	}
	// Columns are not in order: a page is sought where its offsets are, and further on where a purge left fewer.
	for window := eventstore.Offset(limit); after < head.Offset; window *= 8 {
		events, err := s.readShard(ctx, shard, after, min(after+window, head.Offset), limit)
		if err != nil || len(events) > 0 {
			return events, err
		}
		after += window
	}
	return nil, nil
}

// readShard is a page of the events above after, up to an offset.
func (s *Store) readShard(ctx context.Context, shard eventstore.Shard, after, upTo eventstore.Offset, limit int) ([]eventstore.Event, error) {
	marks, err := s.marks(ctx, shardMarksSQL, shard, int64(after)+1)
	if err != nil {
		return nil, s.failed("read a shard", err)
	}
	return s.walk(ctx, below(marks, int64(upTo)), limit, func(from, to time.Time, limit int) (pgx.Rows, error) {
		return s.pool.Query(ctx, readShardSQL, shard, after, from, to, limit, upTo)
	})
}

// ReadTenant is a page of a tenant's log.
func (s *Store) ReadTenant(ctx context.Context, id eventstore.TenantID, after eventstore.Position, limit int) ([]eventstore.Event, error) {
	t, err := s.tenant(ctx, id)
	if err != nil || limit <= 0 {
		return nil, err
	}
	limit = min(limit, maxPage)
	after = min(after, math.MaxInt64-maxPage)
	seen := eventstore.Position(-1)
	for {
		// A watermark above after moves the start, so that no chunk of purged events is opened.
		var purged eventstore.Position
		if err := s.pool.QueryRow(ctx, `SELECT purged FROM auditlog.heads WHERE tenant = $1`, t.no).Scan(&purged); err != nil {
			return nil, s.failed("read a tenant's log", err)
		}
		if purged == seen {
			return nil, nil
		}
		events, err := s.readTenant(ctx, t, max(after, purged), limit)
		if err != nil || len(events) > 0 {
			return events, err
		}
		seen = purged // an empty page is the end, unless a purge began meanwhile
	}
}

// readTenant is a page of the events above after, which are there without a gap.
func (s *Store) readTenant(ctx context.Context, t tenant, after eventstore.Position, limit int) ([]eventstore.Event, error) {
	marks, err := s.marks(ctx, tenantMarksSQL, t.no, int64(after)+1)
	if err != nil {
		return nil, s.failed("read a tenant's log", err)
	}
	last := int64(after) + int64(limit)
	return s.walk(ctx, below(marks, last), limit, func(from, to time.Time, left int) (pgx.Rows, error) {
		return s.pool.Query(ctx, readTenantSQL, t.no, after, from, to, left, t.shard, last)
	})
}

// About are amendments and erasures of the given entries.
func (s *Store) About(ctx context.Context, id eventstore.TenantID, entries []eventstore.EventID) ([]eventstore.Event, error) {
	t, err := s.tenant(ctx, id)
	if err != nil || len(entries) == 0 {
		return nil, err
	}
	rows, err := s.pool.Query(ctx, `
		SELECT a.position, a.recorded_at FROM auditlog.about a WHERE a.tenant = $1 AND a.entry = ANY ($2::uuid[])`, t.no, uuids(entries))
	if err != nil {
		return nil, s.failed("look up amendments", err)
	}
	var position int64
	var at time.Time
	var positions []int64
	var times []time.Time
	_, err = pgx.ForEachRow(rows, []any{&position, &at}, func() error {
		positions, times = append(positions, position), append(times, at)
		return nil
	})
	if err != nil || len(positions) == 0 {
		return nil, s.failed("look up amendments", err)
	}
	slices.SortFunc(times, time.Time.Compare)
	var p page
	rows, err = s.pool.Query(ctx, readAtSQL, t.no, positions, slices.CompactFunc(times, time.Time.Equal), t.shard)
	if err := p.add(rows, err, 0); err != nil {
		return nil, s.failed("read amendments", err)
	}
	for i := range p.events {
		p.events[i].Tenant = id
	}
	return inOrder(p.events), nil
}

// inOrder sorts by position and leaves out repetitions.
func inOrder(events []eventstore.Event) []eventstore.Event {
	slices.SortFunc(events, func(a, b eventstore.Event) int { return cmp.Compare(a.Position, b.Position) })
	return slices.CompactFunc(events, func(a, b eventstore.Event) bool { return a.Position == b.Position })
}

// idWindow is how far an event's recorded_at may be from the time in its UUIDv7 to be found by the first look.
const idWindow = 10 * time.Minute

// madeAt is the time in a UUIDv7 (RFC 9562 §5.7), clamped to what PostgreSQL and this store can hold.
func madeAt(id eventstore.EventID) time.Time {
	ms := binary.BigEndian.Uint64(id[:8]) >> 16
	return time.UnixMilli(min(int64(ms), forever.UnixMilli())).UTC()
}

// Get is one event by id: most lie in the chunk that the id's own time tells.
func (s *Store) Get(ctx context.Context, tenantID eventstore.TenantID, id eventstore.EventID) (eventstore.Event, error) {
	t, err := s.tenant(ctx, tenantID)
	if err != nil {
		return eventstore.Event{}, err
	}
	made := madeAt(id)
	for _, window := range [][2]time.Time{{made.Add(-idWindow), made.Add(idWindow)}, {time.Unix(0, 0), forever}} {
		var sc scanner
		var purged int64
		err := s.pool.QueryRow(ctx, getSQL, id, t.no, window[0], window[1], t.shard).Scan(append(sc.into(), &purged)...)
		if errors.Is(err, pgx.ErrNoRows) {
			continue
		}
		if err != nil {
			return eventstore.Event{}, s.failed("get an event", err)
		}
		if sc.position <= purged {
			return eventstore.Event{}, errPurged
		}
		e := sc.event()
		e.Tenant = tenantID
		return e, nil
	}
	if _, err := s.removedLeaf(ctx, t, id); err != nil {
		return eventstore.Event{}, err
	}
	return eventstore.Event{}, errPurged
}

// ShardHead is the newest place of the shard.
func (s *Store) ShardHead(ctx context.Context, shard eventstore.Shard) (eventstore.ShardHead, error) {
	if err := s.checkShard(shard); err != nil {
		return eventstore.ShardHead{}, err
	}
	var h eventstore.ShardHead
	var at *time.Time
	err := s.pool.QueryRow(ctx, `SELECT "offset", recorded_at FROM auditlog.shards WHERE shard = $1`, shard).Scan(&h.Offset, &at)
	h.RecordedAt = microsOf(at)
	return h, s.failed("read a shard's head", err)
}

// Head is the newest place of a tenant's log.
func (s *Store) Head(ctx context.Context, id eventstore.TenantID) (eventstore.Head, error) {
	t, err := s.tenant(ctx, id)
	if err != nil {
		return eventstore.Head{}, err
	}
	return s.head(ctx, s.pool, t)
}

// headSQL asks indexes for both maxima, however many amendments there are: each read of a reader begins here.
const headSQL = `
	SELECT h.position, h."offset", h.recorded_at, h.purged, greatest(
		(SELECT max(a.position) FROM auditlog.about a WHERE a.tenant = $1 AND a.erasure),
		(SELECT max(p.position) FROM auditlog.purges p WHERE p.tenant = $1), 0)
	FROM auditlog.heads h WHERE h.tenant = $1`

func (b *base) head(ctx context.Context, q querier, t tenant) (eventstore.Head, error) {
	h := eventstore.Head{Shard: t.shard}
	var at *time.Time
	err := q.QueryRow(ctx, headSQL, t.no).
		Scan(&h.Position, &h.Offset, &at, &h.Purged, &h.Hidden)
	h.RecordedAt = microsOf(at)
	return h, translate("read a head", err)
}

func microsOf(t *time.Time) eventstore.Micros {
	if t == nil {
		return 0
	}
	return eventstore.MicrosOf(*t)
}

// uuids is ids as pgx encodes them without reflection.
func uuids[T ~[16]byte](ids []T) [][16]byte {
	out := make([][16]byte, len(ids))
	for i, id := range ids {
		out[i] = id
	}
	return out
}
