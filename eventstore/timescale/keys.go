package timescale

import (
	"encoding/binary"

	"auditlog/eventstore"
	"auditlog/internal/pgdb"
)

// keyConstraint says that a slot belongs to one key.
const keyConstraint = "idempotency_key"

// tokenKey is what is stored of a tenant's idempotency key: half of its token, mixed with the tenant's id, so that one
// token of two tenants is two keys. Slot is where the key is looked for first, rest tells it from others found there.
type tokenKey struct{ slot, rest int64 }

func keyOf(tenant eventstore.TenantID, k *eventstore.Idempotency) tokenKey {
	word := func(at int) int64 {
		return int64(binary.BigEndian.Uint64(k.Token[at:]) ^ binary.BigEndian.Uint64(tenant[at:]))
	}
	return tokenKey{word(0), word(8)}
}

// fingerprintOf is what is stored of a body's fingerprint. It is compared with that of one key, and whoever sends bodies
// cannot compute it: 64 bits are enough.
func fingerprintOf(k *eventstore.Idempotency) int64 {
	return int64(binary.BigEndian.Uint64(k.Fingerprint[:]))
}

// keyColumns are the idempotency keys of a flush by column, with places as in columns.
type keyColumns struct {
	tenants                    flat[int32]
	places                     flat[int64]
	slots, rests, fingerprints flat[int64]
}

func newKeyColumns() keyColumns {
	return keyColumns{flat[int32]{}, flat[int64]{}, flat[int64]{}, flat[int64]{}, flat[int64]{}} // empty arrays, not NULL
}

func (c *keyColumns) add(tenant int32, place, slot int64, key tokenKey, k *eventstore.Idempotency) {
	c.tenants, c.places = append(c.tenants, tenant), append(c.places, place)
	c.slots, c.rests, c.fingerprints = append(c.slots, slot), append(c.rests, key.rest), append(c.fingerprints, fingerprintOf(k))
}

// slots are those known to be held, each by the rest of its key. Two keys have the same slot of their own as rarely as
// hashes of 64 bits are equal: one pair among 10^9 keys, in one database of 37. The second has the next free slot.
type slots map[int64]int64

// find gives the slot of a key, which is its own or one that it had to move on to, or else the one that it is to have.
// What is held from its own slot on must be known. A key that moved on is told from its new neighbours by rest alone, which
// they share as rarely as their slots meet: in all two keys are one for the store with a chance of 2^-127.
func (s slots) find(k tokenKey) (slot int64, there bool) {
	for slot = k.slot; ; slot++ { // behind the last comes the first
		if rest, held := s[slot]; !held || rest == k.rest {
			return slot, held
		}
	}
}

// take gives a new key its slot.
func (s slots) take(k tokenKey) int64 {
	slot, _ := s.find(k)
	s[slot] = k.rest
	return slot
}

// slotTaken tells that a slot which was free when it was looked at is not any more.
func slotTaken(err error) bool {
	return pgdb.State(err) == pgdb.UniqueViolation && pgdb.Constraint(err) == keyConstraint
}
