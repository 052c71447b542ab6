package keyring

import (
	"context"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"auditlog/internal/fault"
)

// Ref names the leaf whose key sealed a message. It is stored beside the message, in the clear.
type Ref struct{ Epoch, Index uint32 }

var errClosed = errors.New("keyring: closed")

// Ring seals, opens and punctures for all tenants of one Driver. Make it with New.
type Ring struct {
	driver Driver
	opts   Options
	shape  shape
	chunks *chunkCache
	paths  []pathSlot
	closed atomic.Bool

	mu      sync.RWMutex // guards tenants
	tenants map[[16]byte]*tenant
}

// tenant is what a process keeps of a tenant that it has met: about a kilobyte, until Close.
type tenant struct {
	id     [16]byte
	wrap   cipher.AEAD
	tokens sync.Pool // of *tokenizer

	generation  atomic.Uint64 // grows whenever cached seeds are dropped
	cachedSince atomic.Int64  // Unix ns; nothing cached is older

	refilling chan struct{} // held by the goroutine that takes the next lease

	mu     sync.Mutex // guards the fields below; never held during input or output
	lease  leaseStack
	leaves uint32    // size of the newest lease; 0 before the first
	taken  time.Time // when it was taken
}

// New makes a Ring over d, which the Ring then owns. It panics when Options.Validate complains: options belong to the
// program, whose configuration is to be checked before.
func New(d Driver, o Options) *Ring { return newRing(d, o, fullShape) }

func newRing(d Driver, o Options, s shape) *Ring {
	if err := o.Validate(); err != nil {
		panic("keyring: " + err.Error())
	}
	o = o.withDefaults()
	return &Ring{
		driver: d, opts: o, shape: s,
		chunks: newChunkCache(o.CachedChunks), paths: make([]pathSlot, o.CachedPaths),
		tenants: map[[16]byte]*tenant{},
	}
}

// secretsSize is that of a tenant's wrapping key and token key together.
const secretsSize = 32 + 32

// CreateTenant makes the tenant's keys and its first epoch, durable on return. It changes nothing when they exist.
func (r *Ring) CreateTenant(ctx context.Context, id [16]byte) error {
	if id == [16]byte{} {
		return fault.New(fault.Invalid, "the tenant id is zero")
	}
	_, err := r.tenant(ctx, id)
	if !fault.Is(err, fault.NotFound) {
		return err
	}
	unlock, err := r.driver.Lock(ctx, id, Scope{})
	if err != nil {
		return fmt.Errorf("lock key tenant: %w", err)
	}
	defer unlock()
	if _, err = r.tenant(ctx, id); !fault.Is(err, fault.NotFound) {
		return err
	}
	secrets := make([]byte, secretsSize)
	defer clear(secrets)
	if _, err := io.ReadFull(r.opts.Rand, secrets); err != nil {
		return fmt.Errorf("random keys: %w", err)
	}
	t, err := newTenant(id, secrets)
	if err != nil {
		return err
	}
	// The secrets come last: a tenant exists once they do, and what an interrupted creation left is replaced.
	if err := r.plant(ctx, t, 0); err != nil {
		return err
	}
	if err := r.storeCounter(ctx, t, counter{}); err != nil {
		return err
	}
	wrapped, err := r.driver.Wrap(ctx, id, secrets)
	if err != nil {
		return fmt.Errorf("wrap the keys of a tenant: %w", err)
	}
	if err := r.driver.Put(ctx, id, Item{Kind: Secrets}, wrapped); err != nil {
		return fmt.Errorf("write %s: %w", r.driver.Place(id, Item{Kind: Secrets}), err)
	}
	return nil
}

func newTenant(id [16]byte, secrets []byte) (*tenant, error) {
	wrap, err := aes256gcm(secrets[:32])
	if err != nil {
		return nil, err
	}
	t := &tenant{id: id, wrap: wrap, refilling: make(chan struct{}, 1)}
	tokenKey := [32]byte(secrets[32:])
	t.tokens.New = func() any { return &tokenizer{mac: hmac.New(sha256.New, tokenKey[:])} }
	return t, nil
}

// tenant finds the tenant in memory or unwraps its secrets. Unknown: fault.NotFound.
func (r *Ring) tenant(ctx context.Context, id [16]byte) (*tenant, error) {
	if r.closed.Load() {
		return nil, errClosed
	}
	r.mu.RLock()
	t := r.tenants[id]
	r.mu.RUnlock()
	if t != nil {
		return t, nil
	}
	item := Item{Kind: Secrets}
	wrapped, err := r.driver.Get(ctx, id, item)
	if errors.Is(err, ErrAbsent) {
		return nil, fault.New(fault.NotFound, "no such tenant")
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", r.driver.Place(id, item), err)
	}
	secrets, err := r.driver.Unwrap(ctx, id, wrapped)
	if err == nil && len(secrets) != secretsSize {
		err = fmt.Errorf("holds %d bytes of keys, want %d", len(secrets), secretsSize)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w; restore it together with the key that wraps it", r.driver.Place(id, item), err)
	}
	defer clear(secrets)
	if t, err = newTenant(id, secrets); err != nil {
		return nil, err
	}
	return r.keep(t)
}

// keep makes t the tenant's one state in this process, unless another goroutine was first.
func (r *Ring) keep(t *tenant) (*tenant, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed.Load() {
		return nil, errClosed
	}
	if first := r.tenants[t.id]; first != nil {
		return first, nil
	}
	t.cachedSince.Store(r.opts.Now().UnixNano())
	r.tenants[t.id] = t
	return t, nil
}

// tokenizer is one reusable HMAC state with its input buffer.
type tokenizer struct {
	mac hash.Hash
	in  []byte
	out []byte
}

// Token is HMAC-SHA-256 under the tenant's token key over label, a zero byte, and value. The label separates uses and
// must not contain a zero byte.
func (r *Ring) Token(ctx context.Context, tenant [16]byte, label string, value []byte) (token [32]byte, err error) {
	if strings.IndexByte(label, 0) >= 0 {
		return token, errors.New("keyring: a token label holds a zero byte")
	}
	t, err := r.tenant(ctx, tenant)
	if err != nil {
		return token, err
	}
	k := t.tokens.Get().(*tokenizer)
	k.in = append(append(append(k.in[:0], label...), 0), value...)
	k.mac.Reset()
	k.mac.Write(k.in)
	k.out = k.mac.Sum(k.out[:0])
	copy(token[:], k.out)
	clear(k.in)
	t.tokens.Put(k)
	return token, nil
}

// Forget drops every cached seed of the tenant; what its running lease has not handed out yet is kept. Call it when an
// erasure by another process passes.
func (r *Ring) Forget(tenant [16]byte) {
	r.mu.RLock()
	t := r.tenants[tenant]
	r.mu.RUnlock()
	if t != nil {
		r.forget(t)
	}
}

// Close wipes all seeds from memory, wasting what running leases hold, and closes the driver. Calls made later fail.
func (r *Ring) Close() error {
	r.mu.Lock()
	if r.closed.Swap(true) {
		r.mu.Unlock()
		return nil
	}
	known := r.tenants
	r.tenants = nil
	r.mu.Unlock()
	for _, t := range known {
		t.mu.Lock()
		t.lease.wipe()
		t.mu.Unlock()
		r.forget(t)
	}
	return r.driver.Close()
}
