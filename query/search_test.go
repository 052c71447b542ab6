package query_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"auditlog/eventstore"
	"auditlog/eventstore/format"
	"auditlog/internal/criteria"
	"auditlog/internal/entry"
	"auditlog/internal/fault"
	"auditlog/internal/text"
	"auditlog/query"
)

func (w *world) search(req query.SearchRequest) query.SearchPage {
	w.tb.Helper()
	page, err := w.q.Search(context.Background(), w.reader, req)
	if err != nil {
		w.tb.Fatal(err)
	}
	return page
}

func parse(tb testing.TB, q string) criteria.Criteria {
	tb.Helper()
	parsed, err := text.Parse(q)
	if err != nil {
		tb.Fatal(err)
	}
	return criteria.Criteria{Text: parsed}
}

func TestSearchPages(t *testing.T) {
	w := newWorld(t)
	w.recordMany(7)
	first := w.search(query.SearchRequest{Limit: 3, Total: true})
	if got := positions(first.Items); !slices.Equal(got, []eventstore.Position{7, 6, 5}) {
		t.Fatalf("page one holds %v", got)
	}
	want := query.CompleteTo{Position: 7, RecordedAt: startOfLog + 6000}
	if first.CompleteTo != want || *first.Total != (query.Total{Value: 7, Relation: "eq"}) {
		t.Fatalf("page one is complete to %+v of %+v", first.CompleteTo, first.Total)
	}
	w.recordMany(5)
	second := w.search(query.SearchRequest{Cursor: first.NextCursor, Total: true})
	if got := positions(second.Items); !slices.Equal(got, []eventstore.Position{4, 3, 2}) {
		t.Fatalf("page two holds %v", got)
	}
	if second.CompleteTo != want || second.Total.Value != 7 {
		t.Fatalf("page two is complete to %+v of %+v: not as page one", second.CompleteTo, second.Total)
	}
	last := w.search(query.SearchRequest{Cursor: second.NextCursor, Limit: 10})
	if got := positions(last.Items); !slices.Equal(got, []eventstore.Position{1}) || last.NextCursor != "" {
		t.Fatalf("the last page holds %v and continues with %q", got, last.NextCursor)
	}
}

func TestSearchOfAnEmptyLog(t *testing.T) {
	w := newWorld(t)
	page := w.search(query.SearchRequest{Total: true})
	if len(page.Items) != 0 || page.NextCursor != "" || page.CompleteTo != (query.CompleteTo{}) || page.Total.Value != 0 {
		t.Fatalf("an empty log answers %+v", page)
	}
}

func TestTotalBeyondItsBound(t *testing.T) {
	w := newWorld(t)
	events := w.recordMany(3)
	first := w.index.opened[events[0].ID][0]
	for i := range query.MaxTotal { // documents of the index alone
		first.ID = eventstore.EventID{byte(i), byte(i >> 8), 1}
		w.index.opened[first.ID] = []entry.Opened{first}
	}
	page := w.search(query.SearchRequest{Limit: 1, Total: true})
	if *page.Total != (query.Total{Value: query.MaxTotal, Relation: "gte"}) {
		t.Fatalf("the total is %+v", page.Total)
	}
}

// TestErasedIsNotFound: an erasure that the index has not seen yet hides the entry from its erased words, and the page
// is filled up with what follows.
func TestErasedIsNotFound(t *testing.T) {
	w := newWorld(t)
	events := w.recordMany(6)
	w.erase(events[5].ID)
	w.erase(events[3].ID)
	byText := w.search(query.SearchRequest{Criteria: parse(t, "entry"), Limit: 3})
	if got := positions(byText.Items); !slices.Equal(got, []eventstore.Position{5, 3, 2}) {
		t.Fatalf("the erased words find %v", got)
	}
	byAction := w.search(query.SearchRequest{Criteria: criteria.Criteria{Actions: []string{"CREATE"}}, Limit: 3})
	if got := positions(byAction.Items); !slices.Equal(got, []eventstore.Position{6, 5, 4}) {
		t.Fatalf("a public field finds %v", got)
	}
	if e := byAction.Items[0]; e.Erased == nil || e.Private.Message != "" {
		t.Fatalf("an erased entry reads %+v", e)
	}
}

// TestRefillPassesManyErased: hits that drop out at the end of what an index gave are not asked for again for ever.
func TestRefillPassesManyErased(t *testing.T) {
	w := newWorld(t)
	events := w.recordMany(130)
	for _, ev := range events[5:] {
		w.erase(ev.ID)
	}
	page := w.search(query.SearchRequest{Criteria: parse(t, "entry"), Limit: 5})
	if got := positions(page.Items); !slices.Equal(got, []eventstore.Position{5, 4, 3, 2, 1}) || page.NextCursor != "" {
		t.Fatalf("the page holds %v and continues with %q", got, page.NextCursor)
	}
}

func TestAmendmentsShowBeforeTheIndexKnows(t *testing.T) {
	w := newWorld(t)
	events := w.recordMany(2)
	w.amend(events[0].ID, "corrected")
	page := w.search(query.SearchRequest{})
	if len(page.Items) != 2 || len(page.Items[1].Amendments) != 1 || page.Items[1].Amendments[0].Message != "corrected" {
		t.Fatalf("items are %+v", page.Items)
	}
}

func TestPurgedIsInNoPage(t *testing.T) {
	w := newWorld(t)
	events := w.recordMany(6)
	first := w.search(query.SearchRequest{Limit: 2, Sort: query.Sort{Ascending: true}})
	w.purge(4)
	w.puncture(events[:4]...)
	second := w.search(query.SearchRequest{Cursor: first.NextCursor})
	if got := positions(second.Items); !slices.Equal(got, []eventstore.Position{5, 6}) {
		t.Fatalf("after the purge a cursor gives %v", got)
	}
	if got := positions(w.search(query.SearchRequest{}).Items); !slices.Equal(got, []eventstore.Position{6, 5}) {
		t.Fatalf("after the purge a search gives %v", got)
	}
}

// TestPurgeBetweenReads: events that are purged, keys and all, after they were read leave no half-read entry.
func TestPurgeBetweenReads(t *testing.T) {
	w := newWorld(t)
	events := w.recordMany(3)
	w.store.before = func(call string) {
		if call == "About" {
			w.store.before = nil
			w.purge(2)
			w.puncture(events[:2]...)
		}
	}
	if got := positions(w.search(query.SearchRequest{}).Items); !slices.Equal(got, []eventstore.Position{3}) {
		t.Fatalf("the page holds %v", got)
	}
}

// TestErasureBetweenReads: an entry whose key is destroyed after the events about it were read reads as erased.
func TestErasureBetweenReads(t *testing.T) {
	w := newWorld(t)
	events := w.recordMany(3)
	w.puncture(events[1])
	w.store.before = func(call string) {
		if call == "Get" { // the second look
			w.store.before = nil
			w.erase(events[1].ID)
		}
	}
	page := w.search(query.SearchRequest{})
	if got := positions(page.Items); !slices.Equal(got, []eventstore.Position{3, 2, 1}) || page.Items[1].Erased == nil {
		t.Fatalf("the page holds %v, %+v", got, page.Items[1])
	}
}

// TestLostKeyIsSaid: a key that is gone without a reason is our defect, never a blank entry.
func TestLostKeyIsSaid(t *testing.T) {
	w := newWorld(t)
	w.puncture(w.recordMany(2)[0])
	if _, err := w.q.Search(context.Background(), w.reader, query.SearchRequest{}); !fault.Is(err, fault.Internal) {
		t.Fatalf("a lost key answers %v", err)
	}
}

func TestPagesOfEventsMayEndEarly(t *testing.T) {
	w := newWorld(t)
	w.recordMany(20)
	w.store.page = 3
	page := w.search(query.SearchRequest{Limit: 10})
	if len(page.Items) != 10 || page.Items[9].Position != 11 {
		t.Fatalf("the page holds %v", positions(page.Items))
	}
}

func TestTenantsNeverMeet(t *testing.T) {
	w := newWorld(t)
	mine := w.recordMany(3)
	other := query.Reader{Tenant: w.tenant(), AccessEvents: true}
	page, err := w.q.Search(context.Background(), other, query.SearchRequest{Total: true})
	if err != nil || len(page.Items) != 0 || page.Total.Value != 0 || page.CompleteTo != (query.CompleteTo{}) {
		t.Fatalf("another tenant sees %+v, %v", page, err)
	}
	cursor := w.search(query.SearchRequest{Limit: 1}).NextCursor
	for name, err := range map[string]error{
		"B9 cursor": second(w.q.Search(context.Background(), other, query.SearchRequest{Cursor: cursor})),
		"B3 get":    second(w.q.Get(context.Background(), other, mine[0].ID)),
		"history":   second(w.q.History(context.Background(), other, mine[0].ID)),
	} {
		if !fault.Is(err, fault.BadCursor) && !fault.Is(err, fault.NotFound) {
			t.Errorf("%s answers %v", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestKindsNeedTheRole(t *testing.T) {
	w := newWorld(t)
	w.recordMany(1)
	created := w.append(parts{kind: eventstore.TenantCreated, pub: format.Public{Action: "tenant.created"}})
	w.index.catchUp()
	auditor := w.reader
	auditor.AccessEvents = true
	for _, kind := range []criteria.Kind{criteria.Access, criteria.All} {
		req := query.SearchRequest{Criteria: criteria.Criteria{Kind: kind}, Limit: 1}
		if _, err := w.q.Search(context.Background(), w.reader, req); !fault.Is(err, fault.Forbidden) {
			t.Errorf("kind=%s answers a reader with %v", kind, err)
		}
		page, err := w.q.Search(context.Background(), auditor, req)
		if err != nil || page.Items[0].ID != created.ID {
			t.Errorf("kind=%s answers an auditor with %+v, %v", kind, page, err)
		}
		if page.NextCursor == "" {
			continue
		}
		if _, err := w.q.Search(context.Background(), w.reader, query.SearchRequest{Cursor: page.NextCursor}); !fault.Is(err, fault.Forbidden) {
			t.Errorf("an auditor's cursor answers a reader with %v", err)
		}
	}
	if got := w.search(query.SearchRequest{}); len(got.Items) != 1 {
		t.Errorf("the default kind shows %v", positions(got.Items))
	}
	if _, err := w.q.Search(context.Background(), auditor, query.SearchRequest{Criteria: criteria.Criteria{Kind: "x"}}); !fault.Is(err, fault.Invalid) {
		t.Errorf("kind=x answers %v", err)
	}
}

func TestSearchRefuses(t *testing.T) {
	w := newWorld(t)
	w.recordMany(3)
	cursor := w.search(query.SearchRequest{Limit: 1}).NextCursor
	early, late := startOfLog, startOfLog+1
	for name, c := range map[string]struct {
		req  query.SearchRequest
		kind fault.Kind
	}{
		"G1 limit=-1":                 {query.SearchRequest{Limit: -1}, fault.Invalid},
		"G1 limit=501":                {query.SearchRequest{Limit: 501}, fault.Invalid},
		"F5 from after to":            {query.SearchRequest{Criteria: criteria.Criteria{From: &late, To: &early}}, fault.Invalid},
		"min_position=-1":             {query.SearchRequest{MinPosition: -1}, fault.Invalid},
		"wait=11s":                    {query.SearchRequest{Wait: 11 * time.Second}, fault.Invalid},
		"min_position beside cursor":  {query.SearchRequest{Cursor: cursor, MinPosition: 1}, fault.Invalid},
		"min_position above the head": {query.SearchRequest{MinPosition: 4}, fault.Behind},
		"G2 cursor":                   {query.SearchRequest{Cursor: cursor[1:]}, fault.BadCursor},
	} {
		if _, err := w.q.Search(context.Background(), w.reader, c.req); !fault.Is(err, c.kind) {
			t.Errorf("%s: %v, want %v", name, err, c.kind)
		}
	}
	if page := w.search(query.SearchRequest{Criteria: criteria.Criteria{From: &early, To: &early}}); len(page.Items) != 0 {
		t.Errorf("F5 from = to finds %v", positions(page.Items))
	}
}

func TestMinPositionWaits(t *testing.T) {
	ring := newRing(t) // outside of the bubble: its files are real
	synctest.Test(t, func(t *testing.T) {
		w := newWorldOn(t, ring, query.Options{})
		w.recordMany(1)
		go func() {
			time.Sleep(3 * time.Second)
			w.recordMany(1)
			time.Sleep(3 * time.Second)
			w.recordMany(1)
		}()
		began := time.Now()
		page := w.search(query.SearchRequest{MinPosition: 3, Wait: 8 * time.Second})
		if page.CompleteTo.Position != 3 || len(page.Items) != 3 || time.Since(began) != 6*time.Second {
			t.Errorf("after %v complete to %d", time.Since(began), page.CompleteTo.Position)
		}
		began = time.Now()
		_, err := w.q.Search(t.Context(), w.reader, query.SearchRequest{MinPosition: 4, Wait: 8 * time.Second})
		if !fault.Is(err, fault.Behind) || time.Since(began) != 8*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = w.q.Search(ctx, w.reader, query.SearchRequest{MinPosition: 4, Wait: 8 * time.Second})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a caller who left: %v", err)
		}
	})
}
