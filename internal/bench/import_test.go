package bench

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"auditlog/internal/importer"
)

// Each line becomes an entry with a key of its own, so that an import stores them all; with the key it is as large as the
// entries of other steps and what a key takes.
func TestImportedLinesDiffer(t *testing.T) {
	const n = 3000
	path := filepath.Join(t.TempDir(), "lines")
	if err := writeLines(path, n); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if mean := len(raw) / n; mean < 500 || mean > 650 {
		t.Errorf("lines have %d bytes on average", mean)
	}
	marker, keys := []byte(importer.KeyPrefix), map[string]bool{}
	for i, line := range bytes.Split(bytes.TrimSuffix(raw, []byte("\n")), []byte("\n")) {
		entry, err := importer.NDJSON(nil, line)
		if err != nil {
			t.Fatalf("line %d: %v: %s", i+1, err, line)
		}
		_, key, found := bytes.Cut(entry, marker)
		if !found {
			t.Fatalf("line %d has a key already: %s", i+1, line)
		}
		keys[string(key)] = true
	}
	if len(keys) != n {
		t.Errorf("%d lines have %d keys", n, len(keys))
	}
}

// What an import did not store is not counted as imported.
func TestStoredReadsTheAccount(t *testing.T) {
	for account, want := range map[string]bool{
		"read 2900, stored 2900, replayed 0, refused 0 in 1.2s\n":   true,
		"read 2900, stored 2899, replayed 1, refused 0 in 1.2s\n":   false,
		"read 2900, stored 2899, replayed 0, refused 1 in 1.2s\n":   false,
		"read 29000, stored 29000, replayed 0, refused 0 in 1.2s\n": false,
		"": false,
	} {
		if err := stored(account, 2900); (err == nil) != want {
			t.Errorf("%q: %v", account, err)
		}
	}
}
