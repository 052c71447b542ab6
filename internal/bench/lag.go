package bench

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
)

// progress is how far a service is, in events of all shards.
type progress struct {
	appended int64
	applied  map[string]int64 // by projection
}

// slowest is what every projection has applied.
func (p progress) slowest() int64 {
	least := p.appended
	for _, n := range p.applied {
		least = min(least, n)
	}
	return least
}

func (p progress) lag() int64 { return p.appended - p.slowest() }

// odometer reads progress from the tables in which the projections keep it.
type odometer struct {
	db  *pgx.Conn
	sql string
}

func newOdometer(ctx context.Context, address string) (*odometer, error) {
	db, err := pgx.Connect(ctx, address)
	return &odometer{db: db}, err
}

// prepare finds the generations that are live.
func (o *odometer) prepare(ctx context.Context) error {
	rows, err := o.db.Query(ctx, `SELECT name, live FROM projections.generations`)
	if err != nil {
		return err
	}
	live, err := pgx.CollectRows(rows, pgx.RowToStructByPos[struct {
		Name string
		Live int64
	}])
	if err != nil {
		return err
	}
	o.sql = `
		SELECT '', coalesce(sum("offset"), 0)::bigint FROM auditlog.shards
		UNION ALL SELECT 'search', coalesce(sum(upper(r) - lower(r)), 0)::bigint
		FROM auditlog_search.generations g JOIN auditlog_search.ranges USING (gen), unnest(applied) r WHERE g.live`
	for _, g := range live {
		o.sql += fmt.Sprintf(" UNION ALL SELECT '%s', coalesce(sum(to_offset - from_offset), 0)::bigint FROM projections_%s_%d.progress", g.Name, g.Name, g.Live)
	}
	return nil
}

func (o *odometer) read(ctx context.Context) (progress, error) {
	p := progress{applied: map[string]int64{}}
	if o.sql == "" {
		if err := o.prepare(ctx); err != nil {
			return p, err
		}
	}
	rows, err := o.db.Query(ctx, o.sql)
	if err != nil {
		return p, err
	}
	var name string
	var n int64
	_, err = pgx.ForEachRow(rows, []any{&name, &n}, func() error {
		if name == "" {
			p.appended = n
		} else {
			p.applied[name] = n
		}
		return nil
	})
	return p, err
}

// caughtUp waits until every projection has everything.
func (o *odometer) caughtUp(ctx context.Context) error {
	for deadline := time.Now().Add(time.Hour); ; {
		p, err := o.read(ctx)
		if err != nil || p.lag() == 0 {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the projections do not catch up: %+v", p)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// valve lets appends through while the lag stays below a bound, so that what comes out is what the whole line sustains.
type valve struct {
	window int64
	meter  *odometer
	last   atomic.Pointer[progress]

	mu   sync.Mutex
	room int64 // entries that may still be sent until the next look
}

// open looks at the lag a few times a second until ctx ends.
func (v *valve) open(ctx context.Context) error {
	for {
		p, err := v.meter.read(context.WithoutCancel(ctx)) // a read that is cut closes the connection
		if err != nil {
			return err
		}
		v.last.Store(&p)
		v.mu.Lock()
		v.room = v.window - p.lag()
		v.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// take waits for room for n entries; false when ctx ended.
func (v *valve) take(ctx context.Context, n int64) bool {
	for {
		v.mu.Lock()
		if v.room >= n {
			v.room -= n
			v.mu.Unlock()
			return true
		}
		v.mu.Unlock()
		select {
		case <-ctx.Done():
			return false
		case <-time.After(10 * time.Millisecond):
		}
	}
}
