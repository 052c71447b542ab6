package projection

import (
	"cmp"
	"slices"

	"auditlog/eventstore"
)

// Range is an offset range of a shard: From exclusive, To inclusive.
type Range struct{ From, To eventstore.Offset }

// Ranges is a set of offsets as sorted ranges that neither overlap nor touch.
type Ranges []Range

// Cursor is the offset up to which everything is applied; 0 when the first offset is missing.
func (r Ranges) Cursor() eventstore.Offset {
	if len(r) == 0 || r[0].From > 0 {
		return 0
	}
	return r[0].To
}

// Has tells whether offset o is in the set.
func (r Ranges) Has(o eventstore.Offset) bool {
	i, _ := slices.BinarySearchFunc(r, o, func(e Range, o eventstore.Offset) int { return cmp.Compare(e.To, o) })
	return i < len(r) && r[i].From < o
}

// Covers tells whether the whole range is in the set.
func (r Ranges) Covers(x Range) bool {
	if x.To <= x.From {
		return true
	}
	i, _ := slices.BinarySearchFunc(r, x.To, func(e Range, o eventstore.Offset) int { return cmp.Compare(e.To, o) })
	return i < len(r) && r[i].From <= x.From
}

// Add is the set with x in it; r is not changed.
func (r Ranges) Add(x Range) Ranges {
	if x.To <= x.From {
		return r
	}
	out := make(Ranges, 0, len(r)+1)
	for _, e := range r {
		switch {
		case e.To < x.From:
			out = append(out, e)
		case e.From > x.To:
			continue
		default: // overlaps or touches: one range
			x.From, x.To = min(x.From, e.From), max(x.To, e.To)
		}
	}
	out = append(out, x)
	for _, e := range r {
		if e.From > x.To {
			out = append(out, e)
		}
	}
	return out
}

// Intersect is the offsets that both sets have.
func (r Ranges) Intersect(other Ranges) Ranges {
	var out Ranges
	for i, j := 0, 0; i < len(r) && j < len(other); {
		x := Range{max(r[i].From, other[j].From), min(r[i].To, other[j].To)}
		if x.From < x.To {
			out = append(out, x)
		}
		if r[i].To < other[j].To {
			i++
		} else {
			j++
		}
	}
	return out
}

// Gaps are the parts of (0, head] that are not in the set, ascending.
func (r Ranges) Gaps(head eventstore.Offset) Ranges {
	var gaps Ranges
	at := eventstore.Offset(0)
	for _, e := range r {
		if e.From > at && at < head {
			gaps = append(gaps, Range{at, min(e.From, head)})
		}
		at = max(at, e.To)
	}
	if at < head {
		gaps = append(gaps, Range{at, head})
	}
	return gaps
}
