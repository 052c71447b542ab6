package limit

import (
	"encoding/binary"
	"math/big"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// clock is a clock that tests move.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func (c *clock) pass(d time.Duration) { c.at = c.at.Add(d) }

func newClock() *clock { return &clock{time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)} }

func keyOf(n int) (k Key) {
	binary.BigEndian.PutUint64(k[8:], uint64(n))
	return k
}

// tokens is the oracle: a bucket that counts tokens in exact fractions.
type tokens struct {
	have *big.Rat
	at   time.Time
}

func (b *tokens) refill(r Rate, now time.Time) {
	full := new(big.Rat).SetInt64(r.Burst())
	if b.have == nil {
		b.have = full
	}
	came := new(big.Rat).SetFrac64(int64(now.Sub(b.at)), int64(r.Per))
	b.have = new(big.Rat).Add(b.have, came.Mul(came, new(big.Rat).SetInt64(r.Events)))
	if b.have.Cmp(full) > 0 {
		b.have = full
	}
	b.at = now
}

func (b *tokens) take(r Rate, n int64, now time.Time) bool {
	b.refill(r, now)
	want, full := new(big.Rat).SetInt64(n), new(big.Rat).SetInt64(r.Burst())
	if b.have.Cmp(want) < 0 && !(want.Cmp(full) > 0 && b.have.Cmp(full) == 0) {
		return false
	}
	b.have = new(big.Rat).Sub(b.have, want)
	return true
}

func (b *tokens) left() int64 {
	if b.have.Sign() < 0 {
		return 0
	}
	return new(big.Int).Quo(b.have.Num(), b.have.Denom()).Int64()
}

// rates whose events are a whole number of nanoseconds apart, so that both sides count exactly.
func exactRate() *rapid.Generator[Rate] {
	return rapid.SampledFrom([]Rate{
		PerSecond(1), PerSecond(2), PerSecond(10), PerSecond(50), PerSecond(1000), PerSecond(10_000), PerSecond(1_000_000), PerHour(60), PerHour(1), {5, time.Millisecond},
	})
}

func TestSameAsATokenBucket(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newClock()
		usual, own := exactRate().Draw(t, "rate"), exactRate().Draw(t, "own")
		l := New("x", usual, Options{Own: map[Key]Rate{keyOf(0): own}, Now: c.now})
		oracle := map[Key]*tokens{}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			key := keyOf(rapid.IntRange(0, 3).Draw(t, "key"))
			rate := usual
			if key == keyOf(0) {
				rate = own
			}
			gap := int64(rate.Per) / rate.Events
			c.pass(time.Duration(rapid.Int64Range(0, 3*gap).Draw(t, "gap") * rapid.Int64Range(0, 3).Draw(t, "times")))
			if rapid.IntRange(0, 9).Draw(t, "rest") == 0 {
				c.pass(rate.Window())
			}
			n := rapid.OneOf(rapid.Int64Range(1, 3), rapid.Int64Range(1, rate.Burst()+rate.Burst()/4+1)).Draw(t, "n")
			b := oracle[key]
			if b == nil {
				b = &tokens{at: c.at}
				oracle[key] = b
			}
			b.refill(rate, c.at)
			if look := l.Look(key); look.OK != (b.left() >= 1) || look.Remaining != b.left() {
				t.Fatalf("look: %+v, the bucket has %v", look, b.have)
			}
			got, want := l.Take(key, int(n)), b.take(rate, n, c.at)
			if got.OK != want || got.Remaining != b.left() || got.Rate != rate {
				t.Fatalf("take %d: %+v, the bucket says %v and has %v", n, got, want, b.have)
			}
			if got.OK != (got.Wait == 0) {
				t.Fatalf("take %d: %+v", n, got)
			}
			if !got.OK { // what it says to wait is enough, and not more than it takes
				early, late := *b, *b
				if early.take(rate, n, c.at.Add(got.Wait-1)) || !late.take(rate, n, c.at.Add(got.Wait)) {
					t.Fatalf("take %d: wait %v, the bucket has %v", n, got.Wait, b.have)
				}
			}
		}
	})
}

// Rates that do not divide a second lose no more to rounding than a nanosecond a request.
func TestRoundingIsSmall(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := Rate{rapid.Int64Range(1, MaxEvents).Draw(t, "events"), time.Duration(rapid.Int64Range(int64(time.Second), int64(MaxPer)).Draw(t, "per"))}
		c := newClock()
		l, start, passed, asked := New("x", rate, Options{Now: c.now}), c.at, int64(0), int64(0)
		for range 300 {
			n := rapid.Int64Range(1, rate.Burst()).Draw(t, "n")
			if l.Take(Key{}, int(n)).OK {
				passed += n
			}
			asked++
			c.pass(time.Duration(rapid.Int64Range(0, int64(rate.Per)).Draw(t, "gap")))
			span := c.at.Sub(start) + time.Duration(asked) // the rounding
			most := new(big.Int).Mul(big.NewInt(int64(span)), big.NewInt(rate.Events))
			most.Quo(most, big.NewInt(int64(rate.Per)))
			if limit := rate.Burst() + most.Int64() + 1; passed > limit {
				t.Fatalf("%d passed in %v at %+v; %d may", passed, span, rate, limit)
			}
		}
	})
}

func TestOffAndNil(t *testing.T) {
	var none *Limiter
	for _, l := range []*Limiter{none, New("x", Rate{}, Options{})} {
		for range 10 {
			if v := l.Take(Key{}, 1<<30); !v.OK {
				t.Fatalf("%+v", v)
			}
		}
		if v := l.Look(Key{}); !v.OK {
			t.Errorf("%+v", v)
		}
	}
	l := New("x", PerSecond(1), Options{Own: map[Key]Rate{keyOf(7): {}}})
	for range 10 {
		l.Take(keyOf(1), 1)
		if !l.Take(keyOf(7), 100).OK {
			t.Error("a key without limit is limited")
		}
	}
	if l.Take(keyOf(1), 1).OK {
		t.Error("the others are not")
	}
}

// However many keys come, few are remembered, and a key that is busy keeps its limit among those that are not.
func TestMemoryIsBounded(t *testing.T) {
	c := newClock()
	l := New("x", PerSecond(1000), Options{Keys: 4 * stripes, Now: c.now})
	busy, passed := keyOf(1<<40), int64(0)
	for i := range 100_000 {
		if l.Take(busy, 1).OK {
			passed++
		}
		l.Take(keyOf(i), 1)
		c.pass(100 * time.Microsecond)
		if n := l.Keys(); i%1000 == 0 && n > 4*stripes {
			t.Fatalf("%d keys are remembered", n)
		}
	}
	if most := int64(2000 + 10*1000); passed > most || passed < most-1 { // in 10 s
		t.Errorf("%d of the busy key passed; %d may", passed, most)
	}
	for i := range 100_000 { // none of them ever at rest
		l.Take(keyOf(i), 1)
	}
	if n := l.Keys(); n > 4*stripes {
		t.Errorf("%d keys are remembered", n)
	}
}

func BenchmarkTake(b *testing.B) {
	l := New("x", PerSecond(MaxEvents), Options{})
	for i := range 10_000 {
		l.Take(keyOf(i), 1)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		l.Take(keyOf(i%10_000), 1)
		i++
	}
}
