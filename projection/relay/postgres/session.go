package postgres

import (
	"bytes"
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"auditlog/eventstore"
)

// session is a connection of the keeper and what was told over it.
type session struct {
	*keeper
	conn   *pgx.Conn
	member bool
}

// beat tells the wishes and takes what the process's share allows. next is when to beat again.
func (s *session) beat(ctx context.Context) (next time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.o.Life/2)
	defer cancel()
	w := s.wishes()
	if !w.active() && len(w.give) == 0 && !s.member {
		return idle, nil
	}
	sent := time.Now()
	still, view, err := s.tell(ctx, w)
	if err != nil {
		return 0, err
	}
	s.renewed(w, still, sent.Add(s.o.Life))
	if !w.active() {
		return idle, nil
	}
	share, most := view.shares(s.id)
	s.giveUp(len(w.keep) - most)
	free := view.free(w.want)
	if n := min(share-w.held, len(free)); n > 0 {
		rand.Shuffle(len(free), func(i, j int) { free[i], free[j] = free[j], free[i] }) // others take too
		took, err := s.take(ctx, free[:n])
		if err != nil {
			return 0, err
		}
		if took < n {
			return 0, nil
		}
	}
	return min(s.o.Life/3, view.ends+s.o.Life/100), nil
}

const idle = time.Hour // until something changes here

// view is the state of all.
type view struct {
	members []uuid.UUID               // ascending
	leases  map[eventstore.Shard]bool // whether it is free
	holds   map[uuid.UUID]int         // leases of each holder that are not over
	ends    time.Duration             // until the first lease of another process is over
}

// shares are how many leases a member may take, and how many it may keep. The shares of all members together are all
// leases. One more than its share may stay with a member as long as nobody lacks it: leases do not move without need.
func (v view) shares(id uuid.UUID) (take, keep int) {
	rank, _ := slices.BinarySearchFunc(v.members, id, compare)
	if rank == len(v.members) || v.members[rank] != id {
		return 0, 0
	}
	least, rest := len(v.leases)/len(v.members), len(v.leases)%len(v.members)
	take = least
	if rank < rest {
		take++
	}
	for _, m := range v.members {
		if v.holds[m] < least {
			return take, take
		}
	}
	return take, max(take, least+min(rest, 1))
}

func compare(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) }

// free are those of the shards whose lease is free.
func (v view) free(of []eventstore.Shard) (free []eventstore.Shard) {
	for _, shard := range of {
		if v.leases[shard] {
			free = append(free, shard)
		}
	}
	return free
}

// ours are the leases of the process $1 with the shards $2 and their epochs $3, locked in the order of shards.
const ours = `
	SELECT shard FROM auditlog_relay.leases JOIN unnest($2::int[], $3::bigint[]) w (shard, epoch) USING (shard, epoch)
	WHERE holder = $1 ORDER BY shard FOR NO KEY UPDATE OF leases`

// tell is one transaction in one round trip. The rows of leases are locked in the order of shards, or not waited for.
func (s *session) tell(ctx context.Context, w wishes) (still map[eventstore.Shard]bool, v view, err error) {
	still, v = map[eventstore.Shard]bool{}, view{leases: map[eventstore.Shard]bool{}, holds: map[uuid.UUID]int{}, ends: s.o.Life}
	b := &pgx.Batch{}
	if w.active() {
		b.Queue(`
			INSERT INTO auditlog_relay.members (id, name, expires_at) VALUES ($1, $2, clock_timestamp() + $3::interval)
			ON CONFLICT (id) DO UPDATE SET expires_at = excluded.expires_at`, s.id, s.o.Name, s.o.Life)
	} else {
		b.Queue(`DELETE FROM auditlog_relay.members WHERE id = $1`, s.id)
	}
	if len(w.want) > 0 {
		b.Queue(`
			INSERT INTO auditlog_relay.leases (shard, epoch, expires_at)
			SELECT n, 0, '-infinity' FROM unnest($1::int[]) n
			WHERE NOT EXISTS (SELECT FROM auditlog_relay.leases WHERE shard = n) ORDER BY n ON CONFLICT DO NOTHING`, numbers(w.want))
	}
	if len(w.give) > 0 {
		shards, epochs := columns(w.give)
		b.Queue(`
			UPDATE auditlog_relay.leases l SET holder = NULL FROM (`+ours+`) o WHERE l.shard = o.shard`, s.id, shards, epochs)
	}
	shards, epochs := columns(w.keep)
	b.Queue(`
		UPDATE auditlog_relay.leases l SET expires_at = clock_timestamp() + $4::interval FROM (`+ours+`) o
		WHERE l.shard = o.shard RETURNING l.shard`, s.id, shards, epochs, s.o.Life).
		Query(func(rows pgx.Rows) error {
			var shard eventstore.Shard
			_, err := pgx.ForEachRow(rows, []any{&shard}, func() error { still[shard] = true; return nil })
			return err
		})
	b.Queue(`SELECT id FROM auditlog_relay.members WHERE expires_at > clock_timestamp()`).Query(func(rows pgx.Rows) (err error) {
		v.members, err = pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
		return err
	})
	// A lease whose holder is this process, and of which the process knows nothing: the answer to taking it was lost.
	b.Queue(`
		SELECT shard, coalesce(holder, $1), coalesce(holder = $1, true) OR expires_at <= clock_timestamp(),
			CASE WHEN holder <> $1 THEN extract(epoch FROM expires_at - clock_timestamp())::float8 ELSE 0 END
		FROM auditlog_relay.leases`, s.id).Query(v.collect)
	if w.active() != s.member || len(w.give) > 0 {
		b.Queue(`SELECT pg_notify($1, '')`, channel)
	}
	if err = s.conn.SendBatch(ctx, b).Close(); err == nil {
		s.member = w.active()
		slices.SortFunc(v.members, compare)
		v.holds[s.id] = len(still)
	}
	return still, v, err
}

func (v *view) collect(rows pgx.Rows) error {
	var shard eventstore.Shard
	var holder uuid.UUID
	var free bool
	var left float64
	_, err := pgx.ForEachRow(rows, []any{&shard, &holder, &free, &left}, func() error {
		v.leases[shard] = free
		if !free {
			v.holds[holder]++
			v.ends = min(v.ends, time.Duration(left*float64(time.Second)))
		}
		return nil
	})
	return err
}

// take takes those of the leases that are still free, and tells how many.
func (s *session) take(ctx context.Context, free []eventstore.Shard) (took int, err error) {
	until := time.Now().Add(s.o.Life)
	rows, err := s.conn.Query(ctx, `
		UPDATE auditlog_relay.leases l SET holder = $1, epoch = l.epoch + 1, expires_at = clock_timestamp() + $2::interval
		FROM (
			SELECT shard FROM auditlog_relay.leases
			WHERE shard = ANY ($3) AND (holder IS NULL OR holder = $1 OR expires_at <= clock_timestamp())
			ORDER BY shard FOR UPDATE SKIP LOCKED
		) f
		WHERE l.shard = f.shard RETURNING l.shard, l.epoch`, s.id, s.o.Life, numbers(free))
	if err != nil {
		return 0, err
	}
	var shard eventstore.Shard
	var epoch int64
	_, err = pgx.ForEachRow(rows, []any{&shard, &epoch}, func() error {
		took++
		s.grant(shard, uint64(epoch), until)
		return nil
	})
	return took, err
}

func numbers(shards []eventstore.Shard) []int32 {
	out := make([]int32, len(shards))
	for i, s := range shards {
		out[i] = int32(s)
	}
	return out
}

// columns are the map as two, for unnest.
func columns(m map[eventstore.Shard]uint64) (shards []int32, epochs []int64) {
	for shard, epoch := range m {
		shards, epochs = append(shards, int32(shard)), append(epochs, int64(epoch))
	}
	return shards, epochs
}
