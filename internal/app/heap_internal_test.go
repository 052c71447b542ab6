package app

import "testing"

// What may gather beside a small heap is bounded by the room, beside a large one by what lives.
func TestGCPercent(t *testing.T) {
	for _, c := range []struct {
		liveMiB uint64
		want    int
	}{{0, mostPercent}, {1, mostPercent}, {16, 400}, {32, 200}, {64, leastPercent}, {1000, leastPercent}} {
		if got := gcPercent(c.liveMiB << 20); got != c.want {
			t.Errorf("%d MiB alive: %d %%, want %d", c.liveMiB, got, c.want)
		}
	}
}
