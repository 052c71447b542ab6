package bench

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// probes is how many connections record and look for entries at the same time: each waits for refreshes.
const probes = 32

// latencies measures how soon an entry is found and streamed while other tenants send half of what is sustained.
func (m *serverLine) latencies(ctx context.Context) error {
	if m.sustained == 0 { // that step was left out
		f, err := m.flow(ctx, m.Sustain)
		if err != nil {
			return err
		}
		m.sustained = f.rate()
	}
	rate := m.sustained / 2
	for _, measure := range []func() error{
		func() error {
			return m.reader.found(probes, Line{Floor: 1000, Goal: 250, Load: rate}, refresh)
		},
		func() error {
			return m.reader.streamed(ctx, Line{Floor: 250, Goal: 50, Load: rate})
		},
	} {
		load, err := m.load(bulkEntries, pace(rate)) // as when the rate was taken
		if err != nil {
			return err
		}
		sent, err := load.under(ctx, measure)
		if err != nil {
			return err
		}
		if sent < 0.9*rate {
			m.Say(fmt.Sprintf("  the load was less than it says: %.0f entries/s", sent))
		}
	}
	return m.meter.caughtUp(ctx)
}

const (
	callsRate  = 5000
	callsEach  = 50
	millionths = 1e6
)

// calls counts the requests to SQS while entries come at a steady rate.
func (m *serverLine) calls(ctx context.Context) error {
	load, err := m.load(callsEach, pace(callsRate))
	if err != nil {
		return err
	}
	before, err := m.busCalls()
	if err != nil {
		return err
	}
	first, err := m.meter.read(ctx)
	if err != nil {
		return err
	}
	start := time.Now()
	rate, err := load.under(ctx, func() error {
		select {
		case <-time.After(m.Sustain / 2):
		case <-ctx.Done():
		}
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	if err := m.meter.caughtUp(ctx); err != nil {
		return err
	}
	took := time.Since(start)
	after, err := m.busCalls()
	if err != nil {
		return err
	}
	last, err := m.meter.read(ctx)
	if err != nil {
		return err
	}
	events := float64(last.appended - first.appended)
	l := Line{
		Name: "SQS calls per million entries and destination", Unit: "calls", Floor: 60_000, Goal: 10_000,
		Cache: "warm", Workers: "on", Connections: loadConns, Samples: int(events), Load: callsRate,
		Sides: map[string]float64{"sent_entries_per_s": rate, "seconds_until_applied": took.Seconds()},
	}
	for operation, n := range after {
		per := (n - before[operation]) / events * millionths / float64(len(last.applied))
		l.Sides[operation] = per
		if operation != "other" {
			l.Value += per
		}
	}
	return m.report(l)
}

// busCalls is how often the workers called SQS to send, to receive, to delete, and for anything else.
func (m *serverLine) busCalls() (map[string]float64, error) {
	sums := map[string]float64{}
	for _, w := range m.workers {
		all, err := w.metrics("auditlog_queue_calls_total")
		if err != nil {
			return nil, err
		}
		for labels, n := range all {
			kind := "other"
			for part, name := range map[string]string{"SendMessage": "send", "ReceiveMessage": "receive", "DeleteMessage": "delete"} {
				if strings.Contains(labels, part) {
					kind = name
				}
			}
			sums[kind] += n
		}
	}
	return sums, nil
}
