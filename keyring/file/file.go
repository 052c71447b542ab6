package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/google/uuid"

	"auditlog/keyring"
)

// Driver keeps a keyring's items in files. Make it with Open.
type Driver struct {
	dir    string
	master *master
}

var _ keyring.Driver = (*Driver)(nil)

// Open uses the folder, making it and its master key when they are missing. It refuses a folder that holds tenants but
// no master key, and a master key that others may read.
func Open(dir string) (*Driver, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("key folder: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, advise(err)
	}
	if err := private(dir); err != nil {
		return nil, err
	}
	key, err := masterKey(dir)
	if err != nil {
		return nil, err
	}
	return &Driver{dir: dir, master: key}, nil
}

// private takes away what group and others may do in a folder that was made by hand.
func private(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return advise(err)
	}
	if info.Mode().Perm()&0o077 == 0 {
		return nil
	}
	return advise(os.Chmod(dir, 0o700))
}

// advise adds to an error that names a path what can be done about it.
func advise(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w; the service's user must own the key folder (folders 0700, files 0600)", err)
	}
	return err
}

func (d *Driver) tenantDir(tenant [16]byte) string {
	return filepath.Join(d.dir, uuid.UUID(tenant).String())
}

func (d *Driver) epochDir(tenant [16]byte, epoch uint32) string {
	return filepath.Join(d.tenantDir(tenant), strconv.FormatUint(uint64(epoch), 10))
}

func (d *Driver) chunkPath(tenant [16]byte, epoch uint32, level uint8, index uint32) string {
	return filepath.Join(d.epochDir(tenant, epoch), fmt.Sprintf("%d-%d.seeds", level, index))
}

// Place is the item's path.
func (d *Driver) Place(tenant [16]byte, i keyring.Item) string {
	switch i.Kind {
	case keyring.Secrets:
		return filepath.Join(d.tenantDir(tenant), "secrets")
	case keyring.Lease:
		return filepath.Join(d.tenantDir(tenant), "lease")
	default:
		return d.chunkPath(tenant, i.Epoch, i.Level, i.Index)
	}
}

// maxItem bounds what Get reads: no item is larger, so a larger file is none of ours.
const maxItem = 4096

// Get reads the item's file.
func (d *Driver) Get(ctx context.Context, tenant [16]byte, i keyring.Item) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	data, err := readSmall(d.Place(tenant, i))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, keyring.ErrAbsent
	}
	return data, advise(err)
}

// Put writes the item's file anew.
func (d *Driver) Put(ctx context.Context, tenant [16]byte, i keyring.Item, data []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	path := d.Place(tenant, i)
	if i.Kind == keyring.Chunk && i.Level == 0 {
		if err := makeDir(filepath.Dir(path)); err != nil {
			return advise(err)
		}
	}
	return advise(replace(path, data, i.Kind == keyring.Chunk))
}

// Remove wipes and removes the files of a range of chunks.
func (d *Driver) Remove(ctx context.Context, tenant [16]byte, epoch uint32, level uint8, first, last uint32) error {
	removed := false
	for index := uint64(first); index <= uint64(last); index++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := wipe(d.chunkPath(tenant, epoch, level, uint32(index)))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return advise(err)
		}
		removed = removed || err == nil
	}
	if !removed {
		return nil
	}
	return advise(syncDir(d.epochDir(tenant, epoch)))
}

// Lock takes the flock of the tenant's folder or of one of its epochs, and wipes what a crash left there.
func (d *Driver) Lock(ctx context.Context, tenant [16]byte, s keyring.Scope) (unlock func(), err error) {
	dir := d.tenantDir(tenant)
	if s.Chunks {
		dir = d.epochDir(tenant, s.Epoch)
	} else if err := makeDir(dir); err != nil {
		return nil, advise(err)
	}
	held, err := lock(ctx, filepath.Join(dir, "lock"))
	if err != nil {
		return nil, advise(err)
	}
	if err := wipeLeftovers(dir); err != nil {
		held.Close()
		return nil, advise(err)
	}
	return func() { held.Close() }, nil // closing ends the flock; nothing was written
}

// Close lets go of the master key.
func (d *Driver) Close() error {
	d.master.close()
	return nil
}
