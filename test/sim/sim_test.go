package sim

import (
	"flag"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var (
	seeds = flag.Uint64("seeds", 200, "how many schedules to run")
	from  = flag.Uint64("from", 1, "the first seed")
	once  = flag.Bool("once", false, "run no seed twice")
	one   = flag.Uint64("seed", 0, "run this seed alone, and print all that happens")
)

const (
	ops     = 500
	replays = 200 // seeds that run twice
)

// sometimes is what schedules must meet, or they show nothing.
var sometimes = []string{
	"answer of a projection lost", "answer to an append lost", "append carried out after its sender left",
	"append given up before its effect", "crash at any moment", "crash between bus and relay",
	"crash between effect and acknowledgement", "crash between effect and range", "crash between parking and range",
	"crash between publishing and cursor", "dead letter", "draft sent in a second flush", "envelopes applied together",
	"event left out that was applied", "event parked", "fenced relay", "flush of several units",
	"flush sent again after its effect", "key replayed", "key reused for another body", "lease lost", "message doubled",
	"message late", "message lost", "message received again", "process stopped and started", "range published again",
	"range swept", "relay asleep beyond its lease", "request refused",
}

// result is what a schedule came to.
type result struct {
	hash  string
	wrong []string
	seen  map[string]int
	lines []line
}

// schedule runs one seed in a bubble of its own.
func schedule(t *testing.T, seed uint64, lie string) (r result) {
	defer func() {
		if v := recover(); v != nil {
			t.Logf("seed %d: replay with: %s", seed, replayLine(seed))
			panic(v)
		}
	}()
	synctest.Test(t, func(*testing.T) {
		w := newWorld(seed, lie)
		w.run(ops)
		r = result{w.hash(), w.wrong, w.seen, w.trace()}
	})
	return r
}

func replayLine(seed uint64) string {
	return fmt.Sprintf("go test ./test/sim -run TestOneSeed -v -seed %d", seed)
}

// TestSchedules runs seeds side by side. The first ones run twice: all that happened must be the same.
func TestSchedules(t *testing.T) {
	var mu sync.Mutex
	seen, runs, began := map[string]int{}, 0, time.Now()
	t.Run("seeds", func(t *testing.T) {
		workers := uint64(runtime.GOMAXPROCS(0))
		for n := range workers {
			t.Run(fmt.Sprint(n), func(t *testing.T) {
				t.Parallel()
				for seed := *from + n; seed < *from+*seeds && !t.Failed(); seed += workers {
					r := schedule(t, seed, "")
					for _, wrong := range r.wrong {
						t.Errorf("seed %d: %s", seed, wrong)
					}
					if seed-*from < replays && !*once {
						if again := schedule(t, seed, ""); again.hash != r.hash {
							t.Errorf("seed %d: the second run differs from the first:\n%s", seed, difference(r.lines, again.lines))
						}
					}
					if t.Failed() {
						t.Errorf("replay with: %s", replayLine(seed))
					}
					mu.Lock()
					if runs++; seed-*from < replays && !*once {
						runs++
					}
					for what, n := range r.seen {
						seen[what] += n
					}
					mu.Unlock()
				}
			})
		}
	})
	took, sound := time.Since(began), !t.Failed()
	t.Logf("%d schedules of %d operations in %v: %.0f a minute", runs, ops, took.Round(time.Millisecond), float64(runs)/took.Minutes())
	for _, what := range sometimes {
		if seen[what] == 0 && *seeds >= 200 && sound {
			t.Errorf("never met: %s", what)
		}
	}
	for _, what := range slices.Sorted(maps.Keys(seen)) {
		t.Logf("%8d × %s", seen[what], what)
	}
}

// difference is where two traces part.
func difference(a, b []line) string {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			out := ""
			for _, l := range a[max(0, i-5):i] {
				out += fmt.Sprintln(" ", l)
			}
			return out + fmt.Sprintln("<", a[i]) + fmt.Sprintln(">", b[i])
		}
	}
	return fmt.Sprintf("%d lines and %d", len(a), len(b))
}

// TestOneSeed runs the seed that -seed names and prints what happens.
func TestOneSeed(t *testing.T) {
	if *one == 0 {
		*one = 1
	}
	r := schedule(t, *one, "")
	for _, l := range r.lines {
		t.Log(l)
	}
	for _, wrong := range r.wrong {
		t.Errorf("seed %d: %s", *one, wrong)
	}
	if r.hash == "" || len(r.lines) == 0 {
		t.Error("nothing happened")
	}
}
