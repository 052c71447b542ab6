package limit

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestPoolHoldsNoMoreThanItsSize(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.Int64Range(1, 100).Draw(t, "size")
		p := NewPool(size, nil)
		type hold struct {
			key Key
			n   int64
		}
		var holds []hold
		of := func(key Key) (n int64) {
			for _, h := range holds {
				if h.key == key {
					n += h.n
				}
			}
			return n
		}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			if len(holds) > 0 && rapid.Bool().Draw(t, "give") {
				i := rapid.IntRange(0, len(holds)-1).Draw(t, "which")
				p.Give(holds[i].key, holds[i].n)
				holds = append(holds[:i], holds[i+1:]...)
			} else {
				h := hold{keyOf(rapid.IntRange(0, 3).Draw(t, "key")), rapid.Int64Range(1, 30).Draw(t, "n")}
				free := size - of(keyOf(0)) - of(keyOf(1)) - of(keyOf(2)) - of(keyOf(3))
				want := h.n <= free && of(h.key) < 7*free
				if got := p.Take(h.key, h.n); got != want {
					t.Fatalf("take %d of %d free, with %d held: %v", h.n, free, of(h.key), got)
				}
				if want {
					holds = append(holds, h)
				}
			}
			sum := int64(0)
			for _, h := range holds {
				sum += h.n
			}
			if p.Held() != sum || sum > size {
				t.Fatalf("%d held, %d taken, of %d", p.Held(), sum, size)
			}
		}
		for _, h := range holds {
			p.Give(h.key, h.n)
		}
		if p.Held() != 0 || len(p.by) != 0 {
			t.Fatalf("%d held, %d keys remembered when all is given back", p.Held(), len(p.by))
		}
	})
}

// One key's flood leaves room for others; several together can use all.
func TestPoolIsFair(t *testing.T) {
	p := NewPool(512, nil)
	flood := 0
	for p.Take(keyOf(1), 1) {
		flood++
	}
	if flood != 448 {
		t.Errorf("one key holds %d of 512", flood)
	}
	if !p.Take(keyOf(2), 1) {
		t.Error("another key gets nothing")
	}
	others := 1
	for i := 3; p.Take(keyOf(i), 1); i++ {
		others++
	}
	if others != 64 {
		t.Errorf("others hold %d", others)
	}
	if p.Size() != 512 || p.Held() != 512 {
		t.Errorf("%d of %d held", p.Held(), p.Size())
	}
}

func TestPoolWithoutBound(t *testing.T) {
	p := NewPool(0, nil)
	if !p.Take(Key{}, 1<<60) || p.Held() != 0 || p.Size() != 0 {
		t.Error("a pool without a size has a bound")
	}
	p.Give(Key{}, 1<<60)
}

// Wait goes by how fast the pool drains.
func TestPoolWait(t *testing.T) {
	c := newClock()
	p := NewPool(100, c.now)
	c.pass(time.Hour) // of rest, which says nothing of the pace
	for i := range 100 {
		p.Take(keyOf(i), 1)
	}
	if w := p.Wait(); w != minWait {
		t.Errorf("at first: %v", w)
	}
	for i := range 50 { // ten a second for five seconds
		c.pass(100 * time.Millisecond)
		p.Give(keyOf(i), 1)
		p.Take(keyOf(i), 1)
	}
	if w := p.Wait(); w < 9*time.Second || w > 11*time.Second {
		t.Errorf("100 held, 10 a second given back: %v", w)
	}
	c.pass(5 * time.Second)
	if w := p.Wait(); w != maxWait {
		t.Errorf("nothing is given back: %v", w)
	}
}
