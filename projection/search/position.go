package search

import (
	"database/sql"
	"errors"
	"slices"

	"auditlog/eventstore"
	"auditlog/query"
)

// anyTime bounds occurred_at where it is not restricted.
var anyTime = span{-1 << 62, 1 << 62}

// narrow gives the buckets that restrict the search to its time, and the exact bounds to check beside them: anyTime when
// the buckets are exact.
func (s *search) narrow() ([]bucket, span) {
	if s.time == nil {
		return nil, anyTime
	}
	if s.time.aligned() {
		return cover(*s.time), anyTime
	}
	return cover(*s.time), *s.time
}

func (s *search) byPosition() ([]query.Key, error) {
	buckets, exact := s.narrow()
	match := printExpression(s.tenant, s.kinds, &s.q.Criteria, buckets)
	if match == "" {
		return s.scanPositions()
	}
	statement := `SELECT d.position, d.occurred_at FROM tokens CROSS JOIN docs d ON d.id = tokens.rowid
		WHERE tokens MATCH ? AND tokens.rowid >= ? AND tokens.rowid <= ? AND d.occurred_at >= ? AND d.occurred_at < ?
		ORDER BY tokens.rowid DESC LIMIT ?`
	if s.q.Sort.Ascending {
		statement = `SELECT d.position, d.occurred_at FROM tokens CROSS JOIN docs d ON d.id = tokens.rowid
		WHERE tokens MATCH ? AND tokens.rowid >= ? AND tokens.rowid <= ? AND d.occurred_at >= ? AND d.occurred_at < ?
		ORDER BY tokens.rowid LIMIT ?`
	}
	found, err := s.hits(s.tx.QueryContext(s.ctx, statement, match, s.lowID, s.topID, exact.from, exact.to, s.q.Limit))
	return s.keys(found), err
}

// scanPositions lists without any restriction but the kind.
func (s *search) scanPositions() ([]query.Key, error) {
	statement := `SELECT position, occurred_at FROM docs WHERE tenant = ? AND kind = ? AND position > ? AND position < ? ORDER BY position DESC LIMIT ?`
	if s.q.Sort.Ascending {
		statement = `SELECT position, occurred_at FROM docs WHERE tenant = ? AND kind = ? AND position > ? AND position < ? ORDER BY position LIMIT ?`
	}
	var all []hit
	for _, kind := range s.kinds {
		found, err := s.hits(s.tx.QueryContext(s.ctx, statement, s.tenant, kind, s.above, s.below, s.q.Limit))
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	s.sort(all)
	return s.keys(all), nil
}

// count counts what byPosition would list, up to limit.
func (s *search) count(limit int) (n int, err error) {
	buckets, exact := s.narrow()
	match := printExpression(s.tenant, s.kinds, &s.q.Criteria, buckets)
	switch {
	case match == "":
		for _, kind := range s.kinds {
			var of int
			err := s.tx.QueryRowContext(s.ctx, `SELECT count(*) FROM (SELECT 1 FROM docs WHERE tenant = ? AND kind = ? AND position > ? AND position < ? LIMIT ?)`,
				s.tenant, kind, s.above, s.below, limit).Scan(&of)
			if err != nil {
				return 0, err
			}
			n += of
		}
		return min(n, limit), nil
	case exact == anyTime:
		err = s.tx.QueryRowContext(s.ctx, `SELECT count(*) FROM (SELECT 1 FROM tokens WHERE tokens MATCH ? AND rowid >= ? AND rowid <= ? LIMIT ?)`,
			match, s.lowID, s.topID, limit).Scan(&n)
	default:
		err = s.tx.QueryRowContext(s.ctx, `SELECT count(*) FROM (SELECT 1 FROM tokens CROSS JOIN docs d ON d.id = tokens.rowid
			WHERE tokens MATCH ? AND tokens.rowid >= ? AND tokens.rowid <= ? AND d.occurred_at >= ? AND d.occurred_at < ? LIMIT ?)`,
			match, s.lowID, s.topID, exact.from, exact.to, limit).Scan(&n)
	}
	return n, err
}

// hit is a document that was found.
type hit struct {
	position eventstore.Position
	occurred eventstore.Micros
}

func (s *search) hits(rows *sql.Rows, err error) (out []hit, _ error) {
	if err != nil {
		return nil, err
	}
	for rows.Next() {
		var h hit
		if err := rows.Scan(&h.position, &h.occurred); err != nil {
			return nil, errors.Join(err, rows.Close())
		}
		out = append(out, h)
	}
	return out, rows.Err()
}

// sort brings hits into the order that is asked for.
func (s *search) sort(all []hit) { slices.SortFunc(all, s.compare) }

func (s *search) compare(a, b hit) int {
	if s.q.Sort.Occurred && a.occurred != b.occurred {
		return s.direction(a.occurred < b.occurred)
	}
	if a.position == b.position {
		return 0
	}
	return s.direction(a.position < b.position)
}

func (s *search) direction(less bool) int {
	if less == s.q.Sort.Ascending {
		return -1
	}
	return 1
}

// keys are the first hits, at most the asked number.
func (s *search) keys(all []hit) []query.Key {
	out := make([]query.Key, 0, min(len(all), s.q.Limit))
	for _, h := range all[:min(len(all), s.q.Limit)] {
		k := query.Key{Position: h.position}
		if s.q.Sort.Occurred {
			k.Occurred = h.occurred
		}
		out = append(out, k)
	}
	return out
}
