package keyring

import (
	"context"
	"errors"
)

// ErrAbsent is what a Driver returns for an item that was never stored, or was removed.
var ErrAbsent = errors.New("not stored")

// Kind tells what an Item holds.
type Kind uint8

// The kinds of items that a Driver stores.
const (
	Secrets Kind = iota + 1 // the tenant's wrapping key and token key, wrapped by Wrapper: one per tenant
	Lease                   // the counter of leased indexes: one per tenant
	Chunk                   // up to 64 seeds of an epoch's tree
)

// Item names one stored value of a tenant. Epoch, Level and Index are zero unless Kind is Chunk: Level is 0 at the top
// of the tree, and Index counts the chunks of a level from the left.
type Item struct {
	Kind  Kind
	Epoch uint32
	Level uint8
	Index uint32
}

// Scope says what a lock excludes others from: the tenant's secrets, lease and new epochs, or the chunks of one epoch.
type Scope struct {
	Chunks bool
	Epoch  uint32 // when Chunks is true
}

// Wrapper encrypts a tenant's secrets under a key that is not stored beside them: a key file, or a key of a KMS.
type Wrapper interface {
	Wrap(ctx context.Context, tenant [16]byte, secret []byte) ([]byte, error)
	// Unwrap refuses bytes that were altered or wrapped for another tenant.
	Unwrap(ctx context.Context, tenant [16]byte, wrapped []byte) ([]byte, error)
}

// Driver stores small items. All methods are safe for concurrent use; several processes may share what is behind it.
type Driver interface {
	Wrapper

	// Lock excludes all other holders of the scope, in this process and others, until unlock is called or the process
	// ends. It waits no longer than ctx. Whatever bytes a crashed holder left outside of items are wiped before it
	// returns. Put and Remove are called under the lock of their item's scope, except that a new epoch's first chunk is put
	// under the tenant's; Get is called without a lock.
	Lock(ctx context.Context, tenant [16]byte, s Scope) (unlock func(), err error)

	// Get returns a copy of the item's bytes as some finished Put stored them, or ErrAbsent. Beside a Put or Remove of
	// the same item it may also return bytes that are being wiped; reading again then finds the new ones.
	Get(ctx context.Context, tenant [16]byte, i Item) ([]byte, error)

	// Put replaces the item, wholly or not at all, and is durable on return. The bytes that a Chunk had before are
	// destroyed as far as the storage allows. After an error the item holds its old bytes or the new ones.
	Put(ctx context.Context, tenant [16]byte, i Item, data []byte) error

	// Remove destroys the chunks of one level whose index lies in first..last. Absent ones are no error.
	Remove(ctx context.Context, tenant [16]byte, epoch uint32, level uint8, first, last uint32) error

	// Place names an item's place for an error that an operator reads, e.g. its file.
	Place(tenant [16]byte, i Item) string

	Close() error
}
