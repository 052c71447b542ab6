package generation

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// writePointer makes generation n live, durably.
func (s *Set[T]) writePointer(n int) error {
	tmp := s.pointer() + ".tmp"
	err := writeSynced(tmp, strconv.Itoa(n)+"\n")
	if err == nil {
		err = os.Rename(tmp, s.pointer())
	}
	if err == nil {
		err = syncDir(s.dir)
	}
	if err != nil {
		return fmt.Errorf("make generation %d of %s live: %w", n, s.name, err)
	}
	return nil
}

func writeSynced(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// removeOthers removes the files of every generation but n.
func (s *Set[T]) removeOthers(n int) error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return fmt.Errorf("open projection %s: %w", s.name, err)
	}
	var errs []error
	for _, e := range entries {
		rest, ok := strings.CutPrefix(e.Name(), s.name+"-")
		number, _, isFile := strings.Cut(rest, ".db")
		if g, err := strconv.Atoi(number); ok && isFile && err == nil && g != n {
			errs = append(errs, removeFile(filepath.Join(s.dir, e.Name())))
		}
	}
	return errors.Join(errs...)
}

// remove removes the files of generation n.
func (s *Set[T]) remove(n int) error {
	var errs []error
	for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
		errs = append(errs, removeFile(s.path(n)+suffix))
	}
	return errors.Join(errs...)
}

func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove an old generation: %w", err)
	}
	return nil
}
