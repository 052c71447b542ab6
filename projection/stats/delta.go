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

// least is the smallest unit with rollups of a kind. Actors have none by the minute: there would be about as many as there
// are entries, which tell the same.
func least(kind int64) int64 {
	if kind == byActor {
		return hour
	}
	return minute
}

// cell is the key of a rollup of one tenant.
type cell struct{ unit, kind, start, key int64 }

// delta gathers changes of one tenant's counts, so that each cell is written once.
type delta struct {
	tenant int64
	cells  map[cell]int64
	actors map[int64]tally
}

// tally is what changes of an actor's row.
type tally struct {
	n      int64
	sample eventstore.Position // one of its entries; 0 when none came
}

func newDelta(tenant int64) *delta {
	return &delta{tenant: tenant, cells: map[cell]int64{}, actors: map[int64]tally{}}
}

func (d *delta) count(at eventstore.Micros, combo, actor, n int64) {
	minutes := int64(at / minuteLen)
	for _, u := range units {
		start := minutes - minutes%u
		d.cells[cell{u, byCombo, start, combo}] += n
		if u >= least(byActor) {
			d.cells[cell{u, byActor, start, actor}] += n
		}
	}
	t := d.actors[actor]
	t.n += n
	d.actors[actor] = t
}

// seen remembers where an actor that was counted occurs.
func (d *delta) seen(actor int64, at eventstore.Position) {
	t := d.actors[actor]
	t.sample = max(t.sample, at)
	d.actors[actor] = t
}

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
func (f *tables) write(ctx context.Context, tx *sql.Tx, d *delta) error {
	cells := slices.SortedFunc(maps.Keys(d.cells), compareCells)
	values := make([]any, 0, 6*len(cells))
	for _, c := range cells {
		if n := d.cells[c]; n != 0 {
			values = append(values, d.tenant, c.unit, c.kind, c.start, c.key, n)
		}
	}
	if err := f.rows.add(ctx, tx, values); err != nil {
		return fmt.Errorf("add to rollups: %w", err)
	}
	lowered := slices.DeleteFunc(cells, func(c cell) bool { return d.cells[c] >= 0 })
	if err := f.rows.dropEmpty(ctx, tx, d.tenant, lowered); err != nil {
		return fmt.Errorf("drop empty rollups: %w", err)
	}
	maps.DeleteFunc(d.actors, func(no int64, t tally) bool { return no == 0 || t.n == 0 })
	if err := f.rows.bump(ctx, tx, d.actors); err != nil {
		return fmt.Errorf("counts of actors: %w", err)
	}
	return nil
}

func compareCells(a, b cell) int {
	return cmp.Or(cmp.Compare(a.unit, b.unit), cmp.Compare(a.kind, b.kind), cmp.Compare(a.start, b.start), cmp.Compare(a.key, b.key))
}
