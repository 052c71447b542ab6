package query_test

import (
	"context"
	"errors"
	"testing"

	"auditlog/eventstore"
	"auditlog/eventstore/format"
	"auditlog/internal/criteria"
	"auditlog/internal/entry"
	"auditlog/internal/fault"
	"auditlog/query"
)

// item is what a feed makes of an event: the entry as it reads now.
func (w *world) item(kind string, ev, original eventstore.Event) query.StreamItem {
	w.tb.Helper()
	auditor := query.Reader{Tenant: w.reader.Tenant, AccessEvents: true}
	e, err := w.q.Get(context.Background(), auditor, original.ID)
	if err != nil {
		w.tb.Fatal(err)
	}
	return query.StreamItem{Type: kind, Entry: e, Position: ev.Position}
}

// watch streams items through criteria and gives the positions that were delivered, and the last one passed.
func (w *world) watch(c criteria.Criteria, items []query.StreamItem) (got []eventstore.Position, passed eventstore.Position) {
	w.tb.Helper()
	w.feed.items = make(chan query.StreamItem, len(items))
	for _, item := range items {
		w.feed.items <- item
	}
	close(w.feed.items)
	w.feed.lag = &query.LaggedError{After: 1}
	auditor := query.Reader{Tenant: w.reader.Tenant, AccessEvents: true}
	start := eventstore.Position(0)
	s, err := w.q.Stream(context.Background(), auditor, &start, c)
	if err != nil {
		w.tb.Fatal(err)
	}
	defer s.Close()
	for {
		item, err := s.Next(context.Background())
		var lagged *query.LaggedError
		if errors.As(err, &lagged) {
			return got, s.Position()
		}
		if err != nil {
			w.tb.Fatal(err)
		}
		if s.Position() >= item.Position {
			w.tb.Errorf("position %d is passed before item %d was delivered", s.Position(), item.Position)
		}
		got = append(got, item.Position)
	}
}

func TestStreamFilters(t *testing.T) {
	w := newWorld(t)
	created := w.append(parts{kind: eventstore.TenantCreated, pub: format.Public{Action: "tenant.created"}}) // 1
	alice := w.record("words")                                                                               // 2
	bob := w.append(parts{priv: format.Private{Actor: format.Actor{ID: "bob"}}})                             // 3
	late := w.record("plain")                                                                                // 4
	items := []query.StreamItem{
		w.item(query.ItemEntry, created, created), w.item(query.ItemEntry, alice, alice),
		w.item(query.ItemEntry, bob, bob), w.item(query.ItemEntry, late, late),
	}
	amended := w.amend(late.ID, "words at last") // 5
	items = append(items, w.item(query.ItemAmended, amended, late))
	erased := w.erase(alice.ID) // 6
	items = append(items, w.item(query.ItemErased, erased, alice))
	for name, c := range map[string]struct {
		criteria criteria.Criteria
		want     []eventstore.Position
	}{
		"everything":        {criteria.Criteria{Kind: criteria.All}, []eventstore.Position{1, 2, 3, 4, 5, 6}},
		"entries":           {criteria.Criteria{}, []eventstore.Position{2, 3, 4, 5, 6}},
		"access":            {criteria.Criteria{Kind: criteria.Access}, []eventstore.Position{1}},
		"an actor":          {criteria.Criteria{ActorID: "alice"}, []eventstore.Position{2, 4, 5, 6}},
		"words":             {parse(t, "words"), []eventstore.Position{2, 5, 6}},
		"an action":         {criteria.Criteria{Actions: []string{"CREATE"}}, []eventstore.Position{2, 3, 4, 5, 6}},
		"no such action":    {criteria.Criteria{Actions: []string{"X"}}, nil},
		"another's erasure": {criteria.Criteria{ActorID: "bob"}, []eventstore.Position{3, 6}},
	} {
		got, passed := w.watch(c.criteria, items)
		if len(got) != len(c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
			continue
		}
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("%s: %v, want %v", name, got, c.want)
				break
			}
		}
		if passed != 6 {
			t.Errorf("%s: passed %d", name, passed)
		}
	}
	if w.feed.open != 0 {
		t.Errorf("%d subscriptions are still open", w.feed.open)
	}
}

func TestStreamStarts(t *testing.T) {
	w := newWorld(t)
	w.recordMany(5)
	at := func(p eventstore.Position) *eventstore.Position { return &p }
	for name, c := range map[string]struct {
		after *eventstore.Position
		start eventstore.Position
		kind  fault.Kind
	}{
		"from now": {nil, 5, 0}, "from the first": {at(0), 0, 0}, "from the middle": {at(3), 3, 0}, "from the head": {at(5), 5, 0},
		"beyond the head": {at(6), 0, fault.Invalid}, "negative": {at(-1), 0, fault.Invalid},
	} {
		s, err := w.q.Stream(context.Background(), w.reader, c.after, criteria.Criteria{})
		if c.kind != 0 {
			if !fault.Is(err, c.kind) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil || w.feed.after != c.start || s.Position() != c.start {
			t.Errorf("%s: starts after %d, %v", name, w.feed.after, err)
			continue
		}
		s.Close()
	}
	for _, kind := range []criteria.Kind{criteria.Access, criteria.All} {
		if _, err := w.q.Stream(context.Background(), w.reader, nil, criteria.Criteria{Kind: kind}); !fault.Is(err, fault.Forbidden) {
			t.Errorf("K4 kind=%s: %v", kind, err)
		}
	}
	if w.feed.open != 0 {
		t.Errorf("%d subscriptions are still open", w.feed.open)
	}
}

// TestStreamEndsWithItsReader: a reader that leaves is let go at once, and nothing keeps running (TestMain looks).
func TestStreamEndsWithItsReader(t *testing.T) {
	w := newWorld(t)
	w.feed.items = make(chan query.StreamItem)
	s, err := w.q.Stream(context.Background(), w.reader, nil, criteria.Criteria{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() {
		_, err := s.Next(ctx)
		done <- err
	}()
	w.feed.items <- query.StreamItem{Type: query.ItemEntry, Entry: entry.Entry{Type: eventstore.LifecyclePurged}, Position: 1}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("the reader left: %v", err)
	}
	if s.Position() != 1 {
		t.Errorf("an item that does not match is passed at once, not %d", s.Position())
	}
}
