package bench

import (
	"context"
	"fmt"
	"time"
)

const (
	million   = 1_000_000
	fillConns = 4
	fillSides = 16 // tenants that are filled: those of the distributed tier spread over its shards
)

// baseRows is what a table of so many rows is compared with: a million, or fewer than those a fresh one.
func baseRows(rows int) int {
	if rows > million {
		return million
	}
	return 0
}

// rows compares writes into a table that holds many rows with those into one that holds few, of two services in turn. The
// rows are written through the service, by bulks: that is about half as fast as COPY, and all that goes with an event
// is there.
func (w *writer) rows(ctx context.Context) error {
	return w.withWriter(ctx, func(ctx context.Context, few *writer) error {
		base := baseRows(w.Rows)
		if err := few.fill(ctx, base); err != nil {
			return err
		}
		start := time.Now()
		if err := w.fill(ctx, w.Rows); err != nil {
			return err
		}
		w.Say(fmt.Sprintf("  stored %s rows in %.0f s", grouped(w.Rows), time.Since(start).Seconds()))
		bodies, err := bulkBodies(10, bulkEntries, arrival)
		if err != nil {
			return err
		}
		var with, without peak
		for n := range w.turns() + 1 {
			for _, side := range []struct {
				*peak
				to crowd
			}{{&without, few.one}, {&with, w.one}} {
				if err := side.add(side.to, bodies, w.each(w.turns()), w.fanOut, w.Duration/time.Duration(w.turns())); err != nil {
					return err
				}
			}
			if n == 0 { // it warms up
				with, without = peak{}, peak{}
			}
		}
		than := "a fresh table"
		if base > 0 {
			than = grouped(base)
		}
		err = w.peaks(with, without, grouped(w.Rows)+" rows stored / "+than, 0.6, 0.9, func(l *Line) {
			l.Sides["with_rows"], l.Sides["without_rows"] = float64(w.Rows), float64(base)
		})
		if err != nil {
			return err
		}
		return w.profiled(ctx, "rows", func(d time.Duration) error { return bulksFor(w.one, bodies, d) })
	})
}

// fill writes rows, of the tenant that is measured and of others.
func (w *writer) fill(ctx context.Context, rows int) error {
	if rows == 0 {
		return nil
	}
	others, err := w.tenants(fillSides - 1)
	if err != nil {
		return err
	}
	f := feed{conns: fillConns, each: bulkEntries, take: func(ctx context.Context, _ int64) bool { return ctx.Err() == nil }}
	for _, token := range append(others.tokens, w.one.tokens...) {
		f.to = append(f.to, target{w.p.addr, token})
	}
	bodies, err := bulkBodies(20, bulkEntries, arrival)
	if err != nil {
		return err
	}
	most := int64((rows + bulkEntries - 1) / bulkEntries)
	f.body = func(bulk int64) ([]byte, bool) { return bodies[bulk%int64(len(bodies))], bulk < most }
	_, err = f.run(ctx)
	return err
}
