package storetest

import (
	"errors"
	"testing"
	"time"

	"auditlog/eventstore"
	"auditlog/internal/fault"
)

func timeNeverStepsBack(tb testing.TB, h Harness) {
	b := newBench(tb, h)
	x, y := b.tenant(), b.tenant()
	start := eventstore.MicrosOf(b.clock.now())
	if at := b.append(unit(x, entry()))[0].RecordedAt; at != start {
		b.Fatalf("recorded_at %v, the clock says %v", at, start)
	}

	b.clock.move(-3 * time.Second)
	if at := b.append(unit(y, entry()))[0].RecordedAt; at != start {
		b.Fatalf("recorded_at %v after the clock went back; it was %v", at, start)
	}
	b.reopen()
	if at := b.append(unit(x, entry()))[0].RecordedAt; at != start {
		b.Fatalf("recorded_at %v after opening again; it was %v", at, start)
	}

	b.clock.move(-3 * time.Second) // more than MaxClockLead behind the head
	head := mustShardHead(b)
	_, err := b.Append(b.ctx, flush(unit(x, entry())))
	b.wantKind("an append far behind the head", err, fault.Clock)
	if f, ok := errors.AsType[*fault.Error](err); !ok || f.RetryAfter <= 0 || f.RetryAfter > 10*time.Second {
		b.Errorf("the refusal says to try again after %v", f)
	}
	_, err = b.CreateTenant(b.ctx, eventstore.Tenant{ID: eventstore.TenantID(eventstore.NewEventID()), Slug: "late"}, draft(eventstore.TenantCreated, eventstore.EventID{}))
	b.wantKind("a tenant far behind the head", err, fault.Clock)
	_, _, err = b.h.Lifecycle(b.Store).Purge(b.ctx, x, start, b.purgeDraft)
	b.wantKind("a purge far behind the head", err, fault.Clock)
	b.wantKind("Ping far behind the head", b.Ping(b.ctx), fault.Clock)
	if mustShardHead(b) != head {
		b.Errorf("something was stored while the clock was far behind")
	}

	b.clock.move(7 * time.Second)
	if err := b.Ping(b.ctx); err != nil {
		b.Errorf("Ping: %v", err)
	}
	if at := b.append(unit(x, entry()))[0].RecordedAt; at != eventstore.MicrosOf(b.clock.now()) {
		b.Fatalf("recorded_at %v after the clock caught up", at)
	}
	var last eventstore.Micros
	for _, e := range b.shardLog(0) {
		if e.RecordedAt < last {
			b.Fatalf("recorded_at %v at offset %d behind %v", e.RecordedAt, e.Offset, last)
		}
		last = e.RecordedAt
	}
	b.checkUnsteady(x, y)
}

// checkUnsteady appends under a clock that goes back and forth.
func (b *bench) checkUnsteady(tenants ...eventstore.TenantID) {
	b.Helper()
	for i, d := range []time.Duration{1, -2, 3, -1, -1, 2, -3, 4, 0, -2} {
		b.clock.move(d * time.Second)
		b.append(unit(tenants[i%len(tenants)], entry()))
	}
	for _, t := range tenants {
		log := b.log(t)
		for i := 1; i < len(log); i++ {
			if log[i].RecordedAt < log[i-1].RecordedAt {
				b.Fatalf("recorded_at steps back at position %d", log[i].Position)
			}
		}
	}
}
