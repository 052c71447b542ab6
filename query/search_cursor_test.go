package query_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"auditlog/eventstore"
	"auditlog/internal/criteria"
	"auditlog/internal/fault"
	"auditlog/keyring"
	"auditlog/query"
)

// full is a search that uses every criterion, by a list of n actions.
func full(tb testing.TB, n int) query.SearchRequest {
	from, to := startOfLog, startOfLog+eventstore.Micros(time.Hour.Microseconds())
	c := parse(tb, "entry GetBucketPolicy s3.amazonaws.com ärger 東京都")
	c.ActorID, c.ActorType, c.ResourceID, c.RequestID, c.SessionID, c.IP = "alice", "user", "r-1", "q-1", "s-1", "192.0.2.1"
	c.ResourceTypes, c.Severities, c.Outcomes = []string{"document"}, []string{"INFO"}, []string{"success"}
	c.Metadata = []criteria.Metadata{{Path: "a.b", Value: "1"}}
	c.From, c.To, c.RecordedTime = &from, &to, true
	for i := range n {
		c.Actions = append(c.Actions, fmt.Sprintf("action.number-%d", i))
	}
	return query.SearchRequest{Criteria: c, Sort: query.Sort{Ascending: true, Occurred: true}, Limit: 2, Given: true}
}

// seen runs a search of three hits and gives what the index was asked for the next page.
func seen(t *testing.T, ring *keyring.Ring, req query.SearchRequest, next func(query.SearchRequest) query.SearchRequest) (first, second query.IndexQuery, err error) {
	t.Helper()
	w := newWorldOn(t, ring, query.Options{})
	w.recordMany(3)
	var asked []query.IndexQuery
	w.index.before = func(_ context.Context, q query.IndexQuery) error {
		asked = append(asked, q)
		return nil
	}
	hits := &everything{memIndex: w.index}
	w.q = query.New(w.store, w.opener, hits, w.rolls, w.feed, [32]byte{42}, query.Options{})
	page := w.search(req)
	if page.NextCursor == "" {
		t.Fatal("no second page")
	}
	follow := next(req)
	follow.Cursor = page.NextCursor
	_, err = w.q.Search(context.Background(), w.reader, follow)
	if err != nil {
		return asked[0], query.IndexQuery{}, err
	}
	return asked[0], asked[1], nil
}

// everything is an index that finds all entries for any criteria.
type everything struct{ *memIndex }

func (x *everything) Find(ctx context.Context, q query.IndexQuery) ([]query.Key, error) {
	asked := q.Criteria
	q.Criteria = criteria.Criteria{}
	if err := x.before(ctx, query.IndexQuery{Criteria: asked, Sort: q.Sort, Bound: q.Bound, After: q.After, Tenant: q.Tenant}); err != nil {
		return nil, err
	}
	before := x.before
	x.before = nil
	defer func() { x.before = before }()
	return x.memIndex.Find(ctx, q)
}

func canonical(c criteria.Criteria) string { return string(c.AppendCanonical(nil)) }

// TestCursorHoldsTheQuery: alone it continues the very same search, every criterion included.
func TestCursorHoldsTheQuery(t *testing.T) {
	ring := newRing(t)
	alone := func(query.SearchRequest) query.SearchRequest { return query.SearchRequest{} }
	first, second, err := seen(t, ring, full(t, 20), alone)
	if err != nil {
		t.Fatal(err)
	}
	if canonical(first.Criteria) != canonical(second.Criteria) || first.Sort != second.Sort || first.Bound != second.Bound {
		t.Errorf("the second page asks %+v, the first asked %+v", second, first)
	}
	if second.After == nil || second.After.Position != 2 {
		t.Errorf("the second page starts after %+v", second.After)
	}
}

func TestCursorBesideParameters(t *testing.T) {
	ring := newRing(t)
	late := startOfLog + 5
	for name, c := range map[string]struct {
		change func(*query.SearchRequest)
		kind   fault.Kind
	}{
		"equal":                {func(*query.SearchRequest) {}, 0},
		"equal, other order":   {func(r *query.SearchRequest) { a := r.Criteria.Actions; a[0], a[1] = a[1], a[0] }, 0},
		"other limit":          {func(r *query.SearchRequest) { r.Limit = 1 }, 0},
		"G2 other order":       {func(r *query.SearchRequest) { r.Sort.Ascending = false }, fault.BadCursor},
		"G2 other sort":        {func(r *query.SearchRequest) { r.Sort.Occurred = false }, fault.BadCursor},
		"G2 other actor":       {func(r *query.SearchRequest) { r.Criteria.ActorID = "bob" }, fault.BadCursor},
		"G2 one action less":   {func(r *query.SearchRequest) { r.Criteria.Actions = r.Criteria.Actions[1:] }, fault.BadCursor},
		"G2 other text":        {func(r *query.SearchRequest) { r.Criteria.Text = parse(t, "other").Text }, fault.BadCursor},
		"G2 other metadata":    {func(r *query.SearchRequest) { r.Criteria.Metadata[0].Value = "2" }, fault.BadCursor},
		"G2 other time":        {func(r *query.SearchRequest) { r.Criteria.From = &late }, fault.BadCursor},
		"G2 other clock":       {func(r *query.SearchRequest) { r.Criteria.RecordedTime = false }, fault.BadCursor},
		"G2 other kind":        {func(r *query.SearchRequest) { r.Criteria.Kind = criteria.All }, fault.BadCursor},
		"G2 no criteria given": {func(r *query.SearchRequest) { r.Criteria = criteria.Criteria{} }, fault.BadCursor},
	} {
		for _, actions := range []int{20, 150} { // the query inside the cursor, and too long for it
			_, _, err := seen(t, ring, full(t, actions), func(query.SearchRequest) query.SearchRequest {
				again := full(t, actions)
				c.change(&again)
				return again
			})
			if c.kind == 0 && err != nil || c.kind != 0 && !fault.Is(err, c.kind) {
				t.Errorf("%s, %d actions: %v", name, actions, err)
			}
		}
	}
}

// TestCursorOfALongQuery does not hold it, says so, and stays short.
func TestCursorOfALongQuery(t *testing.T) {
	ring := newRing(t)
	_, _, err := seen(t, ring, full(t, 150), func(query.SearchRequest) query.SearchRequest { return query.SearchRequest{} })
	if !fault.Is(err, fault.BadCursor) || !strings.Contains(err.Error(), "send the query's parameters again") {
		t.Errorf("alone: %v", err)
	}
}

// TestCursorExpires is row G2, 25 hours.
func TestCursorExpires(t *testing.T) {
	w := newWorld(t)
	w.recordMany(3)
	next := w.search(query.SearchRequest{Limit: 1}).NextCursor
	w.now = w.now.Add(25 * time.Hour)
	if _, err := w.q.Search(context.Background(), w.reader, query.SearchRequest{Cursor: next}); !fault.Is(err, fault.CursorExpired) {
		t.Errorf("after 25 hours: %v", err)
	}
}

// FuzzCursor: no text but a genuine cursor is an answer, and none is more than a bad cursor.
func FuzzCursor(f *testing.F) {
	w := newWorld(f)
	w.recordMany(3)
	genuine := w.search(query.SearchRequest{Limit: 1}).NextCursor
	f.Add(genuine)
	f.Add(genuine + "A")
	f.Fuzz(func(t *testing.T, cursor string) {
		if cursor == genuine || cursor == "" {
			return
		}
		if _, err := w.q.Search(context.Background(), w.reader, query.SearchRequest{Cursor: cursor}); !fault.Is(err, fault.BadCursor) {
			t.Fatalf("%q answers %v", cursor, err)
		}
	})
}
