package bench

import (
	"context"
	"fmt"
	"time"
)

// many compares writes that go to many tenants in turn with those to one. Each of the many has written before.
func (w *writer) many(ctx context.Context) error {
	start := time.Now()
	all, err := w.tenants(w.Tenants)
	if err != nil {
		return err
	}
	made := time.Since(start)
	w.Say(fmt.Sprintf("  made %d tenants in %.1f s", w.Tenants, made.Seconds()))
	bodies, err := bulkBodies(10, bulkEntries, arrival)
	if err != nil {
		return err
	}
	var one, spread peak
	for n := range w.turns() + 1 {
		for _, side := range []struct {
			*peak
			to crowd
		}{{&one, w.one}, {&spread, all}} {
			if err := side.add(side.to, bodies, w.each(w.turns()), w.fanOut, w.Duration/time.Duration(w.turns())); err != nil {
				return err
			}
		}
		if n == 0 { // it warms up
			one, spread = peak{}, peak{}
		}
	}
	err = w.peaks(spread, one, fmt.Sprintf("%s tenants / 1 tenant", grouped(w.Tenants)), 0.5, 0.7, func(l *Line) {
		l.Sides["tenants"], l.Sides["tenants_made_per_s"] = float64(w.Tenants), float64(w.Tenants)/made.Seconds()
	})
	if err != nil {
		return err
	}
	return w.profiled(ctx, "tenants", func(d time.Duration) error {
		_, err := singles(all, pathLogs, w.fanOut, d)
		return err
	})
}

// grouped is a number for people: 10,000.
func grouped(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", grouped(n/1000), n%1000)
}
