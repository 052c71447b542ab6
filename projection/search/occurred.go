package search

import (
	"database/sql"
	"errors"
	"slices"
	"strings"

	"auditlog/eventstore"
	"auditlog/internal/text"
	"auditlog/query"
)

// The index gives hits by position only. To list them by occurred_at, spans of time are narrowed until one holds so few
// hits that sorting them is cheap. An hour that still holds more is walked in its order, testing each document: where
// hits are many, few documents are tested for a page; where that does not lead to one soon, hits are few enough to be
// sorted after all. So no page costs more than some thousand documents.
const (
	sortable     = 500  // hits that are sorted in memory
	sortableHour = 8000 // the same in an hour that a walk found to be thin
	walkFirst    = 4000 // documents that are tested before an hour's hits are counted
)

func (s *search) byOccurred() ([]query.Key, error) {
	within, err := s.remaining()
	if err != nil || within.from >= within.to {
		return nil, err
	}
	if printExpression(s.tenant, s.kinds, &s.q.Criteria, nil) == "" {
		all, _, err := s.scanOccurred(within, nil, walkAll)
		return s.keys(all), err
	}
	found, err := s.within(nil, within, s.q.Limit)
	return s.keys(found), err
}

// remaining is the span in which the rest of the listing lies.
func (s *search) remaining() (span, error) {
	var within span
	if s.time != nil {
		within = *s.time
	} else {
		all, err := s.occurredSpan()
		if err != nil || all == nil {
			return span{}, err
		}
		within = *all
	}
	if after := s.q.After; after != nil {
		if s.q.Sort.Ascending {
			within.from = max(within.from, after.Occurred)
		} else {
			within.to = min(within.to, after.Occurred+1)
		}
	}
	return within, nil
}

// within gives the first hits of a bucket in order, at least limit of them when there are so many. Without a bucket it
// is the whole span.
func (s *search) within(b *bucket, whole span, limit int) ([]hit, error) {
	var buckets []bucket // for the whole span none: a cover of it costs more than it restricts
	if b != nil {
		buckets = []bucket{*b}
	}
	found, all, err := s.sorted(buckets, whole, sortable)
	if err != nil || all {
		return found, err
	}
	if b != nil && b.level == hour {
		return s.withinHour(*b, whole)
	}
	var out []hit
	for _, c := range s.narrower(b, whole) {
		found, err := s.within(&c, whole, limit-len(out))
		if err != nil {
			return nil, err
		}
		if out = append(out, found...); len(out) >= limit {
			break
		}
	}
	return out, nil
}

func (s *search) withinHour(b bucket, whole span) ([]hit, error) {
	in := b.span()
	in = span{max(in.from, whole.from), min(in.to, whole.to)}
	found, enough, err := s.scanOccurred(in, s.holds, walkFirst)
	if err != nil || enough {
		return found, err
	}
	found, all, err := s.sorted([]bucket{b}, whole, sortableHour)
	if err != nil || all {
		return found, err
	}
	found, _, err = s.scanOccurred(in, s.holds, walkAll)
	return found, err
}

// sorted gives the rest of the hits in the buckets in order, if they are at most as many as most.
func (s *search) sorted(buckets []bucket, whole span, most int) (found []hit, all bool, err error) {
	match := printExpression(s.tenant, s.kinds, &s.q.Criteria, buckets)
	found, err = s.hits(s.tx.QueryContext(s.ctx, `SELECT d.position, d.occurred_at FROM tokens CROSS JOIN docs d ON d.id = tokens.rowid
		WHERE tokens MATCH ? AND tokens.rowid >= ? AND tokens.rowid <= ? LIMIT ?`, match, s.lowID, s.topID, most+1))
	if err != nil || len(found) > most {
		return nil, false, err
	}
	found = slices.DeleteFunc(found, func(h hit) bool { return h.occurred < whole.from || h.occurred >= whole.to || !s.isAfter(h) })
	s.sort(found)
	return found, true, nil
}

// narrower are the parts of a bucket, or the years of the whole span, in the order of the listing.
func (s *search) narrower(b *bucket, whole span) (parts []bucket) {
	if b != nil {
		parts = b.children(whole)
	} else {
		for y := bucketOf(whole.from.Time(), year); eventstore.MicrosOf(y.start) < whole.to; y = (bucket{y.end(), year}) {
			parts = append(parts, y)
		}
	}
	if !s.q.Sort.Ascending {
		slices.Reverse(parts)
	}
	return parts
}

// isAfter tells whether a hit comes after the listing's last key.
func (s *search) isAfter(h hit) bool {
	after := s.q.After
	return after == nil || s.compare(h, hit{after.Position, after.Occurred}) > 0
}

const walkAll = 1 << 62

// scanOccurred walks documents in order; test, if any, is asked of their tokens. It ends with the limit, or after a number
// of documents of a kind: enough tells that it was not the latter.
func (s *search) scanOccurred(in span, test func(kind int64, tokens string) bool, walk int) (all []hit, enough bool, err error) {
	enough = true
	for _, kind := range s.kinds {
		found, done, err := s.scanKind(kind, in, test, walk)
		if err != nil {
			return nil, false, err
		}
		all = append(all, found...)
		enough = enough && done
	}
	s.sort(all)
	return all, enough, nil
}

const (
	scanPlain = `SELECT d.position, d.occurred_at, '' FROM docs d`
	scanTexts = `SELECT d.position, d.occurred_at, c.c0 FROM docs d CROSS JOIN tokens_content c ON c.id = d.id`
	scanDown  = ` WHERE d.tenant = ? AND d.kind = ? AND d.occurred_at >= ? AND (d.occurred_at, d.position) < (?, ?) AND d.position > ? AND d.position < ?
		ORDER BY d.occurred_at DESC, d.position DESC`
	scanUp = ` WHERE d.tenant = ? AND d.kind = ? AND (d.occurred_at, d.position) > (?, ?) AND d.occurred_at < ? AND d.position > ? AND d.position < ?
		ORDER BY d.occurred_at, d.position`
)

func (s *search) scanKind(kind int64, in span, test func(int64, string) bool, walk int) (out []hit, done bool, err error) {
	statement := scanPlain
	if test != nil {
		statement = scanTexts
	}
	args := []any{s.tenant, kind}
	if s.q.Sort.Ascending {
		edge := hit{0, in.from}
		if after := s.q.After; after != nil && after.Occurred == in.from {
			edge.position = after.Position
		}
		statement += scanUp
		args = append(args, edge.occurred, edge.position, in.to)
	} else {
		edge := hit{0, in.to}
		if after := s.q.After; after != nil && after.Occurred == in.to-1 {
			edge = hit{after.Position, after.Occurred}
		}
		statement += scanDown
		args = append(args, in.from, edge.occurred, edge.position)
	}
	rows, err := s.tx.QueryContext(s.ctx, statement, append(args, s.above, s.below)...)
	if err != nil {
		return nil, false, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for ; len(out) < s.q.Limit && rows.Next(); walk-- {
		if walk == 0 {
			return nil, false, nil
		}
		var h hit
		var tokens sql.RawBytes
		if err := rows.Scan(&h.position, &h.occurred, &tokens); err != nil {
			return nil, false, err
		}
		if test == nil || test(kind, string(tokens)) {
			out = append(out, h)
		}
	}
	return out, true, rows.Err()
}

// holds tests in memory what printExpression asks of the index.
func (s *search) holds(kind int64, tokens string) bool {
	tokens = " " + tokens + " "
	prefix := " " + string(appendPrefix(nil, s.tenant, kind))
	has := func(tag byte, value string) bool { return strings.Contains(tokens, prefix+string(tag)+value+" ") }
	for _, cl := range s.q.Criteria.Clauses() {
		if !slices.ContainsFunc(cl.Values, func(v string) bool {
			return has(tagFacet, string(appendFacet(nil, []byte(cl.Field+"\x00"+v))))
		}) {
			return false
		}
	}
	return holdsNode(s.q.Criteria.Text.Root(), func(token string) bool { return has(tagWord, token) })
}

func holdsNode(n text.Node, has func(string) bool) bool {
	switch n := n.(type) {
	case text.Token:
		return has(string(n))
	case text.And:
		for _, e := range n {
			if !holdsNode(e, has) {
				return false
			}
		}
	case text.Never:
		return false
	}
	return true
}
