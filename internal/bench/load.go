package bench

import (
	"net/http"
	"slices"
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

// crowd is tenants of one service, to which requests go in turn.
type crowd struct {
	addr   string
	tokens []string
	turn   *atomic.Int64
}

func newCrowd(addr string, tokens ...string) crowd { return crowd{addr, tokens, new(atomic.Int64)} }

// next is the token of the tenant whose turn it is.
func (c crowd) next() string { return c.tokens[int(c.turn.Add(1)-1)%len(c.tokens)] }

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

// bulks is the time of n bulks over bulkConns connections.
func bulks(to crowd, bodies [][]byte, n int) (time.Duration, error) {
	var next atomic.Int64
	var all errgroup.Group
	start := time.Now()
	for range bulkConns {
		all.Go(func() error {
			c, err := dial(to.addr)
			if err != nil {
				return err
			}
			defer c.close()
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if _, err := c.want(http.StatusCreated, "POST", pathBulk, to.next(), bodies[i%len(bodies)]); err != nil {
					return err
				}
			}
			return nil
		})
	}
	err := all.Wait()
	return time.Since(start), err
}

// answered is requests that were answered, and in which time.
type answered struct {
	took time.Duration
	each times
}

func (a *answered) add(o answered) {
	a.took += o.took
	a.each = append(a.each, o.each...)
}

func (a answered) rate() float64 { return float64(len(a.each)) / a.took.Seconds() }

// singles posts over many connections, each as soon as its last request is answered: for d, and until what is under way
// then is answered.
func singles(to crowd, path string, conns int, d time.Duration) (answered, error) {
	bodies, err := entries(0, 1000)
	if err != nil {
		return answered{}, err
	}
	each := make([]times, conns)
	var all errgroup.Group
	start := time.Now()
	deadline := start.Add(d)
	for i := range conns {
		all.Go(func() error {
			c, err := dial(to.addr)
			if err != nil {
				return err
			}
			defer c.close()
			begin := time.Now()
			for n := i; begin.Before(deadline); n++ {
				if _, err := c.want(http.StatusCreated, "POST", path, to.next(), bodies[n%len(bodies)]); err != nil {
					return err
				}
				end := time.Now()
				each[i] = append(each[i], end.Sub(begin))
				begin = end
			}
			return nil
		})
	}
	err = all.Wait()
	return answered{time.Since(start), slices.Concat(each...)}, err
}
