package command

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"

	"auditlog/eventstore"
	"auditlog/eventstore/format"
	"auditlog/keyring"
)

// drafter turns events into drafts: salt, commitment, compression, sealing. It is one goroutine's; its buffers are used
// again, and what it returns lies in memory of its own.
type drafter struct {
	ring    *keyring.Ring
	plain   []byte
	packed  []byte
	slab    []byte // room for the parts of coming drafts
	slabLen int    // how much room to make at once; 0: exactly what is needed
}

var drafters = sync.Pool{New: func() any { return new(drafter) }}

// keepBuffer bounds a pooled buffer: enough for the largest entry.
const keepBuffer = 256 << 10

func (c *Commands) drafter() *drafter {
	d := drafters.Get().(*drafter)
	d.ring = c.ring
	return d
}

func (d *drafter) release() {
	d.ring, d.slab, d.slabLen = nil, nil, 0
	if cap(d.plain) <= keepBuffer && cap(d.packed) <= keepBuffer {
		drafters.Put(d)
	}
}

// sealOverhead is what sealing adds: the tag of AES-GCM.
const sealOverhead = 16

// draft seals one event. pub.ID and pub.Type are set, priv.Salt too; pub.Private is set here.
func (d *drafter) draft(ctx context.Context, tenant eventstore.TenantID, pub *format.Public, priv *format.Private) (eventstore.Draft, error) {
	d.plain = format.AppendPrivate(d.plain[:0], priv)
	pub.Private = format.Commit(d.plain)
	d.packed = format.PackPrivate(d.packed[:0], d.plain)
	private := len(d.packed)
	d.plain = format.AppendPublic(d.plain[:0], pub)
	d.packed = format.PackPublic(d.packed, d.plain)

	out := d.room(len(d.packed) + sealOverhead)
	out, ref, err := d.ring.Seal(ctx, tenant, pub.ID, out, d.packed[:private])
	if err != nil {
		return eventstore.Draft{}, fmt.Errorf("seal event %s: %w", pub.ID, err)
	}
	sealed := len(out)
	out = append(out, d.packed[private:]...)
	return eventstore.Draft{
		ID: pub.ID, Type: pub.Type, EntryID: pub.EntryID, Key: eventstore.KeyRef(ref),
		Private: out[:sealed:sealed], Public: out[sealed:len(out):len(out)],
	}, nil
}

// room is n bytes of capacity that nobody else has.
func (d *drafter) room(n int) []byte {
	if len(d.slab) < n {
		d.slab = make([]byte, max(n, d.slabLen))
	}
	out := d.slab[0:0:n]
	d.slab = d.slab[n:]
	return out
}

// Labels of the tenant's tokens (event-format.md).
const (
	labelKey         = "idempotency"
	labelFingerprint = "fingerprint"
)

// idempotency fills the tokens of an entry that has a key.
func (d *drafter) idempotency(ctx context.Context, tenant eventstore.TenantID, e *Entry, to *eventstore.Idempotency) (err error) {
	d.plain = append(d.plain[:0], e.private.IdempotencyKey...)
	if to.Token, err = d.ring.Token(ctx, tenant, labelKey, d.plain); err != nil {
		return fmt.Errorf("token of an idempotency key: %w", err)
	}
	if to.Fingerprint, err = d.ring.Token(ctx, tenant, labelFingerprint, e.canonical); err != nil {
		return fmt.Errorf("fingerprint of an entry: %w", err)
	}
	return nil
}

// recorded makes the parts of an entry's event.
func recorded(who Caller, e *Entry, id eventstore.EventID, salt [16]byte) (format.Public, format.Private) {
	pub, priv := e.public, e.private
	pub.ID, pub.Type, pub.Roles = id, eventstore.EntryRecorded, who.Roles
	priv.Salt, priv.Emitter = salt, who.Sub
	return pub, priv
}

func newSalt() (salt [16]byte) {
	rand.Read(salt[:]) //nolint:errcheck // never fails: crypto/rand
	return salt
}

// about drafts an event that is no entry of a client: an amendment, an erasure, or one of the log about itself.
func (c *Commands) about(ctx context.Context, who Caller, pub format.Public, priv format.Private) (eventstore.Draft, error) {
	if pub.ID.IsZero() {
		pub.ID = eventstore.NewEventID()
	}
	pub.Roles = who.Roles
	priv.Salt, priv.Emitter = newSalt(), who.Sub
	d := c.drafter()
	defer d.release()
	return d.draft(ctx, who.Tenant, &pub, &priv)
}
