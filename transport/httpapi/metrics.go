package httpapi

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics count requests by route, never by tenant: labels are a small fixed set.
type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	streams  prometheus.Gauge
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
	verb = method(verb)
	m.requests.WithLabelValues(verb, route, strconv.Itoa(status)).Inc()
	m.seconds.WithLabelValues(verb, route).Observe(seconds)
}
