package query_test

import (
	"context"
	"testing"
	"time"

	"auditlog/eventstore"
	"auditlog/internal/fault"
	"auditlog/query"
)

// Counts come from projections, which lag. From an erasure's commit on none may show what it covers: they wait for the
// projection to take it out, and give no answer rather than an old one.
func TestCountsWaitForErasures(t *testing.T) {
	w := newWorldOn(t, newRing(t), query.Options{ForgetTime: 20 * time.Millisecond})
	events := w.recordMany(4)
	w.rolls.visible = events[3].Offset
	if _, err := w.q.Stats(context.Background(), w.reader, query.StatsRequest{}); err != nil {
		t.Fatalf("stats before any erasure: %v", err)
	}
	gone := w.erase(events[0].ID)
	asked := len(w.rolls.asked)
	_, err := w.q.Stats(context.Background(), w.reader, query.StatsRequest{})
	if !fault.Is(err, fault.Unavailable) || len(w.rolls.asked) != asked {
		t.Fatalf("stats before the erasure was counted: %v, the rollups were asked %d times more", err, len(w.rolls.asked)-asked)
	}
	w.rolls.visible = gone.Offset
	if _, err := w.q.Stats(context.Background(), w.reader, query.StatsRequest{}); err != nil {
		t.Fatalf("stats after the erasure was counted: %v", err)
	}
	mark := w.purge(2)
	if _, err := w.q.Stats(context.Background(), w.reader, query.StatsRequest{}); !fault.Is(err, fault.Unavailable) {
		t.Fatalf("stats before the purge was counted: %v", err)
	}
	w.rolls.visible = mark.Offset
	if _, err := w.q.Stats(context.Background(), w.reader, query.StatsRequest{}); err != nil {
		t.Fatalf("stats after the purge was counted: %v", err)
	}
}

func TestTotalsWaitForErasures(t *testing.T) {
	w := newWorldOn(t, newRing(t), query.Options{ForgetTime: 20 * time.Millisecond})
	events := w.recordMany(6)
	w.index.setApplied(events[5].Offset)
	gone := w.erase(events[0].ID)
	w.index.setApplied(events[5].Offset)
	req := query.SearchRequest{Limit: 1, Total: true}
	if _, err := w.q.Search(context.Background(), w.reader, req); !fault.Is(err, fault.Unavailable) {
		t.Fatalf("a total before the index forgot: %v", err)
	}
	if _, err := w.q.Search(context.Background(), w.reader, query.SearchRequest{Limit: 1}); err != nil {
		t.Fatalf("a page alone needs no wait: %v", err)
	}
	w.index.setApplied(gone.Offset)
	if page, err := w.q.Search(context.Background(), w.reader, req); err != nil || page.Total.Value != 6 {
		t.Fatalf("a total after: %+v, %v", page.Total, err)
	}
}

func (x *memIndex) setApplied(o eventstore.Offset) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.applied = o
}
