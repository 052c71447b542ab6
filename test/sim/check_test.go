package sim

import (
	"cmp"
	"slices"
	"time"

	"auditlog/eventstore"
	"auditlog/projection"
)

// ledger is the log as it is in the end, for questions about single events.
type ledger struct {
	byID map[eventstore.EventID]row
	byAt map[eventAt]row
}

type eventAt struct {
	tenant   eventstore.TenantID
	position eventstore.Position
}

// checkHistory holds the log to what clients were told: I1 to I4.
func (w *world) checkHistory() {
	l := &ledger{map[eventstore.EventID]row{}, map[eventAt]row{}}
	last, offsets := map[eventstore.TenantID]row{}, [shards]eventstore.Offset{}
	for _, r := range w.store.rows {
		if _, twice := l.byID[r.ID]; twice {
			w.broken("I2", "event %s is stored twice", r.ID)
		}
		l.byID[r.ID], l.byAt[eventAt{r.Tenant, r.Position}] = r, r
		if was := last[r.Tenant]; r.Position != was.Position+1 || r.RecordedAt < was.RecordedAt {
			w.broken("I4", "position %d follows %d", r.Position, was.Position)
		}
		if r.Offset != offsets[r.Shard]+1 {
			w.broken("I4", "offset %d follows %d", r.Offset, offsets[r.Shard])
		}
		last[r.Tenant], offsets[r.Shard] = r, r.Offset
	}
	w.checkKeys()
	for _, t := range w.tries {
		w.checkTry(l, t)
	}
	w.checkOrder()
}

// checkKeys: each key has one event at most.
func (w *world) checkKeys() {
	seen := map[keyName]bool{}
	for _, r := range w.store.rows {
		if r.key == nil {
			continue
		}
		name := keyName{r.Tenant, r.key.Token}
		if seen[name] {
			w.broken("I3", "the key of event %s is that of another event, too", r.ID)
		}
		seen[name] = true
	}
}

// checkTry holds what is stored of a request to what its client knows.
func (w *world) checkTry(l *ledger, t *try) {
	var stored []row
	for _, d := range t.drafts {
		if r, ok := l.byID[d.ID]; ok {
			stored = append(stored, r)
		}
	}
	for i := 1; i < len(stored); i++ {
		if stored[i].flush != stored[0].flush || stored[i].Position != stored[0].Position+eventstore.Position(i) {
			w.broken("lane", "a unit of %s is split: positions %d and %d", t.who, stored[0].Position, stored[i].Position)
		}
	}
	switch t.fate {
	case refused:
		if len(stored) > 0 {
			w.broken("I2", "%s was refused at %v, and stored at position %d", t.who, t.returned, stored[0].Position)
		}
	case acknowledged:
		for i, o := range t.outcomes {
			w.checkOutcome(l, t, t.drafts[i], o)
		}
	}
}

func (w *world) checkOutcome(l *ledger, t *try, d eventstore.Draft, o eventstore.Outcome) {
	own, isStored := l.byID[d.ID]
	first, there := l.byAt[eventAt{t.tenant, o.Position}]
	switch o.Status {
	case eventstore.Stored:
		if !isStored || own.Position != o.Position || own.RecordedAt != o.RecordedAt || o.ID != d.ID {
			w.broken("I1", "%s was told at %v that %s is stored at %d; it is not", t.who, t.returned, d.ID, o.Position)
		}
	case eventstore.Replayed:
		if isStored && own.ID != o.ID {
			w.broken("I3", "%s was told of a replay, and %s is stored", t.who, d.ID)
		}
		if !there || first.ID != o.ID || first.key == nil || *first.key != *d.Idempotency {
			w.broken("I3", "%s was told at %v of a first event %s at %d, which is another", t.who, t.returned, o.ID, o.Position)
		}
		w.sometimes("key replayed")
	default:
		if isStored {
			w.broken("I2", "%s was told that %s is refused (%d), and it is stored", t.who, d.ID, o.Status)
		}
		w.sometimes("key reused for another body")
	}
}

// checkOrder: what was acknowledged before another request was sent has the smaller position.
func (w *world) checkOrder() {
	byTenant := map[eventstore.TenantID][]*try{}
	for _, t := range w.tries {
		if t.fate == acknowledged {
			byTenant[t.tenant] = append(byTenant[t.tenant], t)
		}
	}
	for _, sent := range byTenant {
		answered := slices.Clone(sent)
		slices.SortFunc(sent, func(a, b *try) int { return cmp.Compare(a.called, b.called) })
		slices.SortFunc(answered, func(a, b *try) int { return cmp.Compare(a.returned, b.returned) })
		newest, at := eventstore.Position(0), time.Duration(0)
		for _, t := range sent {
			for len(answered) > 0 && answered[0].returned < t.called {
				if _, high := fresh(answered[0]); high > newest {
					newest, at = high, answered[0].returned
				}
				answered = answered[1:]
			}
			if low, _ := fresh(t); low > 0 && low < newest {
				w.broken("I4", "position %d was acknowledged at %v, and %d went to a request sent at %v", newest, at, low, t.called)
			}
		}
	}
}

// fresh are the lowest and highest positions that a request newly got; 0 for none.
func fresh(t *try) (low, high eventstore.Position) {
	for _, o := range t.outcomes {
		if o.Status != eventstore.Stored {
			continue
		}
		if low == 0 {
			low = o.Position
		}
		high = o.Position
	}
	return low, high
}

// checkModels: every event took effect once, but those that a projection cannot take, which are parked (I6, I17).
func (w *world) checkModels() { w.compare(false) }

// checkRepaired: nothing is parked, and every event took effect once.
func (w *world) checkRepaired() {
	w.compare(true)
	if n := len(w.models.parked); n > 0 {
		w.broken("I17", "%d events are parked though their cause is mended", n)
	}
}

func (w *world) compare(repaired bool) {
	w.models.mu.Lock()
	defer w.models.mu.Unlock()
	for _, r := range w.store.rows {
		for _, d := range destinations {
			bad := !repaired && (d == "counts" && r.Public[0] == panics || d == "documents" && r.Public[0] == poisonous)
			times, want := w.models.of["counts"].times[r.Shard][r.Offset], 1
			if d == "documents" {
				times = 0
				if w.models.of[d].docs[r.ID] {
					times = 1
				}
			}
			if bad {
				want = 0
			}
			if times != want {
				w.broken("I6", "event %d of shard %d took effect %d times in %s, want %d", r.Offset, r.Shard, times, d, want)
			}
			_, parked := w.models.parked[parkedName{d, r.Shard, projection.Range{From: r.Offset - 1, To: r.Offset}}]
			if parked != bad {
				w.broken("I17", "event %d of shard %d in %s: parked %v, poisonous %v", r.Offset, r.Shard, d, parked, bad)
			}
		}
	}
}
