package httpapi

import (
	"context"
	"net/http"
	"net/http/pprof"

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

// OpsHandler serves /healthz, /readyz, /metrics, /debug/pprof and the extra handlers. /readyz is 200 while appends work,
// whatever else is broken, and names every dependency, as it was at most lookAge before.
func OpsHandler(d OpsDeps) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeBytes(w, http.StatusOK, []byte(`{"status":"alive"}`))
	})
	mux.Handle("GET /readyz", newReadiness(d))
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
