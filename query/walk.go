package query

import (
	"context"

	"auditlog/internal/criteria"
	"auditlog/internal/entry"
)

// hit is an entry with its place in the listing.
type hit struct {
	key   Key
	entry entry.Entry
}

// minRefill is the fewest keys asked of an index at a time, so that a page which lost many hits is not filled one by one.
const minRefill = 50

// walk takes entries from an index in order. The index is asked again for what dropped out: entries that were purged
// or erased after they were indexed.
type walk struct {
	q     *Queries
	query IndexQuery
	want  int
	ended bool // the index has no more
}

// fill gives the next entries: want of them, or all that are left. It moves query.After past what it gave.
func (w *walk) fill(ctx context.Context) ([]hit, error) {
	hits := make([]hit, 0, w.want)
	for len(hits) < w.want && !w.ended && w.query.Bound > w.query.Floor {
		w.query.Limit = max(w.want-len(hits), min(minRefill, w.want))
		keys, err := w.q.index.Find(ctx, w.query)
		if err != nil {
			return nil, costly(ctx, err)
		}
		w.ended = len(keys) < w.query.Limit
		if len(keys) == 0 {
			break
		}
		w.query.After = &keys[len(keys)-1]
		if hits, err = w.take(ctx, hits, keys); err != nil {
			return nil, err
		}
	}
	return hits, nil
}

// take adds the entries of keys that still match, up to want.
func (w *walk) take(ctx context.Context, hits []hit, keys []Key) ([]hit, error) {
	entries, err := w.q.hydrate(ctx, w.query.Tenant, keys)
	if err != nil {
		return nil, err
	}
	next := 0
	for i := range entries {
		for keys[next].Position != entries[i].Position {
			next++
		}
		if !stillMatches(&w.query.Criteria, &entries[i]) {
			continue
		}
		if len(hits) == w.want { // the rest is asked for again
			w.ended, w.query.After = false, &hits[len(hits)-1].key
			break
		}
		hits = append(hits, hit{key: keys[next], entry: entries[i]})
	}
	return hits, nil
}

// stillMatches re-checks an entry that changed after it was recorded: what is erased must not be found by its erased
// words, though the index has not caught up.
func stillMatches(c *criteria.Criteria, e *entry.Entry) bool {
	return e.Newest == e.Position || c.Match(e)
}
