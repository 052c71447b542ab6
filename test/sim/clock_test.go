package sim

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// clock makes a schedule the same in each run of its seed.
//
// The order in which the Go scheduler runs goroutines is not ours to choose, and synctest orders timers of one instant at
// random. So no two steps of fakes share an instant: each stream has the nanoseconds of a slice of its own, and takes none
// of them twice. What wakes at an instant runs alone until it waits for another. Several may wait from one instant on, and
// it does not matter in which order they come to it: draws come from one stream per caller, so that they do not depend on
// what other callers drew before.
type clock struct {
	seed  uint64
	start time.Time

	mu    sync.Mutex // guards the fields below
	taken map[time.Duration]bool
	slice time.Duration // of the next stream
	lines []line
	seen  map[string]int // how often what should happen sometimes did
	wrong []string       // broken invariants

	calm atomic.Bool // no more faults
}

// line is one thing that happened. Lines of one instant are sorted, since their order is not defined.
type line struct {
	at   time.Duration
	who  string
	what string
	n    [4]int64
}

func newClock(seed uint64) *clock {
	return &clock{seed: seed, start: time.Now(), taken: map[time.Duration]bool{}, seen: map[string]int{}}
}

func (c *clock) now() time.Duration { return time.Since(c.start) }

// note adds a line to the trace.
func (c *clock) note(who, what string, n ...int64) {
	l := line{at: c.now(), who: who, what: what}
	copy(l.n[:], n)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lines = append(c.lines, l)
}

// sometimes counts what a good set of schedules meets.
func (c *clock) sometimes(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen[what]++
}

// broken records that an invariant does not hold.
func (c *clock) broken(invariant, format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.wrong) < 10 {
		c.wrong = append(c.wrong, fmt.Sprintf("%v %s: %s", time.Since(c.start), invariant, fmt.Sprintf(format, args...)))
	}
}

// trace is all that happened, in order.
func (c *clock) trace() []line {
	c.mu.Lock()
	defer c.mu.Unlock()
	slices.SortFunc(c.lines, func(a, b line) int {
		return cmp.Or(cmp.Compare(a.at, b.at), strings.Compare(a.who, b.who), strings.Compare(a.what, b.what), slices.Compare(a.n[:], b.n[:]))
	})
	return c.lines
}

func (l line) String() string {
	return fmt.Sprintf("%14v %-24s %-28s %v", l.at, l.who, l.what, l.n)
}

// hash is the trace in short.
func (c *clock) hash() string {
	h := sha256.New()
	var b []byte
	for _, l := range c.trace() {
		b = strconv.AppendInt(b[:0], int64(l.at), 10)
		b = append(append(append(append(b, ' '), l.who...), ' '), l.what...)
		for _, n := range l.n {
			b = strconv.AppendInt(append(b, ' '), n, 10)
		}
		h.Write(append(b, '\n'))
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// stream is where one caller's delays and faults come from. Its draws are made one after the other, at instants that differ
// unless one goroutine makes them.
type stream struct {
	*clock
	name string
	own  time.Duration // the nanosecond of each slice that is its own
	mu   sync.Mutex    // guards r
	r    *rand.Rand
}

// slice is how many streams there can be, and the grain of virtual time.
const slice = 8192 * time.Nanosecond

func (c *clock) stream(format string, args ...any) *stream {
	name := fmt.Sprintf(format, args...)
	h := fnv.New64a()
	h.Write([]byte(name))
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.slice++; c.slice == slice {
		panic("too many streams")
	}
	return &stream{clock: c, name: name, own: c.slice, r: rand.New(rand.NewPCG(c.seed, h.Sum64()))}
}

// n draws a number below n.
func (s *stream) n(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.r.IntN(n)
}

// one draws a fault that happens in so many of a hundred calls; never once faults have stopped.
func (s *stream) one(percent float64) bool {
	return float64(s.n(1_000_000)) < percent*10_000 && !s.calm.Load()
}

// between draws a time.
func (s *stream) between(low, high time.Duration) time.Duration {
	return low + time.Duration(s.n(int(high-low)+1))
}

// until is how long to wait so that about d has passed at an instant that is nobody else's.
func (s *stream) until(d time.Duration) time.Duration {
	now := s.now()
	at := (now + max(d, 0)).Truncate(slice) + slice + s.own
	s.clock.mu.Lock()
	defer s.clock.mu.Unlock()
	for s.taken[at] {
		at += slice
	}
	s.taken[at] = true
	return at - now
}

// wait passes about d, with nothing that could end it early.
func (s *stream) wait(d time.Duration) { time.Sleep(s.until(d)) }

// usual is how long most calls take.
func (s *stream) usual() time.Duration {
	if s.one(3) {
		return s.between(50*time.Millisecond, 900*time.Millisecond)
	}
	return s.between(50*time.Microsecond, 6*time.Millisecond)
}
