package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// dataDir is the folder of a running process, locked.
type dataDir struct {
	path string
	lock *os.File
}

// openDataDir makes the folder if need be and takes its lock. A process that was just killed may hold it for a moment
// more, so one that is taken is tried for a short while.
func openDataDir(ctx context.Context, path string) (*dataDir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("%s: %w", setDataDir, err)
	}
	f, err := os.OpenFile(filepath.Join(path, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", setDataDir, err)
	}
	if err := flock(ctx, f); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", setDataDir, err), f.Close())
	}
	return &dataDir{path: path, lock: f}, nil
}

// ErrInUse says that another process has the data dir.
var ErrInUse = errors.New("another auditlog process uses it")

// lockWait is how long a lock that is taken is tried.
const lockWait = 500 * time.Millisecond

func flock(ctx context.Context, f *os.File) error {
	for deadline := time.Now().Add(lockWait); ; {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, unix.EWOULDBLOCK):
			return fmt.Errorf("lock %s: %w", f.Name(), err)
		case time.Now().After(deadline):
			return fmt.Errorf("%s: %w", filepath.Dir(f.Name()), ErrInUse)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (d *dataDir) file(name string) string { return filepath.Join(d.path, name) }

// Close gives the lock back.
func (d *dataDir) Close() error { return d.lock.Close() }
