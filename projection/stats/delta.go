package stats

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"

	"auditlog/eventstore"
)

// Units of rollups, in minutes and, as microseconds, for borders.
const (
	minute    = 1
	hour      = 60
	day       = 24 * 60
	minuteLen = eventstore.Micros(60_000_000)
)

var units = [...]int64{minute, hour, day}

// counted is what was counted for an entry.
type counted struct {
	occurred     eventstore.Micros
	combo, actor int64
}

// Kinds of a rollup's key.
const (
	byCombo = 1
	byActor = 2
)

// cell is the key of a rollup of one tenant.
type cell struct{ unit, kind, start, key int64 }

// delta gathers changes of one tenant's counts, so that each cell is written once.
type delta struct {
	tenant int64
	cells  map[cell]int64
	actors map[int64]int64
}

func newDelta(tenant int64) *delta {
	return &delta{tenant: tenant, cells: map[cell]int64{}, actors: map[int64]int64{}}
}

func (d *delta) count(at eventstore.Micros, combo, actor, n int64) {
	minutes := int64(at / minuteLen)
	for _, u := range units {
		start := minutes - minutes%u
		d.cells[cell{u, byCombo, start, combo}] += n
		d.cells[cell{u, byActor, start, actor}] += n
	}
	d.actors[actor] += n
}

// touch remembers an actor whose row is to go when nothing counts under it.
func (d *delta) touch(actor int64) { d.actors[actor] += 0 }

// uncount takes away the first limit entries at or below last and tells how many there were and where they end.
func (d *delta) uncount(ctx context.Context, tx *sql.Tx, tenant int64, last eventstore.Position, limit int) (n int, end eventstore.Position, err error) {
	rows, err := tx.QueryContext(ctx, `
		SELECT position, occurred, combo, actor FROM entries WHERE tenant = ? AND position <= ? ORDER BY position LIMIT ?`, tenant, last, limit)
	if err != nil {
		return 0, 0, fmt.Errorf("purged entries: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for ; rows.Next(); n++ {
		var e counted
		if err := rows.Scan(&end, &e.occurred, &e.combo, &e.actor); err != nil {
			return 0, 0, fmt.Errorf("purged entries: %w", err)
		}
		d.count(e.occurred, e.combo, e.actor, -1)
	}
	return n, end, rows.Err()
}

// write adds the changes; cells and actors that come to nothing go.
func (f *file) write(ctx context.Context, tx *sql.Tx, d *delta) error {
	add, zero := tx.StmtContext(ctx, f.sql.add), tx.StmtContext(ctx, f.sql.zero)
	for _, c := range slices.SortedFunc(maps.Keys(d.cells), compareCells) {
		n := d.cells[c]
		if n == 0 {
			continue
		}
		if _, err := add.ExecContext(ctx, d.tenant, c.unit, c.kind, c.start, c.key, n); err != nil {
			return fmt.Errorf("add to rollup: %w", err)
		}
		if n > 0 {
			continue
		}
		if _, err := zero.ExecContext(ctx, d.tenant, c.unit, c.kind, c.start, c.key); err != nil {
			return fmt.Errorf("drop empty rollup: %w", err)
		}
	}
	bump, drop := tx.StmtContext(ctx, f.sql.bump), tx.StmtContext(ctx, f.sql.drop)
	for a, n := range d.actors {
		if a == 0 {
			continue
		}
		if n != 0 {
			if _, err := bump.ExecContext(ctx, n, a); err != nil {
				return fmt.Errorf("count of actor: %w", err)
			}
		}
		if n <= 0 {
			if _, err := drop.ExecContext(ctx, a); err != nil {
				return fmt.Errorf("drop actor: %w", err)
			}
		}
	}
	return nil
}

func compareCells(a, b cell) int {
	return cmp.Or(cmp.Compare(a.unit, b.unit), cmp.Compare(a.kind, b.kind), cmp.Compare(a.start, b.start), cmp.Compare(a.key, b.key))
}
