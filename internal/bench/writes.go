package bench

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"auditlog/internal/seed"
)

const (
	pathLogs = "/api/v1/logs"
	pathBulk = "/api/v1/logs/bulk"
	pathNull = "/api/v1/bench/null"

	bulkEntries = 1000
	fanOut      = 64
	bulkConns   = 2 // one bulk is read and prepared while the other is written
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

// turns is into how many pieces each side of a ratio is cut: both then meet the same disturbances of the machine.
const turns = 10

// writes measures what is acknowledged durable while projections are stopped, against bare inserts of the same rows and
// against a handler that stores nothing. Both sides take turns.
func (r *run) writes(ctx context.Context) error {
	limit, err := r.prepare(ctx)
	if err != nil {
		return err
	}
	defer limit.close()
	dir, err := r.fresh("writes-")
	if err != nil {
		return err
	}
	p, err := launch(ctx, r.Binary, dir, "--workers=off")
	if err != nil {
		return err
	}
	for _, measure := range []func(context.Context, *process, *bare) error{r.bulkRatio, r.singleRatio, r.latencyRatio} {
		if err := measure(ctx, p, limit); err != nil {
			return err
		}
	}
	return p.stop()
}

func (r *run) bulkRatio(ctx context.Context, p *process, limit *bare) error {
	var service, inserts time.Duration
	each := bulkConns * max(1, r.Bulks/turns/bulkConns)
	for range turns {
		took, err := r.bulks(p, each)
		if err != nil {
			return err
		}
		service += took
		for range each {
			took, err := limit.insert(ctx, bulkEntries)
			if err != nil {
				return err
			}
			inserts += took
		}
	}
	n := float64(turns * each * bulkEntries)
	bulkRate, bareRate := n/service.Seconds(), n/inserts.Seconds()
	return r.report(Line{
		Name: "bulk of 1,000 / bare inserts", Value: bulkRate / bareRate, Unit: "ratio", Least: true, Floor: 0.35, Goal: 0.7,
		Cache: "warm", Workers: "off", Connections: bulkConns, Samples: turns * each,
		Sides: map[string]float64{"bulk_entries_per_s": bulkRate, "bare_entries_per_s": bareRate},
	})
}

func (r *run) singleRatio(_ context.Context, p *process, _ *bare) error {
	counts := map[string]int64{}
	turn := r.Duration / turns
	for n := range turns + 1 {
		for _, side := range []string{pathNull, pathLogs} {
			done, err := r.singles(p, side, turn)
			if err != nil {
				return err
			}
			if n > 0 { // the first turn warms up
				counts[side] += done
			}
		}
	}
	post, null := float64(counts[pathLogs])/r.Duration.Seconds(), float64(counts[pathNull])/r.Duration.Seconds()
	return r.report(Line{
		Name: "single POST / null handler", Value: post / null, Unit: "ratio", Least: true, Floor: 0.35, Goal: 0.5,
		Cache: "warm", Workers: "off", Connections: fanOut, Samples: int(counts[pathLogs]),
		Sides: map[string]float64{"post_per_s": post, "null_per_s": null},
	})
}

// latencyRatio takes the three sides in turn, request by request.
func (r *run) latencyRatio(ctx context.Context, p *process, limit *bare) error {
	c, err := dial(p.addr)
	if err != nil {
		return err
	}
	defer c.close()
	bodies, err := entries(0, r.Samples)
	if err != nil {
		return err
	}
	sides := map[string]times{}
	for _, body := range bodies {
		for _, path := range []string{pathNull, pathLogs} {
			start := time.Now()
			if _, err := c.want(http.StatusCreated, "POST", path, p.tokens["writer"], body); err != nil {
				return err
			}
			sides[path] = append(sides[path], time.Since(start))
		}
		took, err := limit.insert(ctx, 1)
		if err != nil {
			return err
		}
		sides["bare"] = append(sides["bare"], took)
	}
	post, null, insert := sides[pathLogs].ms(0.5), sides[pathNull].ms(0.5), sides["bare"].ms(0.5)
	return r.report(Line{
		Name: "(p50 POST - p50 null) / p50 bare insert", Value: (post - null) / insert, Unit: "ratio", Floor: 2, Goal: 1.5,
		Cache: "warm", Workers: "off", Connections: 1, Samples: len(bodies),
		Sides: map[string]float64{"post_ms": post, "null_ms": null, "bare_ms": insert},
	})
}

// bulks is the time of n bulks over bulkConns connections, which n is a multiple of.
func (r *run) bulks(p *process, n int) (time.Duration, error) {
	bodies := make([][]byte, min(n, 10))
	for i := range bodies {
		e, err := entries(i*bulkEntries, bulkEntries)
		if err != nil {
			return 0, err
		}
		bodies[i] = bulkBody(e)
	}
	var all errgroup.Group
	start := time.Now()
	for first := range bulkConns {
		all.Go(func() error {
			c, err := dial(p.addr)
			if err != nil {
				return err
			}
			defer c.close()
			for i := first; i < n; i += bulkConns {
				if _, err := c.want(http.StatusCreated, "POST", pathBulk, p.tokens["writer"], bodies[i%len(bodies)]); err != nil {
					return err
				}
			}
			return nil
		})
	}
	err := all.Wait()
	return time.Since(start), err
}

// singles is how many requests were answered over many connections.
func (r *run) singles(p *process, path string, d time.Duration) (int64, error) {
	bodies, err := entries(0, 1000)
	if err != nil {
		return 0, err
	}
	var done atomic.Int64
	failures := make(chan error, fanOut)
	var all sync.WaitGroup
	deadline := time.Now().Add(d)
	for i := range fanOut {
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
	return done.Load(), <-failures
}
