package postgres

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"auditlog/eventstore"
	"auditlog/internal/mutant"
	"auditlog/internal/pgdb"
	"auditlog/projection/relay"
)

const saveWait = 10 * time.Second // above the statement timeout: for a server that does not answer at all

// saver moves the cursors of all lanes that wait in one statement, one at a time.
type saver struct {
	pool   *pgxpool.Pool
	holder uuid.UUID

	mu      sync.Mutex // guards the fields below
	waiting []*save
	busy    bool

	done sync.WaitGroup
}

// place names a cursor.
type place struct {
	shard       eventstore.Shard
	destination string
}

type save struct {
	place
	epoch  uint64
	offset eventstore.Offset
	saved  chan error
}

// Save implements relay.Cursors. When ctx ends first, the cursor may move all the same.
func (d *DB) Save(ctx context.Context, shard eventstore.Shard, destination string, epoch uint64, o eventstore.Offset) error {
	s := &save{place{shard, destination}, epoch, o, make(chan error, 1)}
	d.saves.add(s)
	select {
	case err := <-s.saved:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (v *saver) add(s *save) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.waiting = append(v.waiting, s)
	if !v.busy {
		v.busy = true
		v.done.Go(v.drain)
	}
}

// drain saves group after group until nothing waits.
func (v *saver) drain() {
	for {
		group := v.take()
		if group == nil {
			return
		}
		saved, err := v.write(group)
		for p, s := range group {
			switch {
			case err != nil:
				s.saved <- pgdb.Translate("save relay cursor", err)
			case !saved[p] && mutant.On != mutant.StaleSave:
				s.saved <- relay.ErrFenced
			default:
				s.saved <- nil
			}
		}
	}
}

// take takes the next group: the first that waits for each cursor.
func (v *saver) take() map[place]*save {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.busy = len(v.waiting) > 0; !v.busy {
		return nil
	}
	group := map[place]*save{}
	var later []*save
	for _, s := range v.waiting {
		if group[s.place] != nil {
			later = append(later, s)
			continue
		}
		group[s.place] = s
	}
	v.waiting = later
	return group
}

// write moves those whose lease is held under their epoch. The rows of the leases stay as they are until the cursors have
// moved, so nobody takes one in between; they are locked in the order of shards.
func (v *saver) write(group map[place]*save) (saved map[place]bool, err error) {
	var shards []int32
	var destinations []string
	var epochs, offsets []int64
	for p, s := range group {
		shards, destinations = append(shards, int32(p.shard)), append(destinations, p.destination)
		epochs, offsets = append(epochs, int64(s.epoch)), append(offsets, int64(s.offset))
	}
	ctx, cancel := context.WithTimeout(context.Background(), saveWait)
	defer cancel()
	rows, err := v.pool.Query(ctx, `
		WITH mine AS (
			SELECT shard, epoch FROM auditlog_relay.leases WHERE shard = ANY ($2) AND holder = $1 ORDER BY shard FOR SHARE
		)
		INSERT INTO auditlog_relay.cursors AS c (shard, destination, "offset", epoch)
		SELECT shard, destination, "offset", epoch
		FROM unnest($2::int[], $3::text[], $4::bigint[], $5::bigint[]) w (shard, destination, epoch, "offset") JOIN mine USING (shard, epoch)
		ON CONFLICT (shard, destination) DO UPDATE SET "offset" = greatest(c."offset", excluded."offset"), epoch = excluded.epoch
		RETURNING shard, destination`, v.holder, shards, destinations, epochs, offsets)
	if err != nil {
		return nil, err
	}
	saved = map[place]bool{}
	var p place
	_, err = pgx.ForEachRow(rows, []any{&p.shard, &p.destination}, func() error { saved[p] = true; return nil })
	return saved, err
}
