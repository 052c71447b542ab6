package storetest

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"auditlog/eventstore"
	"auditlog/internal/fault"
)

// The methods that a service can call. One more here is one more way to change the log: it needs a case.
var (
	storeMethods = []string{
		"About", "Append", "Appended", "Close", "CreateTenant", "Get", "Head", "Ping", "PositionAt", "Purges",
		"ReadPositions", "ReadShard", "ReadTenant", "ShardHead", "Shards", "Tenant", "TenantBySlug", "Tenants",
	}
	lifecycleMethods = []string{"Doomed", "Matching", "Purge", "Remove", "RemovedLeaf"}
)

func appendOnly(tb testing.TB, h Harness) {
	checkMethods(tb, reflect.TypeFor[eventstore.Store](), storeMethods)
	checkMethods(tb, reflect.TypeFor[eventstore.Lifecycle](), lifecycleMethods)

	b := newBench(tb, h)
	x := b.tenant()
	mine := entries(3)
	b.append(unit(x, mine...))
	want := cloneLog(b.shardLog(0))

	// Bytes that a caller changes, before or after, are the caller's alone.
	for i := range mine {
		clear(mine[i].Public)
		clear(mine[i].Private)
	}
	for _, e := range append(b.log(x), b.shardLog(0)...) {
		clear(e.Public)
		clear(e.Private)
	}
	if e, err := b.Get(b.ctx, x, mine[0].ID); err == nil {
		clear(e.Public)
	}
	if !equalLogs(b.shardLog(0), want) {
		b.Fatalf("the log follows what callers do to their bytes")
	}

	// Nothing that is appended later, refused or stored, changes what is there.
	b.append(unit(x, amendment(mine[0].ID), erasure(mine[1].ID), amendment(mine[1].ID)), atomic(x, entry(), amendment(eventstore.NewEventID())))
	same := entry()
	same.ID = mine[2].ID
	if got, err := b.Append(b.ctx, flush(unit(x, same))); err == nil && got[0].Status == eventstore.Stored {
		b.Errorf("an event id was stored twice")
	}
	b.clock.move(time.Second)
	b.tenant()
	life := b.h.Lifecycle(b.Store)
	if n, err := life.Matching(b.ctx, x, want[0].RecordedAt+1); err != nil || n == 0 {
		b.Errorf("Matching: %d, %v", n, err)
	}
	if got := b.shardLog(0); len(got) < len(want) || !equalLogs(got[:len(want)], want) {
		b.Fatalf("events that were stored have changed")
	}

	// A purge reaches what is at or below its watermark and nothing else.
	kept := b.shardLog(0)
	p, _, err := life.Purge(b.ctx, x, want[0].RecordedAt+1, b.purgeDraft)
	if err != nil {
		b.Fatalf("Purge: %v", err)
	}
	b.removeAll(life)
	kept = slices.DeleteFunc(kept, func(e eventstore.Event) bool { return e.Tenant == x && e.Position <= p.Last })
	if got := b.shardLog(0); !equalLogs(got[:len(got)-1], kept) {
		b.Fatalf("a purge changed what is above its watermark")
	}
}

func cloneLog(log []eventstore.Event) []eventstore.Event {
	out := slices.Clone(log)
	for i := range out {
		out[i].Public, out[i].Private = bytes.Clone(out[i].Public), bytes.Clone(out[i].Private)
	}
	return out
}

func checkMethods(tb testing.TB, t reflect.Type, want []string) {
	tb.Helper()
	var got []string
	for m := range t.Methods() {
		got = append(got, m.Name)
	}
	if !slices.Equal(got, want) {
		tb.Errorf("%v has methods %v, want %v", t, got, want)
	}
}

// purgeDraft builds the event of a purge.
func (b *bench) purgeDraft(p eventstore.Purge) (eventstore.Draft, error) {
	return draft(eventstore.LifecyclePurged, eventstore.EventID{}), nil
}

func leafOf(e eventstore.Event) eventstore.Leaf {
	return eventstore.Leaf{Position: e.Position, ID: e.ID, Hash: sha256.Sum256(e.Public)}
}

// removeAll does what the service's worker does, in pages of two, and gives what was removed.
func (b *bench) removeAll(life eventstore.Lifecycle) []eventstore.Leaf {
	b.Helper()
	var all []eventstore.Leaf
	for {
		p, page, err := life.Doomed(b.ctx, 2)
		if err != nil {
			b.Fatalf("Doomed: %v", err)
		}
		if p.Status != eventstore.PurgeRunning {
			return all
		}
		var leaves []eventstore.Leaf
		last := p.Last
		for _, e := range page {
			leaves, last = append(leaves, leafOf(e)), e.Position
		}
		if err := life.Remove(b.ctx, p, last, leaves, last == p.Last); err != nil {
			b.Fatalf("Remove: %v", err)
		}
		all = append(all, leaves...)
	}
}

func purgedIsHidden(tb testing.TB, h Harness) {
	b := newBench(tb, h)
	life := h.Lifecycle(b.Store)
	x, y := b.tenant(), b.tenant()
	old, young := entries(5), entries(3)
	old[4] = keyed(old[4], "old", "body")
	b.append(unit(x, old...), unit(y, entry()))
	b.append(unit(x, amendment(old[0].ID)))
	b.clock.move(time.Hour)
	border := eventstore.MicrosOf(b.clock.now())
	b.append(unit(x, young...))
	b.append(unit(x, amendment(young[0].ID)))
	full, shard, head := b.log(x), b.shardLog(0), b.head(x)
	const last = 7 // the tenant's creation, five entries, one amendment

	if n, err := life.Matching(b.ctx, x, border); err != nil || n != last {
		b.Fatalf("Matching: %d, %v; want %d", n, err, last)
	}
	failed := errors.New("no draft")
	_, started, err := life.Purge(b.ctx, x, border, func(eventstore.Purge) (eventstore.Draft, error) { return eventstore.Draft{}, failed })
	if started || !errors.Is(err, failed) || b.head(x) != head || len(b.log(x)) != len(full) {
		b.Fatalf("a purge without its event: %v, %v", started, err)
	}
	var seen eventstore.Purge
	p, started, err := life.Purge(b.ctx, x, border, func(p eventstore.Purge) (eventstore.Draft, error) {
		seen = p
		return b.purgeDraft(p)
	})
	if err != nil || !started || p.First != 1 || p.Last != last || p.Position != head.Position+1 || p.Status != eventstore.PurgeRunning || p.Before != border {
		b.Fatalf("Purge: %+v, %v, %v", p, started, err)
	}
	if seen.First != p.First || seen.Last != p.Last || seen.Position != p.Position || seen.Tenant != x {
		b.Fatalf("the event was built for %+v, the purge is %+v", seen, p)
	}
	b.checkHidden(x, full, p, "when it began")
	if got := b.shardLog(0); len(got) != len(shard)+1 || !equalLogs(got[:len(shard)], shard) || got[len(shard)].ID != p.ID {
		b.Fatalf("projections must still see what is not removed yet")
	}

	same, started, err := life.Purge(b.ctx, x, border, b.purgeDraft)
	if err != nil || started || same != p {
		b.Errorf("the same purge again: %+v, %v, %v; want %+v", same, started, err, p)
	}
	_, _, err = life.Purge(b.ctx, x, border+1, b.purgeDraft)
	b.wantKind("another purge beside it", err, fault.Conflict)

	b.checkRemoval(life, x, p)
	b.checkHidden(x, full, p, "when it was done")
	got := b.append(unit(x, keyed(entry(), "old", "body"), keyed(entry(), "old", "other"), amendment(old[0].ID), erasure(old[1].ID)))
	b.wantStatuses("keys and entries of purged events", got, eventstore.Replayed, eventstore.KeyReused, eventstore.TargetPurged, eventstore.TargetPurged)
	if got[0].ID != old[4].ID || got[0].Position != full[5].Position || got[0].RecordedAt != full[5].RecordedAt {
		b.Errorf("a key of a purged event replays %+v", got[0])
	}
	b.reopen()
	b.checkHidden(x, full, p, "after opening again")
	b.checkNextPurge(x, p)
	if len(b.log(y)) != 2 {
		b.Errorf("another tenant's log has changed")
	}
}

// checkHidden looks at a purged range from every side.
func (b *bench) checkHidden(x eventstore.TenantID, full []eventstore.Event, p eventstore.Purge, when string) {
	b.Helper()
	log := b.log(x)
	if len(log) == 0 || log[0].Position != p.Last+1 || !equalLogs(log[:len(full)-int(p.Last)], full[p.Last:]) {
		b.Fatalf("%s: the log starts at %d events, not at position %d", when, len(log), p.Last+1)
	}
	var at []eventstore.Position
	var ids []eventstore.EventID
	for _, e := range full {
		at, ids = append(at, e.Position), append(ids, e.ID)
		_, err := b.Get(b.ctx, x, e.ID)
		if e.Position <= p.Last {
			b.wantKind(when+": Get of a purged event", err, fault.Purged)
		} else if err != nil {
			b.Errorf("%s: Get of an event above the watermark: %v", when, err)
		}
		pos, when2, err := b.PositionAt(b.ctx, x, e.Offset)
		if err != nil || pos != e.Position || when2 != e.RecordedAt {
			b.Errorf("%s: PositionAt(%d) = %d, %v, %v", when, e.Offset, pos, when2, err)
		}
	}
	if got, err := b.ReadPositions(b.ctx, x, at); err != nil || !equalLogs(got, full[p.Last:]) {
		b.Errorf("%s: ReadPositions gave %d events, %v", when, len(got), err)
	}
	if got, err := b.About(b.ctx, x, ids); err != nil || len(got) != 1 || got[0].Position <= p.Last {
		b.Errorf("%s: About gave %+v, %v", when, got, err)
	}
	if head := b.head(x); head.Purged != p.Last || head.Hidden != p.Position {
		b.Errorf("%s: head %+v, want watermark %d, hidden by %d", when, head, p.Last, p.Position)
	}
	if n, err := b.h.Lifecycle(b.Store).Matching(b.ctx, x, p.Before); err != nil || n != 0 {
		b.Errorf("%s: %d events match again, %v", when, n, err)
	}
}

// checkRemoval removes the range step by step, with the mistakes that a worker could make.
func (b *bench) checkRemoval(life eventstore.Lifecycle, x eventstore.TenantID, p eventstore.Purge) {
	b.Helper()
	_, page, err := life.Doomed(b.ctx, 3)
	if err != nil || len(page) != 3 || page[0].Position != 1 {
		b.Fatalf("Doomed: %d events, %v", len(page), err)
	}
	leaves := []eventstore.Leaf{leafOf(page[0]), leafOf(page[1]), leafOf(page[2])}
	before := len(b.shardLog(0))
	if err := life.Remove(b.ctx, p, 3, leaves[:2], false); err == nil {
		b.Errorf("an event was removed without its leaf")
	}
	if err := life.Remove(b.ctx, p, 3, leaves, true); err == nil {
		b.Errorf("a purge ended with events left")
	}
	if len(b.shardLog(0)) != before {
		b.Fatalf("a refused removal removed something")
	}
	for range 2 { // the second is a retry whose answer was lost
		if err := life.Remove(b.ctx, p, 3, leaves, false); err != nil {
			b.Fatalf("Remove: %v", err)
		}
	}
	if len(b.shardLog(0)) != before-3 {
		b.Fatalf("three events were to be removed")
	}
	for _, l := range append(leaves, b.removeAll(life)...) {
		if got, err := life.RemovedLeaf(b.ctx, x, l.ID); err != nil || got != l {
			b.Errorf("RemovedLeaf: %+v, %v; want %+v", got, err, l)
		}
	}
	b.wantKind("the leaf of an event that is there", errOf(life.RemovedLeaf(b.ctx, x, p.ID)), fault.NotFound)
	list, err := b.Purges(b.ctx, x)
	if err != nil || len(list) != 1 || list[0].Status != eventstore.PurgeDone || list[0].Removed != int64(p.Last) || list[0].CompletedAt == 0 {
		b.Fatalf("purges: %+v, %v", list, err)
	}
	for _, e := range b.shardLog(0) {
		if e.Tenant == x && e.Position <= p.Last {
			b.Errorf("position %d was not removed", e.Position)
		}
	}
}

// checkNextPurge looks at a purge that nothing matches and at one that follows: together they tile the log.
func (b *bench) checkNextPurge(x eventstore.TenantID, first eventstore.Purge) {
	b.Helper()
	life := b.h.Lifecycle(b.Store)
	none, started, err := life.Purge(b.ctx, x, first.Before, b.purgeDraft)
	if err != nil || !started || none.First != first.Last+1 || none.Last >= none.First || none.Status != eventstore.PurgeDone {
		b.Fatalf("a purge that nothing matches: %+v, %v, %v", none, started, err)
	}
	b.clock.move(time.Hour)
	next, started, err := life.Purge(b.ctx, x, eventstore.MicrosOf(b.clock.now()), b.purgeDraft)
	if err != nil || !started || next.First != first.Last+1 || next.Last != none.Position {
		b.Fatalf("the next purge: %+v, %v, %v", next, started, err)
	}
	b.removeAll(life)
	if log := b.log(x); len(log) != 1 || log[0].ID != next.ID {
		b.Fatalf("%d events are left, want the purge's own", len(log))
	}
	if o := b.append(unit(x, entry()))[0]; o.Position != next.Position+1 {
		b.Fatalf("the next position is %d, want %d", o.Position, next.Position+1)
	}
}
