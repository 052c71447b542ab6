package limit

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// book is a ledger in memory, as the contract of Ledger has it.
type book struct {
	mu      sync.Mutex
	lag     time.Duration // of every answer
	away    bool
	lives   map[string]time.Time
	full    map[string]time.Time // by rule and key
	settled int
}

func newBook() *book { return &book{lives: map[string]time.Time{}, full: map[string]time.Time{}} }

var errAway = errors.New("the ledger is away")

// page is the book as one process sees it.
type page struct {
	*book
	name string
}

// answer waits as long as an answer takes, and holds the book then.
func (p page) answer(ctx context.Context) error {
	p.mu.Lock()
	lag := p.lag
	p.mu.Unlock()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(lag):
	}
	p.mu.Lock()
	if p.away {
		p.mu.Unlock()
		return errAway
	}
	return nil
}

func (p page) Beat(ctx context.Context) (int, error) {
	if err := p.answer(ctx); err != nil {
		return 0, err
	}
	defer p.mu.Unlock()
	p.lives[p.name] = time.Now().Add(7 * time.Second)
	n := 0
	for _, until := range p.lives {
		if time.Now().Before(until) {
			n++
		}
	}
	return n, nil
}

func (p page) Leave(ctx context.Context) error {
	if err := p.answer(ctx); err != nil {
		return err
	}
	defer p.mu.Unlock()
	delete(p.lives, p.name)
	return nil
}

func (p page) Settle(ctx context.Context, claims []Claim) ([]int64, error) {
	if err := p.answer(ctx); err != nil {
		return nil, err
	}
	defer p.mu.Unlock()
	p.settled++
	now, out := time.Now(), make([]int64, len(claims))
	for i, c := range claims {
		name := c.Rule + string(c.Key[:])
		full := p.full[name]
		if full.Before(now) {
			full = now
		}
		full = full.Add(time.Duration(c.Rate.cost(c.Spent, 1)))
		room := c.Rate.worth(int64(now.Add(c.Rate.Window()).Sub(full)), 1)
		out[i] = max(0, min(c.Want, room))
		p.full[name] = full.Add(time.Duration(c.Rate.cost(out[i], 1)))
	}
	return out, nil
}

// flock is a number of processes on one ledger, under virtual time.
type flock struct {
	book     *book
	limiters []*Limiter
	stop     context.CancelFunc
	running  sync.WaitGroup
}

func newFlock(t *testing.T, n int, rate Rate) *flock {
	f := &flock{book: newBook()}
	f.book.lag = 3 * time.Millisecond
	ctx, stop := context.WithCancel(t.Context())
	f.stop = stop
	for i := range n {
		l := New("x", rate, Options{})
		s := Share(page{f.book, string(rune('a' + i))}, SharerOptions{}, l, nil)
		f.limiters = append(f.limiters, l)
		f.running.Go(func() { _ = s.Run(ctx) })
	}
	time.Sleep(5 * time.Second) // virtual: by then all have heard of each other
	return f
}

func (f *flock) end() {
	f.stop()
	f.running.Wait()
}

// load has processes asked for so many a second each, one event at a time, and gives how many passed in each.
func (f *flock) load(span time.Duration, perSecond ...int) []int {
	passed := make([]int, len(f.limiters))
	var all sync.WaitGroup
	for i, n := range perSecond {
		if n == 0 {
			continue
		}
		all.Go(func() {
			tick := time.NewTicker(time.Second / time.Duration(n))
			defer tick.Stop()
			for end := time.Now().Add(span); time.Now().Before(end); <-tick.C {
				if f.limiters[i].Take(Key{}, 1).OK {
					passed[i]++
				}
			}
		})
	}
	all.Wait()
	return passed
}

// settlements is how many there were.
func (b *book) settlements() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.settled
}

func sum(n []int) (total int) {
	for _, x := range n {
		total += x
	}
	return total
}

// Together the processes grant what is configured, however the load lies on them.
func TestSharedRate(t *testing.T) {
	const rate, span = 1000, 20 * time.Second
	for name, load := range map[string][]int{
		"all alike": {3000, 3000, 3000, 3000}, "one alone": {5000, 0, 0, 0}, "two of four": {3000, 0, 3000, 0}, "uneven": {4000, 500, 30, 10},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFlock(t, len(load), PerSecond(rate))
				defer f.end()
				passed := f.load(span, load...)
				seconds := int(span / time.Second)
				if total := sum(passed); total > 2*2*rate+seconds*rate*102/100 || total < seconds*rate*98/100 {
					t.Errorf("%v passed, %d in all, in %v at %d/s", passed, total, span, rate)
				}
				again := f.load(span, load...) // the burst is used up
				if total := sum(again); total > seconds*rate*106/100 || total < seconds*rate*98/100 {
					t.Errorf("%v passed, %d in all, in a further %v at %d/s", again, total, span, rate)
				}
				if n := f.book.settlements(); n > len(load)*int(2*span/(20*time.Millisecond)) {
					t.Errorf("%d settlements", n)
				}
			})
		})
	}
}

// Whoever is far below its share is never refused, and the ledger hears nothing of it.
func TestQuietKeysCostNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFlock(t, 4, PerSecond(1000))
		defer f.end()
		if passed := f.load(20*time.Second, 10, 10, 10, 10); sum(passed) < 800 {
			t.Errorf("%v passed", passed)
		}
		if n := f.book.settlements(); n != 0 {
			t.Errorf("%d settlements", n)
		}
	})
}

// Load that moves from process to process finds its rate again within a moment.
func TestSharedRateFollowsTheLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFlock(t, 2, PerSecond(1000))
		defer f.end()
		f.load(10*time.Second, 3000, 0)
		total := 0
		for range 10 {
			total += sum(f.load(time.Second, 0, 3000)) + sum(f.load(time.Second, 3000, 0))
		}
		if total < 19_000 || total > 24_000 {
			t.Errorf("%d passed in 20 s", total)
		}
	})
}

// Without the ledger each grants its share, no more and no less; when it is back they share again.
func TestLedgerAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFlock(t, 4, PerSecond(1000))
		defer f.end()
		f.load(10*time.Second, 3000, 3000, 3000, 3000)
		f.book.mu.Lock()
		f.book.away = true
		f.book.mu.Unlock()
		f.load(5*time.Second, 3000, 0, 0, 0) // what was leased is used up
		for i, n := range f.load(20*time.Second, 3000, 3000, 3000, 3000) {
			if n < 4900 || n > 5100+500 { // a burst of the share for those that were at rest
				t.Errorf("process %d grants %d in 20 s", i, n)
			}
		}
		f.book.mu.Lock()
		f.book.away = false
		f.book.mu.Unlock()
		time.Sleep(5 * time.Second)
		if n := f.load(20*time.Second, 3000, 0, 0, 0)[0]; n < 19_000 {
			t.Errorf("%d in 20 s when the ledger is back", n)
		}
	})
}

// A ledger that hangs holds up nobody.
func TestLedgerHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFlock(t, 2, PerSecond(1000))
		defer f.end()
		f.book.mu.Lock()
		f.book.lag = time.Hour
		f.book.mu.Unlock()
		start := time.Now()
		for range 5000 {
			f.limiters[0].Take(Key{}, 1)
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("decisions took %v", took)
		}
		if n := f.load(10*time.Second, 3000, 0)[0]; n < 4900 {
			t.Errorf("%d passed in 10 s", n)
		}
	})
}

// A process that ends leaves its share to the others; one that dies does after a while.
func TestSharesOfTheDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFlock(t, 2, PerSecond(1000))
		defer f.end()
		ctx, stop := context.WithCancel(t.Context())
		third := Share(page{f.book, "third"}, SharerOptions{}, New("x", PerSecond(1000), Options{}))
		var running sync.WaitGroup
		running.Go(func() { _ = third.Run(ctx) })
		time.Sleep(5 * time.Second)
		parts := func() int64 { return f.limiters[0].parts.Load() }
		if parts() != 3 {
			t.Errorf("%d share", parts())
		}
		stop()
		running.Wait()
		time.Sleep(5 * time.Second)
		if parts() != 2 {
			t.Errorf("%d share after one ended", parts())
		}
		if _, err := (page{f.book, "dead"}).Beat(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		if parts() != 3 {
			t.Errorf("%d share with one more", parts())
		}
		time.Sleep(5 * time.Second)
		if parts() != 2 {
			t.Errorf("%d share after one died", parts())
		}
	})
}

// A bulk that is larger than a process's share, or than what it has leased, passes when it fits into the rate.
func TestSharedBulks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFlock(t, 8, PerSecond(1000))
		defer f.end()
		passed, start := 0, time.Now()
		for time.Since(start) < 30*time.Second {
			if v := f.limiters[0].Take(Key{}, 1000); v.OK {
				passed++
			}
			time.Sleep(100 * time.Millisecond)
		}
		if passed < 28 || passed > 35 {
			t.Errorf("%d bulks of 1,000 in 30 s at 1,000/s", passed)
		}
	})
}

// A key that was forgotten while it waited for the ledger is claimed once when it comes back.
func TestForgottenWhileAsking(t *testing.T) {
	l := New("x", PerSecond(1000), Options{Keys: stripes})
	s := Share(newPage(), SharerOptions{}, l)
	l.parts.Store(2)
	other := keyOf(1)
	for n := 2; stripeOf(other) != stripeOf(Key{}); n++ {
		other = keyOf(n)
	}
	for range 3 { // each makes the other be forgotten
		l.Take(Key{}, 100)
		l.Take(other, 100)
	}
	claims := l.collect(nil)
	seen := map[Key]bool{}
	for _, c := range claims {
		if seen[c.Key] {
			t.Errorf("claimed twice: %+v", claims)
		}
		seen[c.Key] = true
	}
	for _, c := range claims {
		l.settled(c, 0, 5)
	}
	if !s.settle(t.Context()) {
		t.Error("a settlement of nothing fails")
	}
}

func newPage() page { return page{newBook(), "a"} }
