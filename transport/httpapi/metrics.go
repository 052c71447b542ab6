package httpapi

import (
	"errors"
	"strconv"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"auditlog/internal/limit"
)

// metrics count requests by route, never by tenant: labels are a small fixed set.
type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	refused  *prometheus.CounterVec
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
func newMetrics(reg prometheus.Registerer, slots slots) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "auditlog_http_requests_total", Help: "Requests answered, by method, route and status.",
		}, []string{"method", "route", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "auditlog_http_request_seconds", Help: "Time from a request's head to the end of its answer.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10},
		}, []string{"method", "route"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "auditlog_http_refused_total", Help: "Requests refused before they reached a lane or a query (429, 503 overloaded), by what is used up.",
		}, []string{"reason"}),
		streams: prometheus.NewGauge(prometheus.GaugeOpts{Name: "auditlog_http_streams", Help: "Live streams that are open."}),
	}
	if reg != nil {
		reg.MustRegister(m.requests, m.seconds, m.refused, m.streams)
		slots.register(reg)
	}
	return m
}

// register shows how many of the slots are in use.
func (s slots) register(reg prometheus.Registerer) {
	size := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "auditlog_http_slots", Help: "Bound of what is in hand at once: requests, or bytes of bodies; 0 is none.",
	}, []string{"kind"})
	reg.MustRegister(size)
	for kind, pool := range map[string]*limit.Pool{"writes": s.writes, "reads": s.reads, "downloads": s.downloads, "body_bytes": s.bodies} {
		size.WithLabelValues(kind).Set(float64(pool.Size()))
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "auditlog_http_slots_used", Help: "What is in hand: requests, or bytes of bodies.", ConstLabels: prometheus.Labels{"kind": kind},
		}, func() float64 { return float64(pool.Held()) }))
	}
}

// refuse counts a refusal for want of room; the append lanes count theirs themselves.
func (m *metrics) refuse(err error) {
	if l, ok := errors.AsType[*limited](err); ok {
		m.refused.WithLabelValues(l.reason).Inc()
	}
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
