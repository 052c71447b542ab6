package bench

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"auditlog/eventstore"
	"auditlog/eventstore/sqlite"
	"auditlog/internal/seed"
)

const (
	pathLogs = "/api/v1/logs"
	pathBulk = "/api/v1/logs/bulk"
	pathNull = "/api/v1/bench/null"

	bulkEntries = 1000
	fanOut      = 64
)

// entries makes entries of about 600 bytes without idempotency keys: the other side stores events alone.
func entries(from, count int) ([][]byte, error) {
	g := seed.New(1, 1_000_000, time.Now().UTC().Truncate(24*time.Hour), 30)
	g.Key = false
	out := make([][]byte, count)
	for i := range out {
		var err error
		if out[i], err = g.Append(nil, int64(from+i)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func bulkBody(entries [][]byte) []byte {
	b := []byte(`{"entries":[`)
	for i, e := range entries {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, e...)
	}
	return append(b, `]}`...)
}

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

// writes measures what is acknowledged durable while projections are stopped, against bare inserts of the same rows and
// against a handler that stores nothing.
func (r *run) writes(ctx context.Context) error {
	dir, err := r.fresh("writes-")
	if err != nil {
		return err
	}
	p, err := launch(ctx, r.Binary, dir, "--workers=off")
	if err != nil {
		return err
	}
	bulkRate, err := r.bulks(p)
	if err != nil {
		return err
	}
	for _, side := range []string{pathNull, pathLogs} { // warms both
		if _, err := r.singles(p, side, fanOut, r.Duration/5); err != nil {
			return err
		}
	}
	null, err := r.singles(p, pathNull, fanOut, r.Duration)
	if err != nil {
		return err
	}
	post, err := r.singles(p, pathLogs, fanOut, r.Duration)
	if err != nil {
		return err
	}
	nullTimes, err := r.latency(p, pathNull)
	if err != nil {
		return err
	}
	postTimes, err := r.latency(p, pathLogs)
	if err != nil {
		return err
	}
	if err := p.stop(); err != nil {
		return err
	}
	bareRate, bareTimes, err := r.bare(ctx, dir)
	if err != nil {
		return err
	}
	for _, l := range []Line{
		{
			Name: "bulk of 1,000 / bare inserts", Value: bulkRate / bareRate, Floor: 0.35, Goal: 0.7, Connections: 1, Samples: r.Bulks,
			Sides: map[string]float64{"bulk_entries_per_s": bulkRate, "bare_entries_per_s": bareRate},
		},
		{
			Name: "single POST / null handler", Value: post / null, Floor: 0.35, Goal: 0.5, Connections: fanOut, Samples: int(post * r.Duration.Seconds()),
			Sides: map[string]float64{"post_per_s": post, "null_per_s": null},
		},
	} {
		l.Unit, l.Least, l.Cache, l.Workers = "ratio", true, "warm", "off"
		if err := r.report(l); err != nil {
			return err
		}
	}
	return r.report(Line{
		Name: "(p50 POST - p50 null) / p50 bare insert", Value: (postTimes.ms(0.5) - nullTimes.ms(0.5)) / bareTimes.ms(0.5), Unit: "ratio",
		Floor: 2, Goal: 1.5, Cache: "warm", Workers: "off", Connections: 1, Samples: len(postTimes),
		Sides: map[string]float64{"post_ms": postTimes.ms(0.5), "null_ms": nullTimes.ms(0.5), "bare_ms": bareTimes.ms(0.5)},
	})
}

// bulks is entries per second over one connection.
func (r *run) bulks(p *process) (float64, error) {
	c, err := dial(p.addr)
	if err != nil {
		return 0, err
	}
	defer c.close()
	bodies := make([][]byte, 10)
	for i := range bodies {
		e, err := entries(i*bulkEntries, bulkEntries)
		if err != nil {
			return 0, err
		}
		bodies[i] = bulkBody(e)
	}
	start := time.Now()
	for n := range r.Bulks {
		if _, err := c.want(http.StatusCreated, "POST", pathBulk, p.tokens["writer"], bodies[n%len(bodies)]); err != nil {
			return 0, err
		}
	}
	return float64(r.Bulks*bulkEntries) / time.Since(start).Seconds(), nil
}

// singles is requests per second over many connections.
func (r *run) singles(p *process, path string, connections int, d time.Duration) (float64, error) {
	bodies, err := entries(0, 1000)
	if err != nil {
		return 0, err
	}
	var done atomic.Int64
	failures := make(chan error, connections)
	var all sync.WaitGroup
	deadline := time.Now().Add(d)
	for i := range connections {
		all.Go(func() {
			c, err := dial(p.addr)
			if err != nil {
				failures <- err
				return
			}
			defer c.close()
			for n := i; time.Now().Before(deadline); n++ {
				if _, err := c.want(http.StatusCreated, "POST", path, p.tokens["writer"], bodies[n%len(bodies)]); err != nil {
					failures <- err
					return
				}
				done.Add(1)
			}
		})
	}
	all.Wait()
	close(failures)
	return float64(done.Load()) / d.Seconds(), <-failures
}

// latency is the time of each request over one connection.
func (r *run) latency(p *process, path string) (times, error) {
	c, err := dial(p.addr)
	if err != nil {
		return nil, err
	}
	defer c.close()
	bodies, err := entries(0, r.Samples)
	if err != nil {
		return nil, err
	}
	took := make(times, 0, len(bodies))
	for _, body := range bodies {
		start := time.Now()
		if _, err := c.want(http.StatusCreated, "POST", path, p.tokens["writer"], body); err != nil {
			return nil, err
		}
		took = append(took, time.Since(start))
	}
	return took, nil
}

// bare inserts the rows that the service stored into the same tables: in batches of 1,000, then one by one.
func (r *run) bare(ctx context.Context, dir string) (rate float64, single times, err error) {
	store, err := sqlite.Open(ctx, filepath.Join(dir, "events.db"), sqlite.Options{})
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = store.Close() }() // it was only read
	limit, err := sqlite.OpenBaseline(filepath.Join(dir, "baseline.db"))
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = limit.Close() }() // it is thrown away
	var spent time.Duration
	at, inserted := eventstore.Offset(0), 0
	for inserted < r.Bulks*bulkEntries {
		page, err := store.ReadShard(ctx, 0, at, bulkEntries)
		if err != nil || len(page) == 0 {
			return 0, nil, fmt.Errorf("the store holds %d of %d rows: %w", inserted, r.Bulks*bulkEntries, err)
		}
		start := time.Now()
		if err := limit.Insert(ctx, page); err != nil {
			return 0, nil, err
		}
		spent += time.Since(start)
		at, inserted = page[len(page)-1].Offset, inserted+len(page)
	}
	rest, err := store.ReadShard(ctx, 0, at, r.Samples)
	if err != nil {
		return 0, nil, err
	}
	for i := range rest {
		start := time.Now()
		if err := limit.Insert(ctx, rest[i:i+1]); err != nil {
			return 0, nil, err
		}
		single = append(single, time.Since(start))
	}
	return float64(inserted) / spent.Seconds(), single, nil
}
