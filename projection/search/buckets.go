package search

import (
	"time"

	"auditlog/eventstore"
)

// span is a half-open range of occurred_at.
type span struct{ from, to eventstore.Micros }

const microsPerHour = eventstore.Micros(time.Hour / time.Microsecond)

// aligned tells that hour buckets hold exactly the span.
func (s span) aligned() bool { return s.from%microsPerHour == 0 && s.to%microsPerHour == 0 }

// Levels of time buckets.
const (
	year = iota
	month
	day
	hour
)

// bucket is a calendar year, month, day or hour (UTC).
type bucket struct {
	start time.Time
	level int
}

// bucketOf is the bucket of a level that holds t.
func bucketOf(t time.Time, level int) bucket {
	y, m, d := t.Date()
	switch level {
	case year:
		return bucket{time.Date(y, 1, 1, 0, 0, 0, 0, time.UTC), level}
	case month:
		return bucket{time.Date(y, m, 1, 0, 0, 0, 0, time.UTC), level}
	case day:
		return bucket{time.Date(y, m, d, 0, 0, 0, 0, time.UTC), level}
	}
	return bucket{time.Date(y, m, d, t.Hour(), 0, 0, 0, time.UTC), level}
}

func (b bucket) end() time.Time {
	switch b.level {
	case year:
		return b.start.AddDate(1, 0, 0)
	case month:
		return b.start.AddDate(0, 1, 0)
	case day:
		return b.start.AddDate(0, 0, 1)
	}
	return b.start.Add(time.Hour)
}

func (b bucket) span() span {
	return span{eventstore.MicrosOf(b.start), eventstore.MicrosOf(b.end())}
}

// appendName appends what the bucket's token says.
func (b bucket) appendName(dst []byte) []byte { return b.start.AppendFormat(dst, timeLayouts[b.level]) }

// cover is the fewest buckets that hold the span, ascending. Only the first and the last may reach beyond it, and then
// they are hours.
func cover(s span) []bucket {
	var out []bucket
	at, end := bucketOf(s.from.Time(), hour).start, s.to.Time()
	for at.Before(end) {
		next := bucket{at, hour}
		for level := year; level < hour; level++ {
			b := bucketOf(at, level)
			if b.start.Equal(at) && !b.end().After(end) {
				next = b
				break
			}
		}
		out = append(out, next)
		at = next.end()
	}
	return out
}

// children are the buckets of the next level in b that meet the span, ascending.
func (b bucket) children(s span) []bucket {
	var out []bucket
	for at := b.start; at.Before(b.end()); {
		c := bucket{at, b.level + 1}
		if in := c.span(); in.from < s.to && s.from < in.to {
			out = append(out, c)
		}
		at = c.end()
	}
	return out
}
