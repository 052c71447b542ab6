package statetest

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"auditlog/projection/search/opensearch"
)

func refreshesKeepTheirDistance(t *testing.T, s opensearch.State) {
	turn := func(every time.Duration) time.Duration {
		t.Helper()
		left, err := s.RefreshTurn(t.Context(), every)
		if err != nil || left < 0 || left > every {
			t.Fatalf("%s are left of %s, %v", left, every, err)
		}
		return left
	}
	if left := turn(time.Hour); left != 0 {
		t.Errorf("the first waits %s", left)
	}
	for range 2 {
		if left := turn(time.Hour); left < 59*time.Minute {
			t.Errorf("the second may go ahead in %s", left)
		}
	}
	const short = 20 * time.Millisecond
	began := time.Now()
	for n := range 5 {
		for left := turn(short); left > 0; left = turn(short) {
			time.Sleep(left)
		}
		if after := time.Since(began); n > 0 && after < time.Duration(n)*short {
			t.Errorf("refresh %d begins after %s", n, after)
		}
	}
}

// Of all who ask at the same time one goes ahead.
func oneRefreshes(t *testing.T, s [2]opensearch.State) {
	for range 20 {
		const every = 50 * time.Millisecond
		var ahead atomic.Int64
		var all sync.WaitGroup
		began := time.Now()
		for i := range 8 {
			all.Go(func() {
				left, err := s[i%2].RefreshTurn(t.Context(), every)
				if err != nil {
					t.Error(err)
				}
				if left == 0 {
					ahead.Add(1)
				}
			})
		}
		all.Wait()
		if most := 1 + int64(time.Since(began)/every); ahead.Load() < 1 || ahead.Load() > most {
			t.Errorf("%d of 8 went ahead, want 1 to %d", ahead.Load(), most)
		}
		time.Sleep(every)
	}
}
