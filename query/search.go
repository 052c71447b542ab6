package query

import (
	"context"
	"time"

	"auditlog/eventstore"
	"auditlog/internal/criteria"
	"auditlog/internal/entry"
	"auditlog/internal/fault"
)

// Bounds of a search.
const (
	DefaultLimit = 50
	MaxLimit     = 500
	MaxWait      = 10 * time.Second
	MaxTotal     = 10_000 // totals are exact up to this
)

// SearchRequest asks for one page of entries.
type SearchRequest struct {
	Criteria criteria.Criteria
	Sort     Sort
	Limit    int    // 1 to MaxLimit; 0: what the cursor's page had, or DefaultLimit
	Cursor   string // of the page before; "": page one
	// Given tells that parameters which make up Criteria or Sort were sent beside Cursor; they must then equal the
	// cursor's. Without it the cursor alone says what is asked.
	Given bool
	Total bool // also count

	MinPosition eventstore.Position // answer only when complete to this position; 0: as it is. Page one only.
	Wait        time.Duration       // how long to wait for MinPosition, at most MaxWait
}

// Total is how many entries match. Relation is "eq", or "gte" when there are more than Value.
type Total struct {
	Value    int
	Relation string
}

// SearchPage is one page of a walk.
type SearchPage struct {
	Items      []entry.Entry
	NextCursor string // "": this is the last page
	CompleteTo CompleteTo
	Total      *Total // nil unless asked for
}

// plan is a search with everything decided but the work.
type plan struct {
	query      IndexQuery
	completeTo CompleteTo
	counted    bool // page one: a page that holds everything is also the total
}

// Search gives one page of the entries that match.
func (q *Queries) Search(ctx context.Context, r Reader, req SearchRequest) (SearchPage, error) {
	p, err := q.plan(ctx, r, req)
	if err != nil {
		return SearchPage{}, err
	}
	var page SearchPage
	err = q.within(ctx, func(ctx context.Context) error {
		page, err = q.searchPage(ctx, r, p, req.Total)
		return err
	})
	return page, err
}

func (q *Queries) plan(ctx context.Context, r Reader, req SearchRequest) (plan, error) {
	if err := req.check(); err != nil {
		return plan{}, err
	}
	if req.Cursor != "" {
		return q.resume(ctx, r, req)
	}
	if err := r.checkKind(req.Criteria.Kind); err != nil {
		return plan{}, err
	}
	to, head, err := q.completeTo(ctx, r.Tenant, req.MinPosition, req.Wait)
	if err != nil {
		return plan{}, err
	}
	limit := req.Limit
	if limit == 0 {
		limit = DefaultLimit
	}
	return plan{completeTo: to, counted: true, query: IndexQuery{
		Tenant: r.Tenant, Criteria: req.Criteria, Sort: req.Sort, Floor: head.Purged, Bound: to.Position, Limit: limit,
	}}, nil
}

// resume restores the search that a cursor continues. The purged floor is today's.
func (q *Queries) resume(ctx context.Context, r Reader, req SearchRequest) (plan, error) {
	c, err := q.openCursor(r.Tenant, req)
	if err != nil {
		return plan{}, err
	}
	if err := r.checkKind(c.criteria.Kind); err != nil {
		return plan{}, err
	}
	head, err := q.store.Head(ctx, r.Tenant)
	if err != nil {
		return plan{}, err
	}
	if req.Limit != 0 {
		c.limit = req.Limit
	}
	return plan{completeTo: c.completeTo, query: IndexQuery{
		Tenant: r.Tenant, Criteria: c.criteria, Sort: c.sort, After: &c.last,
		Floor: head.Purged, Bound: c.completeTo.Position, Limit: c.limit,
	}}, nil
}

func (req *SearchRequest) check() error {
	var broken []fault.Field
	refuse := func(parameter, detail string) {
		broken = append(broken, fault.Field{Kind: fault.Invalid, Pointer: "?" + parameter, Detail: detail})
	}
	if req.Limit < 0 || req.Limit > MaxLimit {
		refuse("limit", "limit must be from 1 to 500")
	}
	if req.MinPosition < 0 {
		refuse("min_position", "min_position must not be negative")
	}
	if req.Cursor != "" && req.MinPosition != 0 {
		refuse("min_position", "min_position is for the first page: a cursor's pages answer for the same positions")
	}
	if req.Wait < 0 || req.Wait > MaxWait {
		refuse("wait", "wait must be from 0s to 10s")
	}
	if f, ok := checkRange(req.Criteria.From, req.Criteria.To); !ok {
		broken = append(broken, f)
	}
	return fault.Of(broken)
}

// checkRange refuses a range that ends before it starts. An empty one is sound.
func checkRange(from, to *eventstore.Micros) (fault.Field, bool) {
	if from != nil && to != nil && *from > *to {
		return fault.Field{Kind: fault.Invalid, Pointer: "?from", Detail: "from must not be after to"}, false
	}
	return fault.Field{}, true
}

// searchPage fills one page. One entry more than asked for tells whether there is a next page.
func (q *Queries) searchPage(ctx context.Context, r Reader, p plan, total bool) (SearchPage, error) {
	page := SearchPage{CompleteTo: p.completeTo}
	w := walk{q: q, query: p.query, want: p.query.Limit + 1}
	hits, err := w.fill(ctx)
	if err != nil {
		return page, err
	}
	more := len(hits) > p.query.Limit
	if more {
		hits = hits[:p.query.Limit]
		if page.NextCursor, err = q.sealCursor(p, hits[len(hits)-1].key); err != nil {
			return page, err
		}
	}
	page.Items = make([]entry.Entry, len(hits))
	for i := range hits {
		page.Items[i] = hits[i].entry
	}
	if !total {
		return page, nil
	}
	if p.counted && !more {
		page.Total = &Total{Value: len(hits), Relation: "eq"}
		return page, nil
	}
	head, err := q.store.Head(ctx, r.Tenant)
	if err != nil {
		return page, err
	}
	if err := q.forgotten(ctx, r.Tenant, head, q.index); err != nil {
		return page, err
	}
	page.Total, err = q.total(ctx, p.query)
	return page, err
}

// total counts what all pages of the walk hold together.
func (q *Queries) total(ctx context.Context, query IndexQuery) (*Total, error) {
	query.After = nil
	n, err := q.index.Count(ctx, query, MaxTotal+1)
	if err != nil {
		return nil, costly(ctx, err)
	}
	if n > MaxTotal {
		return &Total{Value: MaxTotal, Relation: "gte"}, nil
	}
	return &Total{Value: n, Relation: "eq"}, nil
}
