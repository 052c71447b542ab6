package bench

import (
	"errors"
	"math"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A service that stalls once is charged for every request that was due meanwhile, though few of them could be sent.
func TestScheduleChargesStalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const (
			n     = 1000
			conns = 2
			cost  = 100 * time.Microsecond
			stall = 200 * time.Millisecond
		)
		start := time.Now()
		k, err := schedule{rate: 1000, n: n}.keep(conns, func(_, nth int) error {
			if at := time.Since(start); at >= 300*time.Millisecond && at < 300*time.Millisecond+stall { // nothing is answered before its end
				time.Sleep(300*time.Millisecond + stall - at)
			}
			time.Sleep(cost)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		var slow int
		for i, d := range k.each {
			if d < cost {
				t.Fatalf("request %d took %v", i, d)
			}
			if d > stall/2 {
				slow++
			}
		}
		if slow < 100 || slow > 130 { // those that were due in the first half of the stall
			t.Errorf("%d requests took more than %v, want about 100", slow, stall/2)
		}
		if most := k.each.at(1); most < stall || most > stall+2*cost {
			t.Errorf("the longest took %v, want %v", most, stall)
		}
		if late := k.late.at(1); late < stall*9/10 {
			t.Errorf("a request was sent at most %v late, though both connections stalled for %v", late, stall)
		}
		if got := len(k.each); got != n {
			t.Errorf("%d requests, want %d", got, n)
		}
	})
}

// Requests are sent when they are due, neither sooner nor in bursts, and each once.
func TestScheduleIsEven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 500
		start := time.Now()
		sent := make([]time.Duration, n)
		k, err := schedule{rate: 250, n: n}.keep(8, func(_, nth int) error {
			if sent[nth] != 0 {
				t.Errorf("request %d is sent twice", nth)
			}
			sent[nth] = time.Since(start)
			time.Sleep(10 * time.Millisecond) // less than eight connections need
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for i, at := range sent {
			if want := time.Duration(i) * 4 * time.Millisecond; at != want {
				t.Fatalf("request %d is sent after %v, want %v", i, at, want)
			}
		}
		if late := k.late.at(1); late != 0 {
			t.Errorf("late by %v", late)
		}
		if want := (n-1)*4*time.Millisecond + 10*time.Millisecond; k.took != want {
			t.Errorf("took %v, want %v", k.took, want)
		}
	})
}

func TestScheduleEndsWithAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cause := errors.New("refused")
		var sent atomic.Int64
		_, err := schedule{rate: 100, n: 10_000}.keep(4, func(_, nth int) error {
			sent.Add(1)
			if nth == 20 {
				return cause
			}
			return nil
		})
		if !errors.Is(err, cause) {
			t.Errorf("%v", err)
		}
		if n := sent.Load(); n > 30 {
			t.Errorf("%d requests were sent after one failed", n-20)
		}
	})
}

// A schedule that is over sends no more, and what it sent counts: nothing is charged for what it left out.
func TestScheduleIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const cost = 3 * time.Millisecond
		over := make(chan struct{})
		time.AfterFunc(time.Second+5*time.Millisecond, func() { close(over) })
		k, err := schedule{rate: 100, n: math.MaxInt, over: over}.keep(4, func(_, _ int) error {
			time.Sleep(cost)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(k.each) != 101 || len(k.late) != 101 { // at 0, 10, … 1,000 ms
			t.Errorf("%d requests, %d of them late, want 101", len(k.each), len(k.late))
		}
		if least, most := k.each.at(0), k.each.at(1); least != cost || most != cost {
			t.Errorf("requests took %v to %v, want %v", least, most, cost)
		}
		if k.took > time.Second+50*time.Millisecond {
			t.Errorf("it ended after %v", k.took)
		}
	})
}

func TestCrowdTakesTurns(t *testing.T) {
	c := newCrowd("", "a", "b", "c")
	var got []string
	for range 7 {
		got = append(got, c.next())
	}
	if want := []string{"a", "b", "c", "a", "b", "c", "a"}; !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}
