package app

import (
	"context"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"auditlog/eventstore"
	"auditlog/projection"
	"auditlog/transport/bus/sqs"
)

// meters are the metrics of what lies behind HTTP. No label names a tenant.
type meters struct {
	registry *prometheus.Registry

	waited   *prometheus.HistogramVec
	refused  *prometheus.CounterVec
	flushes  *prometheus.HistogramVec
	flushed  prometheus.Counter
	applied  *prometheus.CounterVec
	failures *prometheus.CounterVec
	parked   *prometheus.CounterVec
	swept    *prometheus.CounterVec
	lag      *prometheus.GaugeVec
	sent     *prometheus.CounterVec
	relaying *prometheus.GaugeVec
	shards   *prometheus.GaugeVec
	poison   *prometheus.CounterVec
	calls    *prometheus.CounterVec
	messages *prometheus.GaugeVec
	oldest   *prometheus.GaugeVec
	purged   prometheus.Counter
	sharers  prometheus.Gauge
	accounts *prometheus.CounterVec
}

func newMeters() *meters {
	projections := []string{"projection"}
	counter := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, projections)
	}
	m := &meters{
		registry: prometheus.NewRegistry(),
		waited: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "auditlog_append_wait_seconds", Help: "Time before a flush of the unit in it that waited longest.",
			Buckets: []float64{.001, .005, .02, .1, .5, 2, 5},
		}, []string{"shard"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "auditlog_append_refused_total", Help: "Requests to append that were turned away, by reason: full, share, late, stopping.",
		}, []string{"shard", "reason"}),
		flushes: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "auditlog_append_flush_seconds", Help: "Time of one flush with its retries.",
			Buckets: []float64{.0005, .001, .002, .005, .01, .02, .05, .1, .25, .5, 1, 5},
		}, []string{"result"}),
		flushed:  prometheus.NewCounter(prometheus.CounterOpts{Name: "auditlog_append_entries_total", Help: "Entries in flushes that were stored."}),
		applied:  counter("auditlog_projection_applied_events_total", "Events applied."),
		failures: counter("auditlog_projection_failures_total", "Envelopes that could not be applied or sent, each try."),
		parked:   counter("auditlog_projection_parked_events_total", "Events set aside because they can never be applied."),
		swept:    counter("auditlog_projection_swept_events_total", "Events that the sweeper brought."),
		poison:   counter("auditlog_bus_poison_messages_total", "Messages that the bus set aside because they can never be read or applied."),
		relaying: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "auditlog_relay_lag_events", Help: "Events between a shard's head and what the bus took, of shards that this process relays.",
		}, []string{"projection", "shard"}),
		shards: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "auditlog_relay_held", Help: "1 for each shard that this process relays; over all processes each shard has one.",
		}, []string{"shard"}),
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "auditlog_queue_calls_total", Help: "Requests to the queue service, retries included.",
		}, []string{"operation"}),
		messages: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "auditlog_queue_messages", Help: "Messages of a queue by state: waiting, in_work, delayed, dead. About, as the service tells.",
		}, []string{"projection", "state"}),
		oldest: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "auditlog_queue_oldest_seconds", Help: "About the age of the oldest message of a queue.",
		}, projections),
		sent: counter("auditlog_relay_published_events_total", "Events that the bus took."),
		lag: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "auditlog_projection_lag_events", Help: "Events between a shard's head and the projection's cursor, at the last sweep.",
		}, []string{"projection", "shard"}),
		purged: prometheus.NewCounter(prometheus.CounterOpts{Name: "auditlog_purged_events_total", Help: "Events removed by retention."}),
		sharers: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "auditlog_limit_processes", Help: "Processes that share rates with this one, itself included, when the database was asked last; 0 until then.",
		}),
		accounts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "auditlog_limit_settlements_total", Help: "Statements by which busy rates are shared, by result: done, failed.",
		}, []string{"result"}),
	}
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		m.waited, m.refused, m.flushes, m.flushed, m.applied, m.failures, m.parked, m.swept, m.lag, m.sent, m.relaying, m.shards, m.poison, m.calls, m.messages, m.oldest, m.purged, m.sharers, m.accounts)
	return m
}

func shardLabel(s eventstore.Shard) string { return strconv.Itoa(int(s)) }

// lanes shows how much waits on each lane at the time of a look.
func (m *meters) lanes(shards int, waiting func(eventstore.Shard) (entries, bytes int)) {
	for shard := range eventstore.Shard(shards) { //nolint:gosec // a store has a few
		label := prometheus.Labels{"shard": shardLabel(shard)}
		m.registry.MustRegister(
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{
				Name: "auditlog_append_waiting_entries", Help: "Entries that wait to be appended.", ConstLabels: label,
			}, func() float64 { entries, _ := waiting(shard); return float64(entries) }),
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{
				Name: "auditlog_append_waiting_bytes", Help: "Bytes of the entries that wait to be appended.", ConstLabels: label,
			}, func() float64 { _, bytes := waiting(shard); return float64(bytes) }),
		)
	}
}

// Refused implements command.Observer.
func (m *meters) Refused(shard eventstore.Shard, why string) {
	m.refused.WithLabelValues(shardLabel(shard), why).Inc()
}

// Flushed implements command.Observer.
func (m *meters) Flushed(shard eventstore.Shard, _, entries int, waited, took time.Duration, err error) {
	m.waited.WithLabelValues(shardLabel(shard)).Observe(waited.Seconds())
	result := "stored"
	if err != nil {
		result = "failed"
	} else {
		m.flushed.Add(float64(entries))
	}
	m.flushes.WithLabelValues(result).Observe(took.Seconds())
}

func (m *meters) hooks() projection.Hooks {
	return projection.Hooks{
		Applied: func(d string, events int, _ time.Duration) { m.applied.WithLabelValues(d).Add(float64(events)) },
		Failed:  func(d string, _ error) { m.failures.WithLabelValues(d).Inc() },
		Parked:  func(d string) { m.parked.WithLabelValues(d).Inc() },
		Swept:   func(d string, events int) { m.swept.WithLabelValues(d).Add(float64(events)) },
		Lag: func(d string, shard eventstore.Shard, offsets int64) {
			m.lag.WithLabelValues(d, shardLabel(shard)).Set(float64(offsets))
		},
	}
}

func (m *meters) published(d string, events int, _ time.Duration) {
	m.sent.WithLabelValues(d).Add(float64(events))
}

func (m *meters) publishFailed(d string, _ error) { m.failures.WithLabelValues(d).Inc() }

// held tells which shards are relayed here; what is not held any more has no lag of ours.
func (m *meters) held(shard eventstore.Shard, held bool) {
	if held {
		m.shards.WithLabelValues(shardLabel(shard)).Set(1)
		return
	}
	m.shards.DeleteLabelValues(shardLabel(shard))
	m.relaying.DeletePartialMatch(prometheus.Labels{"shard": shardLabel(shard)})
}

func (m *meters) relayLag(d string, shard eventstore.Shard, offsets int64) {
	m.relaying.WithLabelValues(d, shardLabel(shard)).Set(float64(offsets))
}

func (m *meters) called(operation string) { m.calls.WithLabelValues(operation).Inc() }

func (m *meters) queue(s sqs.State) {
	for state, n := range map[string]int{"waiting": s.Waiting, "in_work": s.InWork, "delayed": s.Delayed, "dead": s.Dead} {
		m.messages.WithLabelValues(s.Destination, state).Set(float64(n))
	}
	m.oldest.WithLabelValues(s.Destination).Set(s.Oldest.Seconds())
}

// poisoned counts what a bus set aside.
func (m *meters) poisoned(_ context.Context, destination, _ string, _ []byte) {
	m.poison.WithLabelValues(destination).Inc()
}

func (m *meters) sharing(processes int) { m.sharers.Set(float64(processes)) }

func (m *meters) settled(_ int, err error) {
	result := "done"
	if err != nil {
		result = "failed"
	}
	m.accounts.WithLabelValues(result).Inc()
}

func (m *meters) removed(events int) { m.purged.Add(float64(events)) }
