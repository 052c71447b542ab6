package bench

import (
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
	bulkConns   = 2 // one bulk is read and prepared while the other is written
)

// target is where entries of a tenant go.
type target struct{ addr, token string }

// A million entries of a tenant lie a month apart when they are history to search in, and a day apart when they arrive.
const (
	history = 30
	arrival = 1
)

// entries makes entries of about 600 bytes without idempotency keys: the other side stores events alone.
func entries(from, count int) ([][]byte, error) { return generate(from, count, false, history) }

func generate(from, count int, key bool, days int) ([][]byte, error) {
	g := seed.New(1, 1_000_000, time.Now().UTC().Truncate(24*time.Hour), days)
	g.Key = key
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

// bulkBodies are n bodies of so many entries each.
func bulkBodies(n, each, days int) ([][]byte, error) {
	bodies := make([][]byte, n)
	for i := range bodies {
		e, err := generate(i*each, each, false, days)
		if err != nil {
			return nil, err
		}
		bodies[i] = bulkBody(e)
	}
	return bodies, nil
}

// bulks is the time of n bulks over bulkConns connections for each target.
func bulks(to []target, n int) (time.Duration, error) {
	bodies, err := bulkBodies(min(n, 10), bulkEntries, arrival)
	if err != nil {
		return 0, err
	}
	var next atomic.Int64
	var all errgroup.Group
	start := time.Now()
	for i := range bulkConns * len(to) {
		t := to[i%len(to)]
		all.Go(func() error {
			c, err := dial(t.addr)
			if err != nil {
				return err
			}
			defer c.close()
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if _, err := c.want(http.StatusCreated, "POST", pathBulk, t.token, bodies[i%len(bodies)]); err != nil {
					return err
				}
			}
			return nil
		})
	}
	err = all.Wait()
	return time.Since(start), err
}

// singles is how many requests were answered over many connections, and in which time: d and what was under way then.
func singles(to target, path string, conns int, d time.Duration) (int64, time.Duration, error) {
	bodies, err := entries(0, 1000)
	if err != nil {
		return 0, 0, err
	}
	var done atomic.Int64
	failures := make(chan error, conns)
	var all sync.WaitGroup
	start := time.Now()
	deadline := start.Add(d)
	for i := range conns {
		all.Go(func() {
			c, err := dial(to.addr)
			if err != nil {
				failures <- err
				return
			}
			defer c.close()
			for n := i; time.Now().Before(deadline); n++ {
				if _, err := c.want(http.StatusCreated, "POST", path, to.token, bodies[n%len(bodies)]); err != nil {
					failures <- err
					return
				}
				done.Add(1)
			}
		})
	}
	all.Wait()
	took := time.Since(start)
	close(failures)
	return done.Load(), took, <-failures
}
