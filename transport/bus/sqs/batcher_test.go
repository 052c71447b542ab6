package sqs

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// sent keeps batches and when they went.
type sent struct {
	mu      sync.Mutex // guards both
	batches [][]int
	at      []time.Duration
}

func (s *sent) batcher(linger time.Duration) *batcher[int] {
	start := time.Now()
	return &batcher[int]{linger: linger, maxBytes: 100, size: func(n int) int { return n }, send: func(batch []int) []error {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.batches, s.at = append(s.batches, batch), append(s.at, time.Since(start))
		if slices.Contains(batch, 13) {
			errs := make([]error, len(batch))
			errs[slices.Index(batch, 13)] = errors.New("unlucky")
			return errs
		}
		return nil
	}}
}

// The first item after a pause goes at once; later ones gather for the linger, or until the batch is full.
func TestBatcherPaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s sent
		b := s.batcher(50 * time.Millisecond)
		b.add(1)
		time.Sleep(10 * time.Millisecond)
		b.add(2)
		b.add(3)
		time.Sleep(100 * time.Millisecond)
		b.add(4)
		synctest.Wait() // it is gone
		for range 12 {
			b.add(5) // ten go as a full batch, without waiting
		}
		synctest.Wait()
		b.drain()
		if want := []int{1, 2, 1, 10, 2}; !slices.Equal(lengths(s.batches), want) {
			t.Fatalf("batches of %v items, want %v", lengths(s.batches), want)
		}
		if want := []time.Duration{0, 50 * time.Millisecond, 110 * time.Millisecond, 110 * time.Millisecond, 110 * time.Millisecond}; !slices.Equal(s.at, want) {
			t.Errorf("went after %v, want %v", s.at, want)
		}
	})
}

func lengths(batches [][]int) (out []int) {
	for _, b := range batches {
		out = append(out, len(b))
	}
	return out
}

func TestBatcherKeepsBytesAndTellsEachItsOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s sent
		b := s.batcher(time.Second)
		first := b.add(60)
		second := b.add(60) // does not fit beside the first
		lucky, unlucky := b.add(7), b.add(13)
		for _, c := range []<-chan error{first, second, lucky} {
			if err := <-c; err != nil {
				t.Error(err)
			}
		}
		if err := <-unlucky; err == nil {
			t.Error("the failed item is told nothing")
		}
		if want := []int{1, 3}; !slices.Equal(lengths(s.batches), want) {
			t.Errorf("batches of %v items, want %v", lengths(s.batches), want)
		}
	})
}
