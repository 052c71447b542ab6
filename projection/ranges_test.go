package projection_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"auditlog/eventstore"
	"auditlog/projection"
)

const universe = 40 // offsets 1…universe

func drawRange(t *rapid.T, label string) projection.Range {
	from := rapid.IntRange(0, universe).Draw(t, label+" from")
	to := rapid.IntRange(0, universe).Draw(t, label+" to")
	return projection.Range{From: eventstore.Offset(from), To: eventstore.Offset(to)}
}

// Ranges answer every question as a plain set of offsets does, for any order of additions.
func TestRangesAgreeWithASet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r projection.Ranges
		set := map[eventstore.Offset]bool{}
		for range rapid.IntRange(0, 12).Draw(t, "additions") {
			x := drawRange(t, "add")
			before := slices.Clone(r)
			next := r.Add(x)
			if !slices.Equal(before, r) {
				t.Fatalf("Add changed its receiver: %v, was %v", r, before)
			}
			r = next
			for o := x.From + 1; o <= x.To; o++ {
				set[o] = true
			}
		}
		for i, x := range r {
			if x.To <= x.From || i > 0 && x.From <= r[i-1].To {
				t.Fatalf("not sorted and apart: %v", r)
			}
		}
		cursor := eventstore.Offset(0)
		for set[cursor+1] {
			cursor++
		}
		if r.Cursor() != cursor {
			t.Fatalf("cursor of %v is %d, want %d", r, r.Cursor(), cursor)
		}
		other := drawRange(t, "intersect")
		both := r.Intersect(projection.Ranges{}.Add(other).Add(projection.Range{From: universe - 3, To: universe}))
		for i, x := range both {
			if x.To <= x.From || i > 0 && x.From <= both[i-1].To {
				t.Fatalf("not sorted and apart: %v", both)
			}
		}
		for o := eventstore.Offset(1); o <= universe+1; o++ {
			in := o > other.From && o <= other.To || o > universe-3 && o <= universe
			if both.Has(o) != (in && set[o]) {
				t.Fatalf("%v with %v and the end has %d: %v", r, other, o, both.Has(o))
			}
			if r.Has(o) != set[o] {
				t.Fatalf("%v has %d: %v", r, o, r.Has(o))
			}
		}
		x, whole := drawRange(t, "covers"), true
		for o := x.From + 1; o <= x.To; o++ {
			whole = whole && set[o]
		}
		if r.Covers(x) != whole {
			t.Fatalf("%v covers %v: %v, want %v", r, x, r.Covers(x), whole)
		}
		head := eventstore.Offset(rapid.IntRange(0, universe+5).Draw(t, "head"))
		gaps := r.Gaps(head)
		for i, g := range gaps {
			if g.To <= g.From || g.To > head || i > 0 && g.From <= gaps[i-1].To {
				t.Fatalf("gaps of %v up to %d: %v", r, head, gaps)
			}
		}
		for o := eventstore.Offset(1); o <= head; o++ {
			if gaps.Has(o) == set[o] {
				t.Fatalf("gaps of %v up to %d: %v; offset %d", r, head, gaps, o)
			}
		}
	})
}
