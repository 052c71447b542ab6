package bench

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// schedule is requests that are due at fixed moments, whatever becomes of those before them.
type schedule struct {
	rate float64 // requests a second
	n    int
	over <-chan struct{} // closed: what is not sent by then is left out; nil: all are sent
}

// due is when request n is to be sent.
func (s schedule) due(n int) time.Duration {
	return time.Duration(float64(n) / s.rate * float64(time.Second))
}

// kept is a schedule that was kept.
type kept struct {
	answered       // each counts from the moment that the request was due
	late     times // from that moment until it was sent
}

func (k *kept) add(o kept) {
	k.answered.add(o.answered)
	k.late = append(k.late, o.late...)
}

// keep sends the requests over connections that are open: the next that is free takes the next request and waits for its
// moment. When none is free, or the generator is late, the request is sent later, but its time counts from the moment when it
// was due: a service that stalls is charged for all that had come meanwhile (no coordinated omission).
func (s schedule) keep(conns int, send func(conn, n int) error) (kept, error) {
	sent := make([]kept, conns)
	var next atomic.Int64
	all, ctx := errgroup.WithContext(context.Background())
	start := time.Now()
	for conn := range conns {
		all.Go(func() error {
			for n := int(next.Add(1)) - 1; n < s.n && ctx.Err() == nil; n = int(next.Add(1)) - 1 {
				due := start.Add(s.due(n))
				time.Sleep(time.Until(due))
				select {
				case <-s.over:
					return nil
				default:
				}
				late := time.Since(due)
				if err := send(conn, n); err != nil {
					return err
				}
				sent[conn].late = append(sent[conn].late, late)
				sent[conn].each = append(sent[conn].each, time.Since(due))
			}
			return nil
		})
	}
	err := all.Wait()
	var k kept
	for _, one := range sent {
		k.add(one)
	}
	k.took = time.Since(start)
	return k, err
}

// posts keeps the schedule with single entries.
func (s schedule) posts(to crowd, conns int) (kept, error) {
	bodies, err := entries(0, 1000)
	if err != nil {
		return kept{}, err
	}
	open := make([]*conn, conns)
	for i := range open {
		if open[i], err = dial(to.addr); err != nil {
			return kept{}, err
		}
		defer open[i].close()
	}
	return s.keep(conns, func(conn, n int) error {
		_, err := open[conn].want(http.StatusCreated, "POST", pathLogs, to.next(), bodies[n%len(bodies)])
		return err
	})
}

// openRates are the parts of the closed loop's rate at which entries come.
var openRates = []struct {
	part float64
	name string
}{{0.5, "half"}, {0.8, "0.8"}}

// openLoop measures how long entries take that come at a steady rate, beside a closed loop's: that sends less while the
// service is slow, and so leaves out what would have had to wait.
func (w *writer) openLoop(ctx context.Context) error {
	var closed answered
	kepts := make([]kept, len(openRates))
	rates := make([]float64, len(openRates)) // entries/s that come
	for n := range openTurns + 1 {
		one, err := singles(w.one, pathLogs, w.fanOut, w.Duration/openTurns)
		if err != nil {
			return err
		}
		if n == 0 { // it warms up
			continue
		}
		closed.add(one)
		for i, r := range openRates {
			rate := r.part * closed.rate()
			k, err := schedule{rate: rate, n: max(1, int(rate*w.Duration.Seconds()/openTurns))}.posts(w.one, w.fanOut)
			if err != nil {
				return err
			}
			kepts[i].add(k)
			rates[i] += rate / openTurns
		}
	}
	for i, r := range openRates {
		k := kepts[i]
		err := w.report(Line{
			Name: fmt.Sprintf("single POST at %s of the closed loop's rate, p99 from when it was due", r.name), Value: k.each.ms(0.99), Unit: "ms",
			Cache: "warm", Workers: "off", Connections: w.fanOut, Samples: len(k.each), Load: rates[i],
			Sides: map[string]float64{
				"p50_ms": k.each.ms(0.5), "p99.9_ms": k.each.ms(0.999), "most_ms": k.each.ms(1), "per_s": k.rate(), "sent_late_p50_ms": k.late.ms(0.5), "sent_late_p99_ms": k.late.ms(0.99),
				"closed_p50_ms": closed.each.ms(0.5), "closed_p99_ms": closed.each.ms(0.99), "closed_p99.9_ms": closed.each.ms(0.999), "closed_per_s": closed.rate(),
			},
		})
		if err != nil {
			return err
		}
	}
	rate := 0.8 * closed.rate()
	return w.profiled(ctx, "open", func(d time.Duration) error {
		_, err := schedule{rate: rate, n: max(1, int(rate*d.Seconds()))}.posts(w.one, w.fanOut)
		return err
	})
}

// openTurns is how often the loops take turns: fewer than other sides, so that a rate lasts.
const openTurns = 2
