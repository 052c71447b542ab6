package file

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// The names of a file being written and of one being wiped. They are fixed, one of each in a folder, so that whoever
// locks the folder next finds what a crash left.
const (
	nextName = "next.tmp"
	prevName = "prev.tmp"
)

// makeDir makes a folder whose name is durable on return. Its parent exists.
func makeDir(dir string) error {
	err := os.Mkdir(dir, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(dir))
}

// replace makes data the durable content of the file. With destroy set, the blocks of its former content are overwritten;
// until then they keep the name prev.tmp. The folder is locked.
func replace(path string, data []byte, destroy bool) error {
	dir := filepath.Dir(path)
	if err := wipeLeftovers(dir); err != nil {
		return err
	}
	next, prev := filepath.Join(dir, nextName), filepath.Join(dir, prevName)
	if err := create(next, data); err != nil {
		return err
	}
	if destroy {
		if err := os.Link(path, prev); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := os.Rename(next, path); err != nil {
		return err
	}
	if err := syncDir(dir); err != nil {
		return err
	}
	return wipeLeftovers(dir)
}

func create(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func wipeLeftovers(dir string) error {
	for _, name := range []string{nextName, prevName} {
		if err := wipe(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// wipe overwrites the file with zeros, syncs it, and removes its name. A file that has a second name only loses this one:
// after a crash between link and rename, prev.tmp is still the live file.
func wipe(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil && info.Sys().(*syscall.Stat_t).Nlink == 1 {
		err = zero(f, info.Size())
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("wipe %s: %w", path, err)
	}
	return os.Remove(path)
}

func zero(f *os.File, size int64) error {
	if _, err := f.WriteAt(make([]byte, size), 0); err != nil {
		return err
	}
	return f.Sync()
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// readSmall reads a file of at most maxItem bytes.
func readSmall(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data := make([]byte, maxItem+1)
	n, err := io.ReadFull(f, data)
	switch {
	case err == nil:
		return nil, fmt.Errorf("%s is larger than any file of a keyring (%d bytes): restore it", path, maxItem)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return data[:n], nil
	default:
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
}
