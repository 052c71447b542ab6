package query_test

import (
	"context"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"auditlog/eventstore"
	"auditlog/eventstore/format"
	"auditlog/query"
)

// TestPagingIsASnapshot: whatever is appended between pages, a walk gives exactly what page one was complete to, in
// order, once; what is erased meanwhile drops out where it no longer matches, and what is purged drops out.
func TestPagingIsASnapshot(t *testing.T) {
	ring := newRing(t)
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorldOn(t, ring, query.Options{})
		var events []eventstore.Event
		gone := map[eventstore.Position]bool{}
		step := func() {
			switch n := rapid.IntRange(0, 9).Draw(rt, "step"); {
			case n < 6 || len(events) == 0:
				at := startOfLog + eventstore.Micros(rapid.IntRange(0, 5).Draw(rt, "occurred"))
				p := parts{priv: format.Private{Actor: format.Actor{ID: fmt.Sprint(rapid.IntRange(0, 1).Draw(rt, "actor"))}}}
				p.pub = format.Public{Action: "A", ActorType: "user", ResourceType: "r", Severity: "INFO", Outcome: "success", OccurredAt: &at}
				events = append(events, w.append(p))
			case n < 8:
				if ev := rapid.SampledFrom(events).Draw(rt, "entry"); !gone[ev.Position] {
					w.amend(ev.ID, "amended")
				}
			case n == 8:
				if ev := rapid.SampledFrom(events).Draw(rt, "entry"); !gone[ev.Position] {
					gone[ev.Position] = true
					w.erase(ev.ID)
				}
			default:
				w.index.catchUp()
			}
		}
		for range rapid.IntRange(0, 40).Draw(rt, "before") {
			step()
		}
		req := query.SearchRequest{
			Limit: rapid.IntRange(1, 7).Draw(rt, "limit"),
			Sort:  query.Sort{Ascending: rapid.Bool().Draw(rt, "ascending"), Occurred: rapid.Bool().Draw(rt, "by occurred")},
		}
		byActor := rapid.Bool().Draw(rt, "by actor")
		if byActor {
			req.Criteria.ActorID = "1"
		}
		atStart := len(events)
		page := w.search(req)
		snapshot := page.CompleteTo.Position
		erasedBefore := len(gone)
		var walked []query.Key
		for {
			if page.CompleteTo.Position != snapshot {
				rt.Fatalf("a later page is complete to %d, not %d", page.CompleteTo.Position, snapshot)
			}
			for _, e := range page.Items {
				k := query.Key{Position: e.Position}
				if req.Sort.Occurred {
					k.Occurred = e.OccurredAt
				}
				walked = append(walked, k)
			}
			if page.NextCursor == "" {
				break
			}
			if len(page.Items) != req.Limit {
				rt.Fatalf("a page of %d is not the last", len(page.Items))
			}
			for range rapid.IntRange(0, 5).Draw(rt, "between") {
				step()
			}
			page = w.search(query.SearchRequest{Cursor: page.NextCursor})
		}
		for i := 1; i < len(walked); i++ {
			if compareKeys(req.Sort, walked[i-1], walked[i]) >= 0 {
				rt.Fatalf("%v comes after %v", walked[i], walked[i-1])
			}
		}
		found := map[eventstore.Position]bool{}
		for _, k := range walked {
			found[k.Position] = true
		}
		for i, ev := range events {
			opened, err := w.opener.Open(context.Background(), ev)
			if err != nil {
				rt.Fatal(err)
			}
			want := ev.Position <= snapshot && (!byActor || opened.Priv.Actor.ID == "1")
			switch {
			case found[ev.Position] && (!want || i >= atStart):
				rt.Fatalf("position %d was not in the snapshot to %d", ev.Position, snapshot)
			case !found[ev.Position] && want && !(byActor && gone[ev.Position]):
				rt.Fatalf("position %d was skipped; erased before: %d", ev.Position, erasedBefore)
			}
		}
	})
}
