package httpapi

import (
	"context"
	"net/http"
	"net/http/pprof"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// OpsDeps is what the ops listener shows. It belongs on an address that only operators reach: it asks for no credential.
type OpsDeps struct {
	// Checks are the dependencies by name; an error says what is missing. Those in Required decide whether appends work.
	Checks   map[string]func(ctx context.Context) error
	Required []string
	// Draining turns readiness off; nil never does.
	Draining func() bool
	Metrics  prometheus.Gatherer
	// Extra are further handlers by pattern, e.g. "POST /ops/rebuild".
	Extra map[string]http.Handler
}

// readiness is the answer of /readyz.
type readiness struct {
	Status       string            `json:"status"` // "ready", "unready" or "draining"
	Dependencies map[string]string `json:"dependencies"`
}

// checkTime bounds all checks of one look at readiness.
const checkTime = 2 * time.Second

// OpsHandler serves /healthz, /readyz, /metrics, /debug/pprof and the extra handlers. /readyz is 200 while appends work,
// whatever else is broken, and names every dependency.
func OpsHandler(d OpsDeps) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeBytes(w, http.StatusOK, []byte(`{"status":"alive"}`))
	})
	mux.HandleFunc("GET /readyz", d.ready)
	mux.Handle("GET /metrics", promhttp.HandlerFor(d.Metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	for pattern, h := range d.Extra {
		mux.Handle(pattern, h)
	}
	return mux
}

func (d OpsDeps) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), checkTime)
	defer cancel()
	answer, status := readiness{Status: "ready", Dependencies: map[string]string{}}, http.StatusOK
	// Side by side: one that hangs takes all the time there is, and must not be taken for the failure of others.
	var all sync.WaitGroup
	var mu sync.Mutex // guards answer.Dependencies
	for name, check := range d.Checks {
		all.Go(func() {
			text := "ok"
			if err := check(ctx); err != nil {
				text = err.Error()
			}
			mu.Lock()
			defer mu.Unlock()
			answer.Dependencies[name] = text
		})
	}
	all.Wait()
	for _, name := range d.Required {
		if answer.Dependencies[name] != "ok" {
			answer.Status, status = "unready", http.StatusServiceUnavailable
		}
	}
	if d.Draining != nil && d.Draining() {
		answer.Status, status = "draining", http.StatusServiceUnavailable
	}
	if err := writeJSON(w, status, answer); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}
