package command

import (
	"testing"
	"time"
)

// Retry-After is what waits over how fast it goes, within its bounds, and always the same for the same.
func TestRetryFollowsTheDrainRate(t *testing.T) {
	steady := func(flushes int, each held, took time.Duration) (p pace) {
		for range flushes {
			p.flushed(each, took)
		}
		return p
	}
	stopped := steady(50, held{500, 500_000}, 100*time.Millisecond)
	for range 20 {
		stopped.flushed(held{}, 10*time.Second)
	}
	recovered := stopped
	for range 80 {
		recovered.flushed(held{500, 500_000}, 100*time.Millisecond)
	}
	for _, c := range []struct {
		name     string
		pace     pace
		waiting  held
		flying   time.Duration
		from, to time.Duration
	}{
		{"nothing known", pace{}, held{1000, 1e6}, 0, time.Second, time.Second},
		{"nothing known, and it hangs", pace{}, held{1000, 1e6}, 2 * time.Second, mostRetry, mostRetry},
		{"5,000 entries/s", steady(50, held{500, 500_000}, 100*time.Millisecond), held{20_000, 1e6}, 0, 4 * time.Second, 4 * time.Second},
		{"5 MB/s", steady(50, held{500, 500_000}, 100*time.Millisecond), held{1, 30e6}, 0, 6 * time.Second, 6 * time.Second},
		{"little waits", steady(50, held{500, 500_000}, time.Millisecond), held{500, 500_000}, 0, time.Second, time.Second},
		{"much waits", steady(50, held{1, 1000}, time.Second), held{16_000, 1e7}, 0, mostRetry, mostRetry},
		{"the flush in flight hangs", steady(50, held{500, 500_000}, 100*time.Millisecond), held{8000, 1e6}, 5 * time.Second, 8 * time.Second, 12 * time.Second},
		{"no flush succeeds", stopped, held{8000, 1e6}, 0, mostRetry, mostRetry},
		{"they succeed again", recovered, held{20_000, 1e6}, 0, 4 * time.Second, 4500 * time.Millisecond},
	} {
		got := c.pace.drains(c.waiting, c.flying).Round(time.Millisecond)
		if got < c.from || got > c.to {
			t.Errorf("%s: %v, want %v to %v", c.name, got, c.from, c.to)
		}
	}
}
