package bench

import (
	"encoding/json"
	"testing"
)

func TestLargeEntries(t *testing.T) {
	all, err := largeEntries(0, 300)
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range all {
		var entry struct {
			Metadata map[string]any `json:"metadata"`
		}
		if err := json.Unmarshal(e, &entry); err != nil {
			t.Fatalf("entry %d: %v: %s", i, err, e)
		}
		if len(e) < largeEntry || len(e) > largeEntry+100 {
			t.Errorf("entry %d has %d bytes", i, len(e))
		}
		if len(entry.Metadata) < 6 {
			t.Errorf("entry %d: %s", i, e)
		}
	}
	if string(all[0]) == string(all[1]) {
		t.Error("entries are alike")
	}
}

func TestGrouped(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 10_042: "10,042", 50_000_000: "50,000,000"} {
		if got := grouped(n); got != want {
			t.Errorf("%d is %s, want %s", n, got, want)
		}
	}
}

func TestBaseRows(t *testing.T) {
	for rows, want := range map[int]int{50_000: 0, million: 0, million + 1: million, 50 * million: million} {
		if got := baseRows(rows); got != want {
			t.Errorf("%d rows are compared with %d, want %d", rows, got, want)
		}
	}
}
