package opensearch_test

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"testing"
	"time"

	"auditlog/projection"
	"auditlog/projection/search/opensearch"
	"auditlog/query"
)

// Whatever the server does for a while, under load: nothing is lost, doubled or parked, and lag is gone by itself after.
func TestOutagesHealThemselves(t *testing.T) {
	t.Parallel()
	const timeout = 500 * time.Millisecond
	late := func(w *world) func(http.ResponseWriter, *http.Request, [][]byte) {
		return func(rw http.ResponseWriter, r *http.Request, items [][]byte) {
			a := w.proxy.pass(r.WithContext(context.WithoutCancel(r.Context())), items)
			<-r.Context().Done() // the client gave up: the work is done, the answer comes to nobody
			reply(rw, a)
		}
	}
	for name, trouble := range map[string]func(w *world) func(http.ResponseWriter, *http.Request, [][]byte){
		"429_for_half": func(w *world) func(http.ResponseWriter, *http.Request, [][]byte) {
			return func(rw http.ResponseWriter, r *http.Request, items [][]byte) {
				var sent [][]byte
				for i := 1; i < len(items); i += 2 {
					sent = append(sent, items[i])
				}
				passed, a := w.proxy.pass(r, sent), answer{Errors: true}
				for i := range items {
					v := verdict(http.StatusTooManyRequests, "opensearch_rejected_execution_exception", "too much")
					if i%2 == 1 {
						v = passed.Items[i/2]
					}
					a.Items = append(a.Items, v)
				}
				reply(rw, a)
			}
		},
		"errors_for_all": func(*world) func(http.ResponseWriter, *http.Request, [][]byte) {
			return func(rw http.ResponseWriter, _ *http.Request, items [][]byte) {
				reply(rw, answerAll(len(items), verdict(http.StatusServiceUnavailable, "unavailable_shards_exception", "primary shard is not active")))
			}
		},
		"errors_without_items": func(*world) func(http.ResponseWriter, *http.Request, [][]byte) {
			return func(rw http.ResponseWriter, _ *http.Request, _ [][]byte) {
				reply(rw, answer{Errors: true, Items: []json.RawMessage{}})
			}
		},
		"late": late,
		"down": nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 20, func(c *opensearch.Config) {
				c.Requests = opensearch.Requests{Timeout: timeout, Patience: 300 * time.Millisecond}
			})
			w.rest(w.x)
			parking := &parking{}
			runner := projection.NewRunner(w.x, w.log, parking, projection.RunnerOptions{Log: w.cfg.Log, Sweep: 200 * time.Millisecond, Settle: 50 * time.Millisecond})
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			var running, load sync.WaitGroup
			running.Go(func() { _ = runner.Run(ctx) }) // ends with ctx
			if trouble != nil {
				w.proxy.set(trouble(w))
			} else {
				w.proxy.setAll(func(rw http.ResponseWriter, _ *http.Request) bool {
					rw.WriteHeader(http.StatusServiceUnavailable)
					return true
				})
			}
			before := w.proxy.requests()
			load.Go(func() {
				for range 5 {
					w.record(20)
					head := w.log.Head()
					_ = runner.Handle(ctx, w.log.Envelope(head-20, head)) // what fails is the sweeper's
				}
			})
			load.Wait()
			if w.proxy.requests() == before {
				t.Error("the server was not asked")
			}
			w.proxy.set(nil)
			w.proxy.setAll(nil)
			healthy := time.Now()
			w.await()
			t.Logf("lag gone %s after the server was well", time.Since(healthy).Round(time.Millisecond))
			stop()
			running.Wait()
			n, err := w.x.Count(t.Context(), query.IndexQuery{Tenant: tenant}, 10_000)
			if err != nil || n != int(w.log.Head()) || len(parking.all) != 0 {
				t.Errorf("%d of %d entries are found, %v; parked %+v", n, w.log.Head(), err, parking.all)
			}
		})
	}
}
