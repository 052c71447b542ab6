package bench

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// feed sends bulks to targets in turn.
type feed struct {
	to    []target
	conns int
	each  int                                       // entries of a bulk
	take  func(ctx context.Context, n int64) bool   // waits until n entries may be sent; false when ctx ended
	body  func(bulk int64) (body []byte, more bool) // no more: the feed ends
}

// run sends until ctx or the bodies end, and gives how many entries were acknowledged.
func (f feed) run(ctx context.Context) (int64, error) {
	var next, sent atomic.Int64
	all, ctx := errgroup.WithContext(ctx)
	for i := range f.conns {
		all.Go(func() error {
			conns := map[string]*conn{}
			defer func() {
				for _, c := range conns {
					c.close()
				}
			}()
			for n := i; ; n += f.conns {
				to := f.to[n%len(f.to)]
				if conns[to.addr] == nil {
					c, err := dial(to.addr)
					if err != nil {
						return err
					}
					conns[to.addr] = c
				}
				if !f.take(ctx, int64(f.each)) {
					return nil
				}
				body, more := f.body(next.Add(1) - 1)
				if !more {
					return nil
				}
				if _, err := conns[to.addr].want(http.StatusCreated, "POST", pathBulk, to.token, body); err != nil {
					return err
				}
				sent.Add(int64(f.each))
			}
		})
	}
	err := all.Wait()
	return sent.Load(), err
}

// again gives the same few bodies again and again.
func again(each int) (func(int64) ([]byte, bool), error) {
	bodies, err := bulkBodies(20, each, arrival)
	return func(bulk int64) ([]byte, bool) { return bodies[bulk%int64(len(bodies))], true }, err
}

// pace lets so many entries through in a second, evenly. What comes late is made up for.
func pace(perSecond float64) func(ctx context.Context, n int64) bool {
	start := time.Now()
	var due atomic.Int64
	return func(ctx context.Context, n int64) bool {
		at := start.Add(time.Duration(float64(due.Add(n)-n) / perSecond * float64(time.Second)))
		select {
		case <-ctx.Done():
			return false
		case <-time.After(time.Until(at)):
			return ctx.Err() == nil
		}
	}
}

// under runs f while the feed runs, and gives what the feed sent in a second meanwhile.
func (f feed) under(ctx context.Context, work func() error) (rate float64, err error) {
	feeding, stop := context.WithCancel(ctx)
	defer stop()
	var all errgroup.Group
	var sent int64
	start := time.Now()
	all.Go(func() (err error) {
		sent, err = f.run(feeding)
		return err
	})
	workErr := work()
	took := time.Since(start)
	stop()
	if err := all.Wait(); err != nil {
		return 0, err
	}
	return float64(sent) / took.Seconds(), workErr
}
