// Package generation keeps a projection's file replaceable while it is in use.
//
// A projection's file is one generation of it: <name>-<n>.db in a folder, where the pointer file <name>.gen holds the n
// that is live. A rebuild fills the next generation beside the live one and swaps; readers meet the old one or the new
// one, never both or none. What is guaranteed:
//
//   - The pointer moves by a durable rename, so that after a crash at any point Open finds a whole generation: the old
//     one or the new one. Files of any other generation are leftovers, and Open removes them.
//   - A live file that is damaged (sqlitedb.ErrCorrupt) is removed and an empty generation takes its place, said in the
//     log. Since a projection's progress lies in its file, the sweeper then fills it from the store by itself.
//   - Removed means deleted, never moved aside: a projection's file may hold what was erased since.
package generation

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"auditlog/internal/sqlitedb"
)

// Set is the generations of one projection, of which T is one open file. It is safe for concurrent use.
type Set[T interface{ Close() error }] struct {
	dir, name string
	open      func(ctx context.Context, path string) (T, error)
	log       *slog.Logger

	swapping sync.Mutex // held by whoever makes a generation

	mu     sync.RWMutex // guards the fields below; read-held while live is in use
	live   T
	n      int
	closed bool
}

// ErrClosed is what Use answers after Close.
var ErrClosed = errors.New("projection is closed")

// Open opens the live generation, or makes the first. open creates an empty file where there is none, and reports damage
// by an error that wraps sqlitedb.ErrCorrupt.
func Open[T interface{ Close() error }](ctx context.Context, dir, name string, log *slog.Logger, open func(ctx context.Context, path string) (T, error)) (*Set[T], error) {
	s := &Set[T]{dir: dir, name: name, open: open, log: log}
	n, err := s.readPointer()
	if err != nil {
		return nil, err
	}
	s.n = max(n, 1)
	if err := s.removeOthers(s.n); err != nil {
		return nil, err
	}
	s.live, err = open(ctx, s.path(s.n))
	if errors.Is(err, sqlitedb.ErrCorrupt) {
		log.WarnContext(ctx, "projection file is damaged; it is removed and built anew from the event store",
			"projection", name, "file", s.path(s.n), "error", err)
		s.n++
		if s.live, err = open(ctx, s.path(s.n)); err == nil {
			n = 0 // the pointer is out of date
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open projection %s: %w", name, err)
	}
	if n != s.n {
		if err := errors.Join(s.writePointer(s.n), s.removeOthers(s.n)); err != nil {
			return nil, errors.Join(err, s.live.Close())
		}
	}
	return s, nil
}

// Use calls f with the live generation, which stays open until f returns. f must not call Swap or Close.
func (s *Set[T]) Use(f func(live T) error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return ErrClosed
	}
	return f(s.live)
}

// Swap makes the next generation beside the live one, lets fill fill it, and puts it in the live one's place. The live
// one serves until then, and again when fill fails: the new file is then removed. last runs after fill, alone: no Use
// is under way or begins until the swap is done, so that nothing written to the live one is missed. Either may be nil.
func (s *Set[T]) Swap(ctx context.Context, fill, last func(ctx context.Context, next T) error) error {
	s.swapping.Lock()
	defer s.swapping.Unlock()
	return s.swap(ctx, fill, last)
}

// Reset puts an empty generation in the place of the live one when damaged is still the live one; it is for damage that
// shows while the file is in use.
func (s *Set[T]) Reset(ctx context.Context, damaged func(live T) bool, cause error) error {
	s.swapping.Lock()
	defer s.swapping.Unlock()
	s.mu.RLock()
	gone := s.closed || !damaged(s.live)
	s.mu.RUnlock()
	if gone {
		return nil
	}
	s.log.WarnContext(ctx, "projection file is damaged; it is removed and built anew from the event store",
		"projection", s.name, "error", cause)
	return s.swap(ctx, nil, nil)
}

func (s *Set[T]) swap(ctx context.Context, fill, last func(ctx context.Context, next T) error) (err error) {
	n := s.n + 1
	next, err := s.open(ctx, s.path(n))
	if err != nil {
		return errors.Join(fmt.Errorf("make generation %d of %s: %w", n, s.name, err), s.remove(n))
	}
	drop := func(err error) error { return errors.Join(err, next.Close(), s.remove(n)) }
	if fill != nil {
		if err := fill(ctx, next); err != nil {
			return drop(err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return drop(ErrClosed)
	}
	if last != nil {
		if err := last(ctx, next); err != nil {
			return drop(err)
		}
	}
	if err := s.writePointer(n); err != nil {
		return drop(err)
	}
	old, oldN := s.live, s.n
	s.live, s.n = next, n
	if err := old.Close(); err != nil { // it is removed next, whatever its state
		s.log.WarnContext(ctx, "closing the old generation", "projection", s.name, "error", err)
	}
	return s.remove(oldN)
}

// Close closes the live generation, after every Use has returned. Closing twice is harmless.
func (s *Set[T]) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	return s.live.Close()
}

func (s *Set[T]) path(n int) string {
	return filepath.Join(s.dir, s.name+"-"+strconv.Itoa(n)+".db")
}

func (s *Set[T]) pointer() string { return filepath.Join(s.dir, s.name+".gen") }

// readPointer is the live generation's number; 0 when there is none. A pointer that says nonsense is damage, too: the
// newest file may be half a rebuild, so everything starts over above all of them.
func (s *Set[T]) readPointer() (int, error) {
	b, err := os.ReadFile(s.pointer())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("open projection %s: %w", s.name, err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || n < 1 {
		s.log.Warn("projection pointer is damaged; the projection is built anew from the event store", "projection", s.name, "file", s.pointer())
		return 0, errors.Join(os.Remove(s.pointer()), s.removeOthers(0))
	}
	return n, nil
}
