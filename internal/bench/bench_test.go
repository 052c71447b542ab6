package bench

import (
	"testing"
	"time"
)

func TestVerdict(t *testing.T) {
	for _, c := range []struct {
		line Line
		want string
	}{
		{Line{Value: 0.8, Floor: 0.35, Goal: 0.7, Least: true}, "goal"},
		{Line{Value: 0.5, Floor: 0.35, Goal: 0.7, Least: true}, "floor"},
		{Line{Value: 0.3, Floor: 0.35, Goal: 0.7, Least: true}, "MISSED"},
		{Line{Value: 1.4, Floor: 2, Goal: 1.5}, "goal"},
		{Line{Value: 2, Floor: 2, Goal: 1.5}, "floor"},
		{Line{Value: 2.1, Floor: 2, Goal: 1.5}, "MISSED"},
		{Line{Value: 64, Floor: 64}, "floor"},
		{Line{Value: 5}, "stated"},
		{Line{Value: 0.7, Goal: 0.7, Least: true}, "goal"},
		{Line{Value: 0.6, Goal: 0.7, Least: true}, "stated"},
	} {
		if got := c.line.verdict(); got != c.want {
			t.Errorf("%+v: %s, want %s", c.line, got, c.want)
		}
	}
}

func TestQuantiles(t *testing.T) {
	var all times
	for n := range 100 {
		all = append(all, time.Duration(99-n)*time.Millisecond)
	}
	for q, want := range map[float64]float64{0: 0, 0.5: 50, 0.99: 99, 1: 99} {
		if got := all.ms(q); got != want {
			t.Errorf("quantile %v is %v ms, want %v", q, got, want)
		}
	}
	if got := (times{}).ms(0.5); got != 0 {
		t.Errorf("of nothing: %v", got)
	}
}
