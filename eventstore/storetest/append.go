package storetest

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/google/uuid"

	"auditlog/eventstore"
)

func appendIsAtomic(tb testing.TB, h Harness) {
	b := newBench(tb, h)
	x, y := b.tenant(), b.tenant()
	nobody := eventstore.TenantID(uuid.New())

	before, a1, a3, behind, other := entry(), keyed(entry(), "k", "one"), entry(), entry(), entry()
	got := b.append(
		unit(x, before),
		atomic(x, a1, amendment(eventstore.NewEventID()), a3), // refused whole
		unit(nobody, entry()),
		unit(y, other),
		unit(x, behind, amendment(eventstore.NewEventID())), // refused in part
	)
	b.wantStatuses("a flush with a refused unit", got,
		eventstore.Stored,
		eventstore.Aborted, eventstore.TargetMissing, eventstore.Aborted,
		eventstore.TenantMissing,
		eventstore.Stored,
		eventstore.Stored, eventstore.TargetMissing)
	for i, o := range got {
		if refused := o.Status != eventstore.Stored; refused && o.Position != 0 {
			b.Errorf("refused draft %d has position %d", i, o.Position)
		}
	}
	b.wantIDs("neighbours of a refused unit", x, before.ID, behind.ID)
	b.wantIDs("neighbours of a refused unit", y, other.ID)

	// Nothing of a refused unit stays behind: its key is free, its erasure did not happen, its entry does not exist.
	again := keyed(entry(), "k", "two")
	gone := entry()
	got = b.append(
		atomic(x, gone, erasure(before.ID), amendment(eventstore.NewEventID())),
		unit(x, again, amendment(before.ID), amendment(gone.ID)),
	)
	b.wantStatuses("after a refused unit", got,
		eventstore.Aborted, eventstore.Aborted, eventstore.TargetMissing,
		eventstore.Stored, eventstore.Stored, eventstore.TargetMissing)

	// A caller that has left before the flush began leaves nothing.
	ctx, cancel := context.WithCancel(b.ctx)
	cancel()
	head := b.head(x)
	if _, err := b.Append(ctx, flush(unit(x, entry()))); !errors.Is(err, context.Canceled) {
		b.Errorf("Append with an ended context: %v", err)
	}
	if b.head(x) != head {
		b.Errorf("an ended context stored something")
	}

	// A large unit is whole, with what was answered for it.
	big := entries(1000)
	outcomes := b.append(atomic(y, big...))
	log := b.log(y)
	if len(log) != 2+len(big) {
		b.Fatalf("%d events after a unit of %d", len(log), len(big))
	}
	for i, d := range big {
		if outcomes[i].Status != eventstore.Stored || !sameEvent(log[i+2], y, d, outcomes[i]) {
			b.Fatalf("event %d is %+v, answered %+v", i, log[i+2], outcomes[i])
		}
	}
}

func appendIsDurable(tb testing.TB, h Harness) {
	b := newBench(tb, h)
	tenants := []eventstore.TenantID{b.tenant(), b.tenant()}
	for round := range 3 {
		for _, t := range tenants {
			b.append(unit(t, entries(70)...), unit(t, keyed(entry(), string(rune('a'+round)), "body")))
		}
		wantShard, wantTenants := b.shardLog(0), [][]eventstore.Event{b.log(tenants[0]), b.log(tenants[1])}
		b.reopen()
		if !equalLogs(b.shardLog(0), wantShard) {
			b.Fatalf("round %d: the shard's log differs after opening again", round)
		}
		for i, t := range tenants {
			if !equalLogs(b.log(t), wantTenants[i]) {
				b.Fatalf("round %d: a tenant's log differs after opening again", round)
			}
		}
	}
	list, err := b.Tenants(b.ctx, eventstore.TenantID{}, 10)
	if err != nil || len(list) != 2 || list[0].ID != tenants[0] || list[1].ID != tenants[1] {
		b.Fatalf("tenants after opening again: %+v, %v", list, err)
	}
}

// acked is the newest position of a tenant that any writer was told of.
type acked struct {
	mu  sync.Mutex
	pos map[eventstore.TenantID]eventstore.Position
}

func (a *acked) get(t eventstore.TenantID) eventstore.Position {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.pos[t]
}

func (a *acked) raise(t eventstore.TenantID, p eventstore.Position) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pos[t] = max(a.pos[t], p)
}

const (
	writers = 16
	flushes = 8 // of each writer
)

// write lets writers append to all tenants at the same time, and gives what each acknowledged event was.
func (b *bench) write(tenants []eventstore.TenantID) map[eventstore.EventID]eventstore.Outcome {
	b.Helper()
	newest := &acked{pos: map[eventstore.TenantID]eventstore.Position{}}
	var mu sync.Mutex
	all := map[eventstore.EventID]eventstore.Outcome{}
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range flushes {
				one, two := tenants[(w+i)%len(tenants)], tenants[(w+3*i+1)%len(tenants)]
				f := flush(unit(one, entries(1+(w+i)%5)...), unit(two, entry()), atomic(one, entries(2)...))
				before := map[eventstore.TenantID]eventstore.Position{one: newest.get(one), two: newest.get(two)}
				got, err := b.Append(b.ctx, f)
				if err != nil {
					b.Errorf("Append: %v", err)
					return
				}
				for _, u := range f.Units {
					for range u.Drafts {
						o := got[0]
						got = got[1:]
						if o.Status != eventstore.Stored || o.Position <= before[u.Tenant] {
							b.Errorf("outcome %+v, though position %d was known before it was sent", o, before[u.Tenant])
						}
						newest.raise(u.Tenant, o.Position)
						mu.Lock()
						all[o.ID] = o
						mu.Unlock()
					}
				}
			}
		})
	}
	wg.Wait()
	return all
}

func positionsAreDense(tb testing.TB, h Harness) {
	b := newBench(tb, h)
	tenants := make([]eventstore.TenantID, 8)
	for i := range tenants {
		tenants[i] = b.tenant()
	}
	stored := b.write(tenants)
	b.checkDense(tenants, len(stored)+len(tenants))
	for _, t := range tenants {
		log := b.log(t)
		for _, e := range log[1:] {
			if o := stored[e.ID]; o.Position != e.Position || o.RecordedAt != e.RecordedAt {
				b.Fatalf("event %v is at %d (%v), answered %d (%v)", e.ID, e.Position, e.RecordedAt, o.Position, o.RecordedAt)
			}
		}
	}
}

// checkDense checks both numbers of every event, and that the two orders agree.
func (b *bench) checkDense(tenants []eventstore.TenantID, total int) {
	b.Helper()
	shard := b.shardLog(0)
	if len(shard) != total {
		b.Fatalf("the shard holds %d events, want %d", len(shard), total)
	}
	next := map[eventstore.TenantID]eventstore.Position{}
	for i, e := range shard {
		next[e.Tenant]++
		if e.Offset != eventstore.Offset(i+1) || e.Position != next[e.Tenant] {
			b.Fatalf("event %d of the shard has offset %d, position %d; want %d, %d", i, e.Offset, e.Position, i+1, next[e.Tenant])
		}
	}
	for _, t := range tenants {
		log := b.log(t)
		for i, e := range log {
			if e.Position != eventstore.Position(i+1) || !equalLogs([]eventstore.Event{e}, shard[e.Offset-1:e.Offset]) {
				b.Fatalf("event %d of tenant %v: %+v", i, t, e)
			}
		}
		head, newest := b.head(t), log[len(log)-1]
		if head.Position != newest.Position || head.Offset != newest.Offset || head.RecordedAt != newest.RecordedAt || head.Purged != 0 {
			b.Fatalf("head %+v, newest event %+v", head, newest)
		}
	}
	head, err := b.ShardHead(b.ctx, 0)
	if newest := shard[len(shard)-1]; err != nil || head.Offset != newest.Offset || head.RecordedAt != newest.RecordedAt {
		b.Fatalf("shard head %+v, %v", head, err)
	}
}
