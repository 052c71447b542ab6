package httpapi_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"auditlog/transport/httpapi"
)

// shortly is longer than what one look at readiness is good for.
const shortly = 3 * time.Second

func TestOps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storeErr, searchErr, draining := error(nil), error(nil), false
		h := httpapi.OpsHandler(httpapi.OpsDeps{
			Checks: map[string]func(context.Context) error{
				"event_store": func(context.Context) error { return storeErr }, "search": func(context.Context) error { return searchErr },
			},
			Required: []string{"event_store"}, Draining: func() bool { return draining }, Metrics: prometheus.NewRegistry(),
			Extra: map[string]http.Handler{"POST /ops/rebuild": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) })},
		})
		ask := func(method, path string) (int, string) {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(method, path, nil))
			return w.Code, w.Body.String()
		}
		for _, c := range []struct {
			method, path string
			status       int
		}{{"GET", "/healthz", 200}, {"GET", "/readyz", 200}, {"GET", "/metrics", 200}, {"GET", "/debug/pprof/", 200}, {"POST", "/ops/rebuild", 202},
			{"GET", "/ops/rebuild", 405}, {"POST", "/healthz", 405}, {"GET", "/api/v1/logs", 404}} {
			if status, body := ask(c.method, c.path); status != c.status {
				t.Errorf("%s %s: %d %s", c.method, c.path, status, body)
			}
		}
		ready := func(name string, wantStatus int, want string) {
			t.Helper()
			if status, body := ask("GET", "/readyz"); status != wantStatus || body != want {
				t.Errorf("%s: %d %s", name, status, body)
			}
		}
		searchErr = errors.New("index is being rebuilt")
		time.Sleep(shortly)
		ready("search down", 200, `{"status":"ready","dependencies":{"event_store":"ok","search":"index is being rebuilt"}}`)
		storeErr = errors.New("disk full")
		time.Sleep(shortly)
		ready("store down", 503, `{"status":"unready","dependencies":{"event_store":"disk full","search":"index is being rebuilt"}}`)
		storeErr, searchErr = nil, nil
		time.Sleep(shortly)
		ready("all well", 200, `{"status":"ready","dependencies":{"event_store":"ok","search":"ok"}}`)
		draining = true // no look is needed to know that
		ready("draining", 503, `{"status":"draining","dependencies":{"event_store":"ok","search":"ok"}}`)
	})
}

// A dependency that hangs is the only one that is said to be missing.
func TestReadinessNamesWhatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		checks := map[string]func(context.Context) error{"hangs": func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }}
		for _, name := range []string{"a", "b", "c", "x", "y", "z"} {
			checks[name] = func(ctx context.Context) error { return ctx.Err() }
		}
		w := httptest.NewRecorder()
		h := httpapi.OpsHandler(httpapi.OpsDeps{Checks: checks, Required: []string{"hangs"}, Metrics: prometheus.NewRegistry()})
		h.ServeHTTP(w, httptest.NewRequest("GET", "/readyz", nil))
		want := `{"status":"unready","dependencies":{"a":"ok","b":"ok","c":"ok","hangs":"context deadline exceeded","x":"ok","y":"ok","z":"ok"}}`
		if w.Code != http.StatusServiceUnavailable || w.Body.String() != want {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}

// However many probe, dependencies are asked once in a while: each question to a queue service is billed.
func TestProbesShareALook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var looks atomic.Int64
		var answer atomic.Pointer[string]
		h := httpapi.OpsHandler(httpapi.OpsDeps{
			Checks: map[string]func(context.Context) error{"bus": func(ctx context.Context) error {
				looks.Add(1)
				select {
				case <-time.After(100 * time.Millisecond):
				case <-ctx.Done():
					return ctx.Err()
				}
				if text := answer.Load(); text != nil {
					return errors.New(*text)
				}
				return nil
			}},
			Required: []string{"bus"}, Metrics: prometheus.NewRegistry(),
		})
		probe := func(ctx context.Context) int {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", "/readyz", nil))
			return w.Code
		}
		gone, leave := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() { probe(gone) }) // whose look others wait for
		synctest.Wait()
		for range 20 {
			all.Go(func() {
				if status := probe(t.Context()); status != http.StatusOK {
					t.Errorf("%d while one prober left", status)
				}
			})
		}
		synctest.Wait()
		leave()
		all.Wait()
		if n := looks.Load(); n != 1 {
			t.Errorf("%d looks for probes at one time", n)
		}
		began, before := time.Now(), looks.Load()
		for time.Since(began) < time.Minute { // six probers, each every 3 s
			time.Sleep(500 * time.Millisecond)
			probe(t.Context())
		}
		if n := looks.Load() - before; n < 20 || n > 30 {
			t.Errorf("%d looks a minute", n)
		}
		down, failed := "queue is missing", time.Now()
		answer.Store(&down)
		for probe(t.Context()) == http.StatusOK {
			time.Sleep(100 * time.Millisecond)
		}
		if late := time.Since(failed); late > shortly {
			t.Errorf("said to be ready %s after it was not", late)
		}
	})
}
