package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"
)

// writer is a fresh service of either tier while no process works off what writes leave behind.
type writer struct {
	*run
	p      *process
	one    crowd        // the tenant that is measured
	fanOut int          // connections that post single entries
	secret secret       // signs tokens
	stack  *stack       // of the distributed tier
	dir    string       // of the embedded tier
	made   atomic.Int64 // tenants
}

// withWriter starts a service, measures, and removes it afterwards.
func (r *run) withWriter(ctx context.Context, measure func(context.Context, *writer) error) error {
	if r.Servers != (Servers{}) {
		return r.with(ctx, func(ctx context.Context, s *stack) error {
			p, err := s.api(ctx)
			if err != nil {
				return err
			}
			if p.tokens, err = s.tenant(p); err != nil {
				return err
			}
			return (&writer{run: r, p: p, fanOut: distributedFanOut, secret: s.secret, stack: s}).warm(ctx, measure)
		})
	}
	dir, err := r.fresh("writes-")
	if err != nil {
		return err
	}
	p, err := launch(ctx, r.Binary, dir, "--workers=off")
	if err != nil {
		return err
	}
	w := &writer{run: r, p: p, fanOut: embeddedFanOut, secret: p.secret, dir: dir}
	return errors.Join(w.warm(ctx, measure), p.stop())
}

// embeddedFanOut is how many connections post single entries to the embedded tier.
const embeddedFanOut = 64

func (w *writer) warm(ctx context.Context, measure func(context.Context, *writer) error) error {
	w.one = newCrowd(w.p.addr, w.p.tokens["writer"])
	bodies, err := bulkBodies(10, bulkEntries, arrival)
	if err != nil {
		return err
	}
	if _, err := bulks(w.one, bodies, 10); err != nil {
		return err
	}
	return measure(ctx, w)
}

// makers is how many connections make tenants.
const makers = 64

// tenants makes n more tenants, each of which has written once.
func (w *writer) tenants(n int) (crowd, error) {
	admin, err := w.secret.mint("admin", "")
	if err != nil {
		return crowd{}, err
	}
	tokens := make([]string, n)
	var next atomic.Int64
	var all errgroup.Group
	for range min(makers, n) {
		all.Go(func() error {
			c, err := dial(w.p.addr)
			if err != nil {
				return err
			}
			defer c.close()
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				id, err := createTenant(c, admin, fmt.Sprintf("many-%d", w.made.Add(1)))
				if err != nil {
					return err
				}
				if tokens[i], err = w.secret.mint("writer", id); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := all.Wait(); err != nil {
		return crowd{}, err
	}
	made := newCrowd(w.p.addr, tokens...)
	_, err = schedule{rate: atOnce, n: n}.posts(made, w.fanOut)
	return made, err
}

// atOnce is a rate at which all requests are due at the beginning.
const atOnce = 1e12

// createTenant gives the new tenant's id.
func createTenant(c *conn, admin, slug string) (string, error) {
	answer, err := c.want(http.StatusCreated, "POST", "/api/v1/tenants", admin, fmt.Appendf(nil, `{"slug":%q,"name":"Bench"}`, slug))
	if err != nil {
		return "", err
	}
	var t struct{ ID uuid.UUID }
	err = json.Unmarshal(answer, &t)
	return t.ID.String(), err
}

// peak is how fast writes of either kind went.
type peak struct {
	bulks  time.Duration
	bulked int // bulks
	posts  answered
}

func (p peak) entries() float64 { return float64(p.bulked*bulkEntries) / p.bulks.Seconds() }

// add sends so many bulks, then single entries for a while.
func (p *peak) add(to crowd, bodies [][]byte, n, fanOut int, d time.Duration) error {
	took, err := bulks(to, bodies, n)
	if err != nil {
		return err
	}
	p.bulks += took
	p.bulked += n
	posts, err := singles(to, pathLogs, fanOut, d)
	p.posts.add(posts)
	return err
}

// peaks reports both kinds of writes under what is measured against those without it.
func (w *writer) peaks(with, without peak, name string, floor, goal float64, change func(*Line)) error {
	for _, kind := range []struct {
		name          string
		with, without float64
		conns, n      int
	}{
		{"bulk of 1,000", with.entries(), without.entries(), bulkConns, with.bulked},
		{"single POST", with.posts.rate(), without.posts.rate(), w.fanOut, len(with.posts.each)},
	} {
		l := Line{
			Name: kind.name + ", " + name, Value: kind.with / kind.without, Unit: "ratio", Least: true, Floor: floor, Goal: goal,
			Cache: "warm", Workers: "off", Connections: kind.conns, Samples: kind.n,
			Sides: map[string]float64{"with_per_s": kind.with, "without_per_s": kind.without},
		}
		change(&l)
		if err := w.report(l); err != nil {
			return err
		}
	}
	return nil
}

// turns is how often sides take turns: each has bulks to send.
func (w *writer) turns() int { return max(1, min(turns, w.Bulks/bulkConns)) }

// each is the bulks of one turn of many.
func (w *writer) each(turns int) int { return bulkConns * max(1, w.Bulks/turns/bulkConns) }
