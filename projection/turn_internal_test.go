package projection

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// Those who wait get their turn in order of arrival, and virtual time goes on while they do.
func TestTurnsComeInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu turn
		var got []int
		began := time.Now()
		for i := range 20 {
			go func() {
				mu.Lock()
				defer mu.Unlock()
				got = append(got, i)
				time.Sleep(time.Second)
			}()
			synctest.Wait()
		}
		mu.Lock()
		defer mu.Unlock()
		if !slices.IsSorted(got) || len(got) != 20 {
			t.Errorf("turns of %v", got)
		}
		if took := time.Since(began); took != 20*time.Second {
			t.Errorf("20 turns of a second took %v", took)
		}
	})
}
