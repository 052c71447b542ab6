package storetest

import (
	"testing"

	"github.com/google/uuid"

	"auditlog/eventstore"
	"auditlog/internal/fault"
)

func tenantsNeverMeet(tb testing.TB, h Harness) {
	b := newBench(tb, h)
	x, y := b.tenant(), b.tenant()
	mine, theirs := entry(), entry()
	b.append(unit(y, theirs, amendment(theirs.ID)), unit(x, mine), unit(y, entries(5)...))

	if e, err := b.Get(b.ctx, x, mine.ID); err != nil || e.ID != mine.ID || e.Tenant != x {
		b.Fatalf("Get of an own event: %+v, %v", e, err)
	}
	_, missing := b.Get(b.ctx, x, eventstore.NewEventID())
	_, foreign := b.Get(b.ctx, x, theirs.ID)
	b.wantKind("Get of a missing event", missing, fault.NotFound)
	b.wantKind("Get of another tenant's event", foreign, fault.NotFound)
	if missing != nil && foreign != nil && missing.Error() != foreign.Error() {
		b.Errorf("another tenant's event answers %q, a missing one %q", foreign, missing)
	}
	for _, e := range b.log(x) {
		if e.Tenant != x {
			b.Errorf("ReadTenant gave another tenant's event %+v", e)
		}
	}
	if head := b.head(x); head.Position != 2 {
		b.Errorf("head %+v counts another tenant's events", head)
	}
	if got, err := b.ReadPositions(b.ctx, x, []eventstore.Position{1, 2, 3, 4}); err != nil || len(got) != 2 || got[0].Tenant != x || got[1].ID != mine.ID {
		b.Errorf("ReadPositions: %+v, %v", got, err)
	}
	if got, err := b.About(b.ctx, x, []eventstore.EventID{theirs.ID, mine.ID}); err != nil || len(got) != 0 {
		b.Errorf("About another tenant's entry: %+v, %v", got, err)
	}
	got := b.append(unit(x, amendment(theirs.ID), erasure(theirs.ID), amendment(eventstore.NewEventID())))
	b.wantStatuses("drafts about another tenant's entry", got, eventstore.TargetMissing, eventstore.TargetMissing, eventstore.TargetMissing)
	if got[0] != got[2] || got[1] != got[2] {
		b.Errorf("another tenant's entry answers %+v, a missing one %+v", got[0], got[2])
	}
	last := b.head(y).Offset
	if p, _, err := b.PositionAt(b.ctx, x, last); err != nil || p != 2 {
		b.Errorf("PositionAt: %d, %v", p, err)
	}
	b.checkForeignPurge(x, y, theirs.ID)
	b.checkNobody()
	b.checkTenantList(x, y)
}

// checkForeignPurge looks at a purge of y with the eyes of x.
func (b *bench) checkForeignPurge(x, y eventstore.TenantID, theirs eventstore.EventID) {
	b.Helper()
	life := b.h.Lifecycle(b.Store)
	before := b.head(y).RecordedAt + 1
	p, started, err := life.Purge(b.ctx, y, before, b.purgeDraft)
	if err != nil || !started {
		b.Fatalf("Purge: %v, %v", started, err)
	}
	b.removeAll(life)
	for _, e := range []error{
		errOf(b.Get(b.ctx, x, theirs)),
		errOf(life.RemovedLeaf(b.ctx, x, theirs)),
		life.Remove(b.ctx, eventstore.Purge{ID: p.ID, Tenant: x}, p.Last, nil, true),
	} {
		b.wantKind("another tenant's purge", e, fault.NotFound)
	}
	if list, err := b.Purges(b.ctx, x); err != nil || len(list) != 0 {
		b.Errorf("purges of a tenant without any: %+v, %v", list, err)
	}
	if len(b.log(x)) != 2 || b.head(x).Purged != 0 {
		b.Errorf("a purge of one tenant reached another")
	}
	b.wantStatuses("about another tenant's purged entry", b.append(unit(x, amendment(theirs))), eventstore.TargetMissing)
}

// checkNobody asks everything of a tenant that does not exist.
func (b *bench) checkNobody() {
	b.Helper()
	life := b.h.Lifecycle(b.Store)
	for _, nobody := range []eventstore.TenantID{{}, eventstore.TenantID(uuid.New())} {
		head := mustShardHead(b)
		_, _, at := b.PositionAt(b.ctx, nobody, 1)
		_, _, purge := life.Purge(b.ctx, nobody, 1, b.purgeDraft)
		for what, err := range map[string]error{
			"Head": errOf(b.Head(b.ctx, nobody)), "Get": errOf(b.Get(b.ctx, nobody, eventstore.NewEventID())),
			"ReadTenant": errOf(b.ReadTenant(b.ctx, nobody, 0, 1)), "ReadPositions": errOf(b.ReadPositions(b.ctx, nobody, nil)),
			"About": errOf(b.About(b.ctx, nobody, nil)), "Tenant": errOf(b.Tenant(b.ctx, nobody)),
			"Purges": errOf(b.Purges(b.ctx, nobody)), "Matching": errOf(life.Matching(b.ctx, nobody, 1)),
			"PositionAt": at, "Purge": purge,
		} {
			b.wantKind(what+" of no tenant", err, fault.NotFound)
		}
		b.wantStatuses("a draft of no tenant", b.append(unit(nobody, entry())), eventstore.TenantMissing)
		if mustShardHead(b) != head {
			b.Errorf("something was stored for no tenant")
		}
	}
}

func (b *bench) checkTenantList(x, y eventstore.TenantID) {
	b.Helper()
	z := b.tenant()
	var all []eventstore.TenantID
	for after := (eventstore.TenantID{}); ; after = all[len(all)-1] {
		page, err := b.Tenants(b.ctx, after, 2)
		if err != nil {
			b.Fatalf("Tenants: %v", err)
		}
		if len(page) == 0 {
			break
		}
		for _, t := range page {
			all = append(all, t.ID)
			if same, err := b.Tenant(b.ctx, t.ID); err != nil || same != t {
				b.Errorf("Tenant: %+v, %v; in the list %+v", same, err, t)
			}
			if same, err := b.TenantBySlug(b.ctx, t.Slug); err != nil || same != t {
				b.Errorf("TenantBySlug: %+v, %v; in the list %+v", same, err, t)
			}
		}
	}
	if len(all) != 3 || all[0] != x || all[1] != y || all[2] != z {
		b.Errorf("tenants %v, want %v", all, []eventstore.TenantID{x, y, z})
	}
	old, err := b.Tenant(b.ctx, x)
	if err != nil {
		b.Fatal(err)
	}
	taken := eventstore.Tenant{ID: eventstore.TenantID(uuid.New()), Slug: old.Slug, Name: "Other", Status: "active"}
	head := mustShardHead(b)
	_, err = b.CreateTenant(b.ctx, taken, draft(eventstore.TenantCreated, eventstore.EventID{}))
	b.wantKind("a slug twice", err, fault.Conflict)
	if mustShardHead(b) != head {
		b.Errorf("a refused tenant left an event")
	}
	b.wantKind("a slug that nobody has", errOf(b.TenantBySlug(b.ctx, "nobody")), fault.NotFound)
	b.wantKind("a refused tenant", errOf(b.Tenant(b.ctx, taken.ID)), fault.NotFound)
}

func mustShardHead(b *bench) eventstore.ShardHead {
	b.Helper()
	h, err := b.ShardHead(b.ctx, 0)
	if err != nil {
		b.Fatalf("ShardHead: %v", err)
	}
	return h
}

func errOf[T any](_ T, err error) error { return err }
