package bench

import (
	"context"
	"net/http"
	"time"
)

// start measures from the start of the process to the first 201, on a data dir that was used before.
func (r *run) start(ctx context.Context) error {
	dir, err := r.fresh("start-")
	if err != nil {
		return err
	}
	one, err := entries(0, 1)
	if err != nil {
		return err
	}
	const rounds = 6 // the first makes the files
	var took times
	var idle float64
	for n := range rounds {
		p, err := launch(ctx, r.Binary, dir)
		if err != nil {
			return err
		}
		c, err := dial(p.addr)
		if err == nil {
			_, err = c.want(http.StatusCreated, "POST", pathLogs, p.tokens["writer"], one[0])
			c.close()
		}
		if err != nil {
			return err
		}
		if n > 0 {
			took = append(took, time.Since(p.began))
		}
		if n == rounds-1 {
			time.Sleep(2 * time.Second)
			if idle, err = p.resident(); err != nil {
				return err
			}
		}
		if err := p.stop(); err != nil {
			return err
		}
	}
	if err := r.report(Line{Name: "start to first 201", Value: took.ms(0.5), Unit: "ms", Floor: 1000, Goal: 300, Cache: "warm", Workers: "on", Connections: 1, Samples: len(took)}); err != nil {
		return err
	}
	return r.report(Line{Name: "resident memory idle", Value: idle, Unit: "MiB", Floor: 64, Cache: "warm", Workers: "on", Samples: 1})
}

// turns is into how many pieces each side of a ratio is cut: both then meet the same disturbances of the machine.
const turns = 10

// limit is what the storage itself does with the rows that the service stored, and nothing else.
type limit interface {
	// insert adds n rows, with ids and places of their own, durably and gives the time that it took.
	insert(ctx context.Context, n int) (time.Duration, error)
}

// writeRatios measure what is acknowledged durable while projections are stopped, against the storage's limit and against
// a handler that stores nothing. All sides take turns.
type writeRatios struct {
	*writer
	limit limit
	bare  string // what the limit does with 1,000 rows
}

// fileRatios measures writes against what limits them on the embedded tier.
func (w *writer) fileRatios(ctx context.Context) error {
	limit, err := w.prepare(ctx)
	if err != nil {
		return err
	}
	defer limit.close()
	return (&writeRatios{w, limit, "bare inserts"}).measure(ctx)
}

// ratios measures them on either tier.
func (w *writer) ratios(ctx context.Context) error {
	if w.stack != nil {
		return w.serverRatios(ctx)
	}
	return w.fileRatios(ctx)
}

func (m *writeRatios) measure(ctx context.Context) error {
	for _, measure := range []func(context.Context) error{m.bulk, m.single, m.latency} {
		if err := measure(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (m *writeRatios) bulk(ctx context.Context) error {
	var service, inserts time.Duration
	each := m.each(turns)
	bodies, err := bulkBodies(min(each, 10), bulkEntries, arrival)
	if err != nil {
		return err
	}
	for range turns {
		took, err := bulks(m.one, bodies, each)
		if err != nil {
			return err
		}
		service += took
		for range each {
			took, err := m.limit.insert(ctx, bulkEntries)
			if err != nil {
				return err
			}
			inserts += took
		}
	}
	n := float64(turns * each * bulkEntries)
	bulkRate, bareRate := n/service.Seconds(), n/inserts.Seconds()
	err = m.report(Line{
		Name: "bulk of 1,000 / " + m.bare, Value: bulkRate / bareRate, Unit: "ratio", Least: true, Floor: 0.35, Goal: 0.7,
		Cache: "warm", Workers: "off", Connections: bulkConns, Samples: turns * each,
		Sides: map[string]float64{"bulk_entries_per_s": bulkRate, "bare_entries_per_s": bareRate},
	})
	if err != nil {
		return err
	}
	return m.profiled(ctx, "bulk", func(d time.Duration) error { return bulksFor(m.one, bodies, d) })
}

func (m *writeRatios) single(ctx context.Context) error {
	var posts, nulls answered
	for n := range turns + 1 {
		for _, side := range []struct {
			*answered
			path string
		}{{&nulls, pathNull}, {&posts, pathLogs}} {
			one, err := singles(m.one, side.path, m.fanOut, m.Duration/turns)
			if err != nil {
				return err
			}
			if n > 0 { // the first turn warms up
				side.add(one)
			}
		}
	}
	post, null := posts.rate(), nulls.rate()
	err := m.report(Line{
		Name: "single POST / null handler", Value: post / null, Unit: "ratio", Least: true, Floor: 0.35, Goal: 0.5,
		Cache: "warm", Workers: "off", Connections: m.fanOut, Samples: len(posts.each),
		Sides: map[string]float64{"post_per_s": post, "null_per_s": null},
	})
	if err != nil {
		return err
	}
	return m.profiled(ctx, "single", func(d time.Duration) error {
		_, err := singles(m.one, pathLogs, m.fanOut, d)
		return err
	})
}

// latency takes the three sides in turn, request by request.
func (m *writeRatios) latency(ctx context.Context) error {
	c, err := dial(m.p.addr)
	if err != nil {
		return err
	}
	defer c.close()
	bodies, err := entries(0, m.Samples)
	if err != nil {
		return err
	}
	sides := map[string]times{}
	for _, body := range bodies {
		for _, path := range []string{pathNull, pathLogs} {
			start := time.Now()
			if _, err := c.want(http.StatusCreated, "POST", path, m.p.tokens["writer"], body); err != nil {
				return err
			}
			sides[path] = append(sides[path], time.Since(start))
		}
		took, err := m.limit.insert(ctx, 1)
		if err != nil {
			return err
		}
		sides["bare"] = append(sides["bare"], took)
	}
	post, null, insert := sides[pathLogs].ms(0.5), sides[pathNull].ms(0.5), sides["bare"].ms(0.5)
	return m.report(Line{
		Name: "(p50 POST - p50 null) / p50 bare insert", Value: (post - null) / insert, Unit: "ratio", Floor: 2, Goal: 1.5,
		Cache: "warm", Workers: "off", Connections: 1, Samples: len(bodies),
		Sides: map[string]float64{"post_ms": post, "null_ms": null, "bare_ms": insert},
	})
}
