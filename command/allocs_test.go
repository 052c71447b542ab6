//go:build !race

package command_test

import (
	"bytes"
	"context"
	"testing"

	"auditlog/command"
	"auditlog/internal/canon"
)

// allocsPerEntry is what an entry of a bulk may allocate from its bytes to the sealed draft that the store is given: the
// entry, its texts, its metadata, its canonical form for the fingerprint of its key; and two objects of the cipher, which
// is a new one for each key. Its share of what is allocated for many at once comes to a tenth. Built without the
// race detector, which empties pools at random.
const allocsPerEntry = 6.1

func TestAllocationsOfAnEntry(t *testing.T) {
	w := newWorldOver(t, instant, command.AppenderOptions{})
	body := bytes.NewBufferString(`{"entries":[`)
	for i := range command.MaxBulk {
		if i > 0 {
			body.WriteByte(',')
		}
		body.WriteString(typical(i))
	}
	body.WriteString(`]}`)
	ctx, d := context.Background(), command.Defaults{Now: noon}
	bulk := func() {
		doc, err := canon.Parse(body.Bytes(), command.BulkLimits)
		if err != nil {
			t.Fatal(err)
		}
		items := make([]command.BulkItem, 0, command.MaxBulk)
		for n := range doc.Root().Get("entries").Elems() {
			e, broken := command.ParseEntry(n, "", d)
			if e == nil {
				t.Fatal(broken)
			}
			items = append(items, command.BulkItem{Entry: e})
		}
		doc.Release()
		if _, err := w.Bulk(ctx, w.writer, items, true); err != nil {
			t.Fatal(err)
		}
	}
	if got := testing.AllocsPerRun(10, bulk) / command.MaxBulk; got > allocsPerEntry {
		t.Errorf("%.2f allocations for an entry, at most %.1f are due", got, allocsPerEntry)
	}
}
