package sqlite

import (
	"context"
	"fmt"
	"testing"
)

// LimitPages lets the file grow to no more than its present size and some pages, as a disk without room does; -1 ends it.
func (s *Store) LimitPages(tb testing.TB, more int) {
	tb.Helper()
	err := s.withWriter(tb.Context(), func(w *writer) error {
		limit := 1 << 30
		if more >= 0 {
			if err := w.conn.QueryRowContext(context.Background(), "PRAGMA page_count").Scan(&limit); err != nil {
				return err
			}
			limit += more
		}
		_, err := w.conn.ExecContext(context.Background(), fmt.Sprintf("PRAGMA max_page_count = %d", limit))
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
}

// Break leaves the writing connection inside a transaction, as a failed rollback would.
func (s *Store) Break(tb testing.TB) {
	tb.Helper()
	err := s.withWriter(tb.Context(), func(w *writer) error {
		_, err := w.conn.ExecContext(context.Background(), "BEGIN")
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
}

// TurnPages is the length of the log above which it begins anew.
const TurnPages = turnPages

// KeepFlushes is how many flushes can be answered again.
const KeepFlushes = keepFlushes
