package overload

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// tally counts answers and how long they took.
type tally struct {
	wg   sync.WaitGroup
	took time.Duration // in which all was sent

	mu      sync.Mutex
	entries int             // acknowledged
	good    []time.Duration // from when a request was due to its 201
	other   []time.Duration // to any other answer
	late    []time.Duration // from when a request was due to when it was sent
	answers map[string]int  // by status and problem
	wrong   map[string]int  // answers that overload does not excuse
}

func newTally() *tally { return &tally{answers: map[string]int{}, wrong: map[string]int{}} }

func (y *tally) add(o outcome, late, took time.Duration) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.late = append(y.late, late)
	name := strings.TrimSpace(fmt.Sprintf("%d %s", o.status, o.problem))
	y.answers[name]++
	switch o.status {
	case http.StatusCreated:
		y.good = append(y.good, took)
		y.entries += len(o.receipts)
		return
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		if !o.retry {
			y.wrong[name+", without Retry-After"]++
		}
	default:
		y.wrong[name]++
	}
	y.other = append(y.other, took)
}

// goodput is how many 201 a second came of it.
func (y *tally) goodput() float64 { return float64(len(y.good)) / y.took.Seconds() }

// check fails the test for each kind of answer that is none of 201, 429 and 503, or bids nobody to come again.
func (y *tally) check(t *testing.T) {
	t.Helper()
	for name, n := range y.wrong {
		t.Errorf("%d answers: %s", n, name)
	}
}

func (y *tally) print(t *testing.T, what string) {
	t.Helper()
	t.Logf("%s: %d requests in %v; %.0f 201 and %.0f entries a second; 201 p50 %v p99 %v; others p50 %v p99 %v; sent late p99 %v", what,
		len(y.good)+len(y.other), y.took.Round(time.Millisecond), y.goodput(), float64(y.entries)/y.took.Seconds(),
		quantile(y.good, 0.5), quantile(y.good, 0.99), quantile(y.other, 0.5), quantile(y.other, 0.99), quantile(y.late, 0.99))
	for _, name := range slices.Sorted(maps.Keys(y.answers)) {
		t.Logf("  %7d  %s", y.answers[name], name)
	}
}

// quantile is the smallest of the values that a share q of them does not exceed; 0 for none.
func quantile(values []time.Duration, q float64) time.Duration {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)].Round(10 * time.Microsecond)
}
