package storetest

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"

	"auditlog/eventstore"
)

// nearKey is one of many keys whose tokens have much in common: a store that keeps part of a token, or a hash of it, must
// not take one for another. Their first 64 bits have four values for every forty, and for i >= 1000 those at the end of what the tenant's
// id turns them into.
func nearKey(t eventstore.TenantID, i int, body string) eventstore.Draft {
	d := keyed(entry(), "", body)
	token := &d.Idempotency.Token
	high := 0x0123456789abcdc0 + uint64(i%4) + uint64(i/40)<<8
	if i >= 1000 {
		high = binary.BigEndian.Uint64(t[:]) ^ (1<<63 - 1 - uint64(i%4))
	}
	binary.BigEndian.PutUint64(token[:], high)
	token[15] = byte(i)
	return d
}

// keyModel is what KeysReplay promises of the keys of one tenant.
type keyModel map[[32]byte]firstUse

type firstUse struct {
	fingerprint [32]byte
	answer      eventstore.Outcome
}

// checkNearKeys uses such keys in units of all kinds, again and again, against the model.
func (b *bench) checkNearKeys(tenants ...eventstore.TenantID) {
	b.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	models := make([]keyModel, len(tenants))
	for i := range models {
		models[i] = keyModel{}
	}
	for round := range 60 {
		var units []eventstore.Unit
		var of []int
		for range 1 + rng.IntN(3) {
			n := rng.IntN(len(tenants))
			u := eventstore.Unit{Tenant: tenants[n], Atomic: rng.IntN(2) == 0}
			for range 1 + rng.IntN(3) {
				u.Drafts = append(u.Drafts, nearKey(u.Tenant, rng.IntN(24)+1000*rng.IntN(2), "body "+string(rune('a'+rng.IntN(8)/7))))
			}
			units, of = append(units, u), append(of, n)
		}
		got := b.append(units...)
		for i, u := range units {
			models[of[i]].check(b, round, u, got[:len(u.Drafts)])
			got = got[len(u.Drafts):]
		}
		if round%20 == 19 {
			b.reopen()
		}
	}
	// Two keys of one flush beside one that is stored: which of two numbers follows the other depends on the tenant's id.
	for j := range 2 {
		block := 200 + 40*j
		b.wantStatuses("a key", b.append(unit(tenants[0], nearKey(tenants[0], block+1-j, "a"))), eventstore.Stored)
		b.wantStatuses("two near it", b.append(unit(tenants[0], nearKey(tenants[0], block+j, "a"), nearKey(tenants[0], block+4+j, "a"))),
			eventstore.Stored, eventstore.Stored)
	}
	// A refused unit leaves no trace between near keys either.
	x, refused, stored := tenants[0], 100, 104
	b.wantStatuses("near keys, one of a refused unit", b.append(
		atomic(x, nearKey(x, refused, "a"), amendment(eventstore.NewEventID())),
		unit(x, nearKey(x, stored, "a")),
	), eventstore.Aborted, eventstore.TargetMissing, eventstore.Stored)
	for i, want := range []eventstore.Status{eventstore.Stored, eventstore.Replayed} {
		b.wantStatuses(fmt.Sprintf("near keys of a refused and a stored unit, time %d", i), b.append(
			unit(x, nearKey(x, stored, "a")), unit(x, nearKey(x, refused, "a"))), eventstore.Replayed, want)
	}
}

// check compares the answers for a unit with the model, and brings that up to date.
func (m keyModel) check(b *bench, round int, u eventstore.Unit, got []eventstore.Outcome) {
	b.Helper()
	fresh := keyModel{}
	want := make([]eventstore.Status, len(u.Drafts))
	refused := false
	for i, d := range u.Drafts {
		k := d.Idempotency
		first, known := m[k.Token]
		if !known {
			first, known = fresh[k.Token]
		}
		switch {
		case !known:
			want[i], fresh[k.Token] = eventstore.Stored, firstUse{k.Fingerprint, got[i]}
		case first.fingerprint != k.Fingerprint:
			want[i], refused = eventstore.KeyReused, true
		default:
			want[i] = eventstore.Replayed
		}
	}
	if refused && u.Atomic {
		for i, d := range u.Drafts {
			if _, ok := fresh[d.Idempotency.Token]; ok && want[i] != eventstore.KeyReused {
				want[i] = eventstore.Aborted
			}
		}
		fresh = nil
	}
	for token, f := range fresh {
		m[token] = f
	}
	for i, d := range u.Drafts {
		if got[i].Status != want[i] {
			b.Fatalf("near keys, round %d: draft %d is answered %+v, want status %v", round, i, got[i], want[i])
		}
		first := m[d.Idempotency.Token].answer
		first.Status = eventstore.Replayed
		if want[i] == eventstore.Replayed && got[i] != first {
			b.Fatalf("near keys, round %d: draft %d is answered %+v, first %+v", round, i, got[i], first)
		}
	}
}
