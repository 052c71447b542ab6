package projtest

import "iter"

// Orders yields every order of 0…n-1, ascending first. The slice is the loop's only until its next round.
func Orders(n int) iter.Seq[[]int] { return sequences(n, 1, n) }

// Doublings yields every sequence of 0…n-1 in which each number stands once or twice, anywhere: 222 of three. The slice
// is the loop's only until its next round.
func Doublings(n int) iter.Seq[[]int] { return sequences(n, 2, 2*n) }

// sequences yields every sequence of at most longest numbers in which each of 0…n-1 stands at least once and at most
// times.
func sequences(n, times, longest int) iter.Seq[[]int] {
	return func(yield func([]int) bool) {
		sequence, left, missing := make([]int, 0, longest), make([]int, n), n
		for i := range left {
			left[i] = times
		}
		var next func() bool
		next = func() bool {
			if missing == 0 && !yield(sequence) {
				return false
			}
			for i := range n {
				if left[i] == 0 {
					continue
				}
				fresh := left[i] == times
				if fresh {
					missing--
				}
				left[i]--
				sequence = append(sequence, i)
				more := next()
				sequence = sequence[:len(sequence)-1]
				left[i]++
				if fresh {
					missing++
				}
				if !more {
					return false
				}
			}
			return true
		}
		next()
	}
}

// Late chooses, for one order after the other, an event that is delivered again, and after how many firsts, so that
// over all orders each event was late from each place to each later one. The zero value is ready.
type Late struct{ times map[late]int }

// late is one way to be late: event stands at place at of the order and comes again after the first after ones, of
// which one or more follow it.
type late struct{ event, at, after int }

// Pick gives the index in order of an event that comes again, and how many of order go before that: at least one of
// them follows the event. Of all ways it gives the one that was taken least.
func (l *Late) Pick(order []int) (at, after int) {
	if l.times == nil {
		l.times = map[late]int{}
	}
	var best late
	for i, event := range order {
		for after := i + 2; after <= len(order); after++ {
			if way := (late{event, i, after}); best.after == 0 || l.times[way] < l.times[best] {
				best = way
			}
		}
	}
	l.times[best]++
	return best.at, best.after
}

// Missing is how many ways to be late n events have that were not taken.
func (l *Late) Missing(n int) int { return n*n*(n-1)/2 - len(l.times) }
