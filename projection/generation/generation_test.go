package generation_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"auditlog/internal/sqlitedb"
	"auditlog/projection/generation"
)

// file is a generation that is a plain file of text.
type file struct{ path string }

func (f *file) Close() error { return nil }

func (f *file) write(s string) error { return os.WriteFile(f.path, []byte(s), 0o600) }

func openFile(_ context.Context, path string) (*file, error) {
	f := &file{path}
	b, err := os.ReadFile(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return f, f.write("")
	case string(b) == "damaged":
		return nil, fmt.Errorf("x: %w", sqlitedb.ErrCorrupt)
	}
	return f, err
}

type harness struct {
	t   *testing.T
	dir string
	log strings.Builder
}

func (h *harness) open() *generation.Set[*file] {
	h.t.Helper()
	s, err := generation.Open(h.t.Context(), h.dir, "search", slog.New(slog.NewTextHandler(&h.log, nil)), openFile)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() {
		if err := s.Close(); err != nil {
			h.t.Error(err)
		}
	})
	return s
}

func (h *harness) put(name, text string) {
	h.t.Helper()
	if err := os.WriteFile(filepath.Join(h.dir, name), []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

func (h *harness) content(s *generation.Set[*file]) string {
	h.t.Helper()
	var text string
	err := s.Use(func(f *file) error {
		b, err := os.ReadFile(f.path)
		text = string(b)
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return text
}

func (h *harness) files(want ...string) {
	h.t.Helper()
	entries, err := os.ReadDir(h.dir)
	if err != nil {
		h.t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if !slices.Equal(got, want) {
		h.t.Fatalf("files %q, want %q", got, want)
	}
}

func write(text string) func(context.Context, *file) error {
	return func(_ context.Context, f *file) error { return f.write(text) }
}

func TestSwapReplacesAndLasts(t *testing.T) {
	h := &harness{t: t, dir: t.TempDir()}
	s := h.open()
	if err := s.Swap(t.Context(), write("half"), write("whole")); err != nil {
		t.Fatal(err)
	}
	h.files("search-2.db", "search.gen")
	if got := h.content(h.open()); got != "whole" {
		t.Fatalf("after reopening: %q", got)
	}
}

func TestFailedSwapLeavesTheLiveOne(t *testing.T) {
	h := &harness{t: t, dir: t.TempDir()}
	s := h.open()
	if err := s.Use(func(f *file) error { return f.write("live") }); err != nil {
		t.Fatal(err)
	}
	boom := errors.New("boom")
	fail := func(context.Context, *file) error { return boom }
	for _, steps := range [][2]func(context.Context, *file) error{{fail, nil}, {nil, fail}} {
		if err := s.Swap(t.Context(), steps[0], steps[1]); !errors.Is(err, boom) {
			t.Fatalf("got %v", err)
		}
		if got := h.content(s); got != "live" {
			t.Fatalf("after a failed swap: %q", got)
		}
		h.files("search-1.db", "search.gen")
	}
}

func TestOpenRemovesLeftovers(t *testing.T) {
	h := &harness{t: t, dir: t.TempDir()}
	h.put("search.gen", "3\n")
	h.put("search-3.db", "live")
	h.put("search-2.db", "old")
	h.put("search-4.db-wal", "crashed rebuild")
	h.put("search-x.db", "not ours")
	if got := h.content(h.open()); got != "live" {
		t.Fatalf("got %q", got)
	}
	h.files("search-3.db", "search-x.db", "search.gen")
}

func TestDamageStartsAnew(t *testing.T) {
	for name, damage := range map[string]func(*harness){
		"file":    func(h *harness) { h.put("search.gen", "3\n"); h.put("search-3.db", "damaged") },
		"pointer": func(h *harness) { h.put("search.gen", "\x00\x00"); h.put("search-3.db", "old") },
	} {
		t.Run(name, func(t *testing.T) {
			h := &harness{t: t, dir: t.TempDir()}
			damage(h)
			if got := h.content(h.open()); got != "" {
				t.Fatalf("got %q, want an empty generation", got)
			}
			if !strings.Contains(h.log.String(), "built anew") {
				t.Errorf("the log does not say so: %q", h.log.String())
			}
			if _, err := os.Stat(filepath.Join(h.dir, "search-3.db")); err == nil {
				t.Error("the damaged file is still there")
			}
		})
	}
}

func TestResetOnlyTheDamagedOne(t *testing.T) {
	h := &harness{t: t, dir: t.TempDir()}
	s := h.open()
	var damaged *file
	err := s.Use(func(f *file) error { damaged = f; return f.write("damaged") })
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second comes late: another generation is live
		if err := s.Reset(t.Context(), func(f *file) bool { return f == damaged }, sqlitedb.ErrCorrupt); err != nil {
			t.Fatal(err)
		}
	}
	h.files("search-2.db", "search.gen")
}

func TestUseAfterClose(t *testing.T) {
	h := &harness{t: t, dir: t.TempDir()}
	s := h.open()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Use(func(*file) error { return nil }); !errors.Is(err, generation.ErrClosed) {
		t.Fatalf("got %v", err)
	}
}
