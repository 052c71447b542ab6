package query_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"auditlog/internal/fault"
	"auditlog/query"
)

// When the time for a search is over, the answer says whether asking less would help, or asking again.
func TestSearchTime(t *testing.T) {
	ring := newRing(t)
	slow := func(context.Context) error { time.Sleep(3 * time.Second); return nil }
	for name, c := range map[string]struct {
		index, store func(context.Context) error
		want         fault.Kind
	}{
		"H2: the index was at work": {index: slow, want: fault.QueryTooCostly},
		"the index was busy with others": {index: func(ctx context.Context) error {
			<-ctx.Done()
			return &fault.Error{Kind: fault.Overloaded, Cause: ctx.Err()}
		}, want: fault.Overloaded},
		"the index did not answer": {index: func(ctx context.Context) error {
			<-ctx.Done()
			return &fault.Error{Kind: fault.Unavailable, Cause: ctx.Err()}
		}, want: fault.Unavailable},
		"the store was busy with others":  {store: slow, want: fault.Overloaded},
		"the index judged before the end": {index: func(context.Context) error { return fault.New(fault.QueryTooCostly, "much") }, want: fault.QueryTooCostly},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorldOn(t, ring, query.Options{})
			w.recordMany(1)
			w.index.before = func(ctx context.Context, _ query.IndexQuery) error {
				if c.index == nil {
					return nil
				}
				return c.index(ctx)
			}
			w.store.before = func(call string) {
				if c.store != nil && call == "ReadPositions" {
					_ = c.store(t.Context())
				}
			}
			if _, err := w.q.Search(t.Context(), w.reader, query.SearchRequest{}); !fault.Is(err, c.want) {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorldOn(t, ring, query.Options{})
		w.recordMany(1)
		w.index.before = func(ctx context.Context, _ query.IndexQuery) error { return slow(ctx) }
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := w.q.Search(ctx, w.reader, query.SearchRequest{}); !errors.Is(err, context.DeadlineExceeded) || fault.Is(err, fault.QueryTooCostly) {
			t.Errorf("a caller who left: %v", err)
		}
	})
}

// Counts that took too long ask too much; what they wait for otherwise is not the reader's doing.
func TestStatsTime(t *testing.T) {
	ring := newRing(t)
	for name, c := range map[string]struct {
		slow string
		want fault.Kind
	}{"counting": {"", fault.QueryTooCostly}, "the store": {"Head", fault.Overloaded}} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorldOn(t, ring, query.Options{})
			w.recordMany(1)
			w.store.before = func(call string) {
				if call == c.slow {
					time.Sleep(3 * time.Second)
				}
			}
			w.rolls.before = func() {
				if c.slow == "" {
					time.Sleep(3 * time.Second)
				}
			}
			if _, err := w.q.Stats(t.Context(), w.reader, query.StatsRequest{}); !fault.Is(err, c.want) {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}
