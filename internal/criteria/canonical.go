package criteria

import (
	"slices"
	"strconv"
	"strings"
)

// AppendCanonical appends text that is equal for two Criteria exactly when they ask the same: order and repetition in
// lists do not matter. It binds cursors to their query.
func (c *Criteria) AppendCanonical(b []byte) []byte {
	kind := c.Kind
	if kind == "" {
		kind = Entries
	}
	b = field(b, "kind", string(kind))
	clauses := c.Clauses()
	for i := range clauses {
		values := slices.Clone(clauses[i].Values)
		slices.Sort(values)
		clauses[i].Values = slices.Compact(values)
	}
	slices.SortFunc(clauses, func(x, y Clause) int {
		if n := strings.Compare(x.Field, y.Field); n != 0 {
			return n
		}
		return slices.Compare(x.Values, y.Values)
	})
	clauses = slices.CompactFunc(clauses, func(x, y Clause) bool { return x.Field == y.Field && slices.Equal(x.Values, y.Values) })
	for _, cl := range clauses {
		b = field(b, cl.Field, cl.Values...)
	}
	if c.From != nil {
		b = field(b, "from", c.From.String())
	}
	if c.To != nil {
		b = field(b, "to", c.To.String())
	}
	if c.RecordedTime && (c.From != nil || c.To != nil) {
		b = field(b, "time", "recorded")
	}
	if !c.Text.IsZero() {
		b = c.Text.AppendCanonical(append(b, "q="...))
	}
	return b
}

// field appends a name and values, each with its length before it, so that no two lists print alike.
func field(b []byte, name string, values ...string) []byte {
	for _, s := range append([]string{name}, values...) {
		b = strconv.AppendInt(b, int64(len(s)), 10)
		b = append(b, ':')
		b = append(b, s...)
	}
	return append(b, '\n')
}
