package stats

import (
	"strings"

	"auditlog/eventstore"
)

// segment is a part of a query's time that one kind of row answers: rollups of a unit, or entries when unit is 0.
type segment struct {
	unit     int64
	from, to eventstore.Micros
}

// segments tiles [from, to) with the largest units that fit, none larger than largest or smaller than least.
func segments(from, to eventstore.Micros, largest, least int64) []segment {
	if from >= to {
		return nil
	}
	if largest < least {
		return []segment{{0, from, to}}
	}
	length := eventstore.Micros(largest) * minuteLen
	first, last := (from+length-1)/length*length, to/length*length
	if first >= last {
		return segments(from, to, smaller(largest), least)
	}
	out := segments(from, first, smaller(largest), least)
	out = append(out, segment{largest, first, last})
	return append(out, segments(last, to, smaller(largest), least)...)
}

func smaller(unit int64) int64 {
	switch unit {
	case day:
		return hour
	case hour:
		return minute
	default:
		return 0
	}
}

// statement is a query with its values, built in order.
type statement struct {
	strings.Builder
	args []any
}

func (s *statement) add(text string, args ...any) {
	s.WriteString(text)
	s.args = append(s.args, args...)
}

// within begins a query with the table expression r (at, combo, actor, n): the counts of a tenant in the segments. Of
// combo and actor only the one that kind names is meant; both are where all segments are of entries.
func within(tenant int64, kind int64, parts []segment) *statement {
	s := &statement{}
	s.add("WITH r (at, combo, actor, n) AS (\n")
	for i, p := range parts {
		if i > 0 {
			s.add("UNION ALL\n")
		}
		if p.unit == 0 {
			s.add("SELECT occurred, combo, actor, 1 FROM entries WHERE tenant = ? AND occurred >= ? AND occurred < ?\n", tenant, p.from, p.to)
			continue
		}
		s.add("SELECT start * 60000000, key, key, n FROM rollups WHERE tenant = ? AND unit = ? AND kind = ? AND start >= ? AND start < ?\n",
			tenant, p.unit, kind, p.from/minuteLen, p.to/minuteLen)
	}
	s.add(")\n")
	return s
}

// oneOf adds a condition unless the list is empty.
func (s *statement) oneOf(column string, values []string) {
	if len(values) == 0 {
		return
	}
	s.add(" AND " + column + " IN (?" + strings.Repeat(", ?", len(values)-1) + ")")
	for _, v := range values {
		s.args = append(s.args, v)
	}
}
