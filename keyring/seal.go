package keyring

import (
	"context"
	"errors"
	"sync"
	"time"
)

var (
	// ErrPunctured says that the key of a message was destroyed.
	ErrPunctured = errors.New("keyring: the key was destroyed")
	// ErrAltered says that sealed bytes, or the tenant, event or leaf they were presented with, are not those of Seal.
	ErrAltered = errors.New("keyring: sealed bytes do not authenticate")
)

// sealVersion is the last byte of what a sealed message is bound to.
const sealVersion = 1

// Overhead is how many bytes Seal adds to a message.
const Overhead = 16

// zeroNonce serves every message, since each key seals one.
var zeroNonce [nonceSize]byte

// scratch holds what would otherwise escape to the heap with every call.
type scratch struct {
	key  seed
	data [16 + 16 + 1]byte // associated data: tenant, event, version
	path path
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

func newScratch(tenant, event *[16]byte) *scratch {
	s := scratches.Get().(*scratch)
	copy(s.data[:16], tenant[:])
	copy(s.data[16:32], event[:])
	s.data[32] = sealVersion
	return s
}

func (s *scratch) release() {
	*s = scratch{}
	scratches.Put(s)
}

// Seal encrypts plain under the tenant's next leaf and appends it, Overhead bytes longer, to dst. plain may not overlap
// the room behind dst except as plain[:0]. A leaf that was handed out is never used again, whatever becomes of the result.
func (r *Ring) Seal(ctx context.Context, tenant, event [16]byte, dst, plain []byte) ([]byte, Ref, error) {
	t, err := r.tenant(ctx, tenant)
	if err != nil {
		return nil, Ref{}, err
	}
	s := newScratch(&tenant, &event)
	defer s.release()
	ref, err := r.next(ctx, t, &s.key)
	if err != nil {
		return nil, Ref{}, err
	}
	leaf, err := aes256gcm(s.key[:])
	if err != nil {
		return nil, Ref{}, err
	}
	return leaf.Seal(dst, zeroNonce[:], plain, s.data[:]), ref, nil
}

// Open appends the plain bytes of a sealed message to dst. It returns ErrPunctured when the key was destroyed, ErrAltered
// when sealed, tenant, event or ref is not as Seal had or gave it, and another error when the key store cannot be read.
func (r *Ring) Open(ctx context.Context, tenant, event [16]byte, ref Ref, dst, sealed []byte) ([]byte, error) {
	t, err := r.tenant(ctx, tenant)
	if err != nil {
		return nil, err
	}
	s := newScratch(&tenant, &event)
	defer s.release()
	if err := r.leafKey(ctx, t, ref, s); err != nil {
		return nil, err
	}
	leaf, err := aes256gcm(s.key[:])
	if err != nil {
		return nil, err
	}
	plain, err := leaf.Open(dst, zeroNonce[:], sealed, s.data[:])
	if err != nil {
		return nil, ErrAltered
	}
	return plain, nil
}

// leafKey puts the leaf's key into s.
func (r *Ring) leafKey(ctx context.Context, t *tenant, ref Ref, s *scratch) error {
	if age := r.opts.Now().UnixNano() - t.cachedSince.Load(); time.Duration(age) > r.opts.CacheAge {
		r.forget(t)
	}
	slot := r.pathSlot(t, ref)
	if slot.key(t, ref, &s.key) {
		return nil
	}
	generation := t.generation.Load()
	height, err := r.cover(ctx, t, ref, &s.key, cachedToo)
	if err != nil {
		return err
	}
	s.path.begin(ref, &s.key, height)
	s.key = s.path.seeds[0]
	slot.keep(t, &s.path, generation)
	return nil
}

// Punctured tells, from the store and not from memory, whether the leaf's key was destroyed.
func (r *Ring) Punctured(ctx context.Context, tenant [16]byte, ref Ref) (bool, error) {
	t, err := r.tenant(ctx, tenant)
	if err != nil {
		return false, err
	}
	var s seed
	defer clear(s[:])
	_, err = r.cover(ctx, t, ref, &s, storedOnly)
	if errors.Is(err, ErrPunctured) {
		return true, nil
	}
	return false, err
}
