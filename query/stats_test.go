package query_test

import (
	"context"
	"testing"
	"time"

	"auditlog/eventstore"
	"auditlog/internal/fault"
	"auditlog/query"
)

func micros(s string) *eventstore.Micros {
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err)
	}
	m := eventstore.MicrosOf(at)
	return &m
}

func TestStatsDefaults(t *testing.T) {
	for name, c := range map[string]struct {
		req      query.StatsRequest
		from, to string
		interval string
	}{
		"nothing given": {query.StatsRequest{}, "2026-10-24T10:01:00Z", "2026-11-23T10:01:00Z", "day"},
		"from":          {query.StatsRequest{From: micros("2026-11-23T00:00:00Z")}, "2026-11-23T00:00:00Z", "2026-11-23T10:01:00Z", "hour"},
		"to":            {query.StatsRequest{To: micros("2026-03-01T00:00:00Z")}, "2026-01-30T00:00:00Z", "2026-03-01T00:00:00Z", "day"},
		"7 days": {query.StatsRequest{From: micros("2026-01-01T00:00:00Z"), To: micros("2026-01-08T00:00:00Z")},
			"2026-01-01T00:00:00Z", "2026-01-08T00:00:00Z", "hour"},
		"7 days and a second": {query.StatsRequest{From: micros("2026-01-01T00:00:00Z"), To: micros("2026-01-08T00:00:01Z")},
			"2026-01-01T00:00:00Z", "2026-01-08T00:00:01Z", "day"},
		"366 days": {query.StatsRequest{From: micros("2024-01-01T00:00:00Z"), To: micros("2025-01-01T00:00:00Z"), Interval: "day"},
			"2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z", "day"},
		"1500 minutes": {query.StatsRequest{From: micros("2026-01-01T00:00:00Z"), To: micros("2026-01-02T01:00:00Z"), Interval: "minute"},
			"2026-01-01T00:00:00Z", "2026-01-02T01:00:00Z", "minute"},
	} {
		w := newWorld(t)
		w.recordMany(3)
		w.rolls.visible = 2
		w.rolls.answer = query.Stats{Total: 2}
		answer, err := w.q.Stats(context.Background(), w.reader, c.req)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		asked := w.rolls.asked[0]
		if asked.From != *micros(c.from) || asked.To != *micros(c.to) || asked.Interval != c.interval || asked.Tenant != w.reader.Tenant {
			t.Errorf("%s: asked %v to %v by %s", name, asked.From, asked.To, asked.Interval)
		}
		if answer.From != asked.From || answer.To != asked.To || answer.Interval != asked.Interval || answer.Total != 2 ||
			answer.CompleteTo.Position != 2 {
			t.Errorf("%s: %+v", name, answer)
		}
	}
}

func TestStatsPassesFilters(t *testing.T) {
	w := newWorld(t)
	req := query.StatsRequest{GroupBy: "action", Actions: []string{"A"}, Severities: []string{"INFO"}, Outcomes: []string{"denied"},
		ResourceTypes: []string{"r"}, ActorID: "alice"}
	if _, err := w.q.Stats(context.Background(), w.reader, req); err != nil {
		t.Fatal(err)
	}
	a := w.rolls.asked[0]
	if a.GroupBy != "action" || a.Actions[0] != "A" || a.Severities[0] != "INFO" || a.Outcomes[0] != "denied" || a.ResourceTypes[0] != "r" || a.ActorID != "alice" {
		t.Errorf("asked %+v", a)
	}
}

func TestStatsRefuses(t *testing.T) {
	w := newWorld(t)
	day, next := micros("2026-01-01T00:00:00Z"), micros("2026-01-02T00:00:00Z")
	for name, c := range map[string]struct {
		req  query.StatsRequest
		kind fault.Kind
	}{
		"F5 from after to":      {query.StatsRequest{From: next, To: day}, fault.Invalid},
		"from after now":        {query.StatsRequest{From: micros("2027-01-01T00:00:00Z")}, fault.Invalid},
		"F5 more than 366 days": {query.StatsRequest{From: micros("2024-01-01T00:00:00Z"), To: micros("2025-01-01T00:00:01Z")}, fault.Invalid},
		"H6 hours of a year":    {query.StatsRequest{From: micros("2025-01-01T00:00:00Z"), To: micros("2026-01-01T00:00:00Z"), Interval: "hour"}, fault.TooManyBuckets},
		"H6 1501 minutes":       {query.StatsRequest{From: day, To: micros("2026-01-02T01:00:01Z"), Interval: "minute"}, fault.TooManyBuckets},
		"H6 interval=1ms":       {query.StatsRequest{From: day, To: next, Interval: "1ms"}, fault.Invalid},
		"H6 group_by=metadata":  {query.StatsRequest{GroupBy: "metadata.x"}, fault.Invalid},
	} {
		if _, err := w.q.Stats(context.Background(), w.reader, c.req); !fault.Is(err, c.kind) {
			t.Errorf("%s: %v, want %v", name, err, c.kind)
		}
	}
	if len(w.rolls.asked) != 0 {
		t.Errorf("the rollups were asked %+v", w.rolls.asked)
	}
	answer, err := w.q.Stats(context.Background(), w.reader, query.StatsRequest{From: day, To: day})
	if err != nil || answer.Total != 0 || len(answer.Buckets) != 0 || len(w.rolls.asked) != 0 {
		t.Errorf("F5 from = to: %+v, %v", answer, err)
	}
}
