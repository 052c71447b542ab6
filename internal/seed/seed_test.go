package seed

import (
	"bytes"
	"testing"
	"time"

	"auditlog/command"
	"auditlog/internal/canon"
)

func TestEntriesAreValidAndTheSame(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	a, b := New(7, 1000, now, 30), New(7, 1000, now, 30)
	keys, size := map[string]bool{}, 0
	for n := range int64(1000) {
		x, err := a.Append([]byte("kept"), n)
		if err != nil {
			t.Fatal(err)
		}
		y, _ := b.Append(nil, 999-n)
		y, _ = b.Append(y[:0], n) // whatever was asked before
		if string(x) != "kept"+string(y) {
			t.Fatalf("entry %d is %s and %s", n, x, y)
		}
		doc, err := canon.Parse(y, canon.Limits{})
		if err != nil {
			t.Fatalf("%v\n%s", err, y)
		}
		e, broken := command.ParseEntry(doc.Root(), "", command.Defaults{Now: now})
		if len(broken) > 0 {
			t.Fatalf("entry %d: %+v\n%s", n, broken, y)
		}
		keys[e.IdempotencyKey()] = true
		size += len(y)
		doc.Release()
	}
	if len(keys) != 1000 {
		t.Errorf("%d keys", len(keys))
	}
	if mean := size / 1000; mean < 500 || mean > 700 {
		t.Errorf("entries have %d bytes on average", mean)
	}
	other, _ := New(8, 1000, now, 30).Append(nil, 1)
	same, _ := a.Append(nil, 1)
	if bytes.Equal(other, same) {
		t.Error("another seed gives the same entry")
	}
}
