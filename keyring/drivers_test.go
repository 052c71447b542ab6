package keyring_test

import (
	"context"
	"errors"

	"auditlog/keyring"
)

// countingDriver counts what is put; for tests of one goroutine.
type countingDriver struct {
	keyring.Driver
	put, puts int // bytes, calls
}

func (d *countingDriver) Put(ctx context.Context, tenant [16]byte, i keyring.Item, data []byte) error {
	d.put += len(data)
	d.puts++
	return d.Driver.Put(ctx, tenant, i, data)
}

var errCrash = errors.New("the process died here")

// failingDriver lets through a number of writes, and fails the next and all that follow, as if the process had died
// either before that write or after it, its answer lost.
type failingDriver struct {
	keyring.Driver
	left    int
	after   bool // the failing write takes place
	crashed bool
}

func (d *failingDriver) write(do func() error) error {
	switch {
	case d.crashed:
		return errCrash
	case d.left > 0:
		d.left--
		return do()
	}
	d.crashed = true
	if d.after {
		if err := do(); err != nil {
			return err
		}
	}
	return errCrash
}

func (d *failingDriver) Put(ctx context.Context, tenant [16]byte, i keyring.Item, data []byte) error {
	return d.write(func() error { return d.Driver.Put(ctx, tenant, i, data) })
}

func (d *failingDriver) Remove(ctx context.Context, tenant [16]byte, epoch uint32, level uint8, first, last uint32) error {
	return d.write(func() error { return d.Driver.Remove(ctx, tenant, epoch, level, first, last) })
}

// pausingDriver calls meanwhile, once, between reading a chunk and handing it to the ring.
type pausingDriver struct {
	keyring.Driver
	meanwhile func()
}

func (d *pausingDriver) Get(ctx context.Context, tenant [16]byte, i keyring.Item) ([]byte, error) {
	data, err := d.Driver.Get(ctx, tenant, i)
	if do := d.meanwhile; do != nil && i.Kind == keyring.Chunk {
		d.meanwhile = nil
		do()
	}
	return data, err
}
