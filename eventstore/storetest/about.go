package storetest

import (
	"slices"
	"sync"
	"testing"

	"auditlog/eventstore"
)

func aboutIsExact(tb testing.TB, h Harness) {
	b := newBench(tb, h)
	x := b.tenant()
	one, two := entry(), entry()
	change := amendment(one.ID) // of an entry of the same flush
	got := b.append(unit(x, one, two, change, amendment(eventstore.NewEventID())))
	b.wantStatuses("an entry and its amendment in one flush", got, eventstore.Stored, eventstore.Stored, eventstore.Stored, eventstore.TargetMissing)

	// Only entries can be amended: not the log's own events, nor amendments.
	created := b.log(x)[0].ID
	got = b.append(unit(x, amendment(created), erasure(change.ID), amendment(eventstore.EventID{})))
	b.wantStatuses("about what is no entry", got, eventstore.TargetMissing, eventstore.TargetMissing, eventstore.TargetMissing)

	// An erasure ends amendments, in its own flush and in later ones, and is answered with itself.
	end := erasure(one.ID)
	got = b.append(unit(x, amendment(one.ID), end, amendment(one.ID)), unit(x, erasure(one.ID)), unit(x, amendment(two.ID)))
	b.wantStatuses("an erasure", got, eventstore.Stored, eventstore.Stored, eventstore.TargetErased, eventstore.TargetErased, eventstore.Stored)
	b.wantErasure(end.ID, got[1], got[2:4])
	b.reopen()
	later := b.append(unit(x, amendment(one.ID), erasure(one.ID)))
	b.wantStatuses("after an erasure", later, eventstore.TargetErased, eventstore.TargetErased)
	b.wantErasure(end.ID, got[1], later)
	b.wantStatuses("an erasure with its key again", b.append(unit(x, keyed(erasure(two.ID), "e", "b")), unit(x, keyed(erasure(two.ID), "e", "b"))),
		eventstore.Stored, eventstore.Replayed)

	b.checkAbout(x)
	b.checkNewestErasure(x)
	for range 6 {
		b.checkRace(x)
	}
	b.checkAbout(x)
	b.checkNewestErasure(x)
}

func (b *bench) wantErasure(id eventstore.EventID, stored eventstore.Outcome, got []eventstore.Outcome) {
	b.Helper()
	for _, o := range got {
		if o.ID != id || o.Position != stored.Position || o.RecordedAt != stored.RecordedAt {
			b.Errorf("refused with %+v, the erasure is %+v", o, stored)
		}
	}
}

// checkNewestErasure compares Head.Hidden with the newest erasure of a log without purges.
func (b *bench) checkNewestErasure(x eventstore.TenantID) {
	b.Helper()
	var want eventstore.Position
	for _, e := range b.log(x) {
		if e.Type == eventstore.EntryErased {
			want = e.Position
		}
	}
	if head, err := b.Head(b.ctx, x); err != nil || head.Hidden != want {
		b.Errorf("Head.Hidden = %d, %v; the newest erasure is at %d", head.Hidden, err, want)
	}
}

// checkAbout compares About with the whole log.
func (b *bench) checkAbout(x eventstore.TenantID) {
	b.Helper()
	log := b.log(x)
	var all []eventstore.EventID
	var want []eventstore.Event
	for _, e := range log {
		all = append(all, e.ID)
		if e.Type == eventstore.EntryAmended || e.Type == eventstore.EntryErased {
			want = append(want, e)
		}
	}
	if got, err := b.About(b.ctx, x, all); err != nil || !equalLogs(got, want) {
		b.Fatalf("About all entries: %d events of %d, %v", len(got), len(want), err)
	}
	for _, id := range all {
		mine := slices.DeleteFunc(slices.Clone(want), func(e eventstore.Event) bool { return e.EntryID != id })
		if got, err := b.About(b.ctx, x, []eventstore.EventID{id}); err != nil || !equalLogs(got, mine) {
			b.Fatalf("About one entry: %d events of %d, %v", len(got), len(mine), err)
		}
	}
}

// checkRace lets amendments and erasures of one entry meet: one erasure is stored, and no amendment behind it.
func (b *bench) checkRace(x eventstore.TenantID) {
	b.Helper()
	e := entry()
	b.append(unit(x, e))
	var mu sync.Mutex
	var outcomes []eventstore.Outcome
	erasers := 0
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			d := amendment(e.ID)
			if i%3 == 0 {
				d = erasure(e.ID)
			}
			got, err := b.Append(b.ctx, flush(unit(x, d)))
			if err != nil {
				b.Errorf("Append: %v", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			outcomes = append(outcomes, got[0])
			if d.Type == eventstore.EntryErased && got[0].Status == eventstore.Stored {
				erasers++
			}
		})
	}
	wg.Wait()
	about, err := b.About(b.ctx, x, []eventstore.EventID{e.ID})
	if err != nil || erasers != 1 || len(about) == 0 || about[len(about)-1].Type != eventstore.EntryErased {
		b.Fatalf("%d erasures stored, %d events about the entry, %v", erasers, len(about), err)
	}
	stored := 0
	for _, o := range outcomes {
		switch {
		case o.Status == eventstore.Stored:
			stored++
		case o.Status != eventstore.TargetErased || o.Position != about[len(about)-1].Position:
			b.Errorf("outcome %+v", o)
		}
	}
	if stored != len(about) {
		b.Errorf("%d were acknowledged, %d are there", stored, len(about))
	}
}
