package httpapi

import (
	"strconv"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics count requests by route, never by tenant: labels are a small fixed set.
type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	streams  prometheus.Gauge

	cells sync.Map // cellKey to *cell: the library hashes its labels anew for each request
}

// cellKey is one set of labels. All three are from small fixed sets, so cells are few.
type cellKey struct {
	verb, route string
	status      int
}

type cell struct {
	requests prometheus.Counter
	seconds  prometheus.Observer
}

// newMetrics registers with reg; nil keeps them to themselves.
func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "auditlog_http_requests_total", Help: "Requests answered, by method, route and status.",
		}, []string{"method", "route", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "auditlog_http_request_seconds", Help: "Time from a request's head to the end of its answer.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10},
		}, []string{"method", "route"}),
		streams: prometheus.NewGauge(prometheus.GaugeOpts{Name: "auditlog_http_streams", Help: "Live streams that are open."}),
	}
	if reg != nil {
		reg.MustRegister(m.requests, m.seconds, m.streams)
	}
	return m
}

func (m *metrics) observe(verb, route string, status int, seconds float64) {
	key := cellKey{method(verb), route, status}
	known, ok := m.cells.Load(key)
	if !ok {
		known, _ = m.cells.LoadOrStore(key, &cell{
			m.requests.WithLabelValues(key.verb, route, strconv.Itoa(status)), m.seconds.WithLabelValues(key.verb, route)})
	}
	c := known.(*cell)
	c.requests.Inc()
	c.seconds.Observe(seconds)
}
