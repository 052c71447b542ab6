package file_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/uuid"

	"auditlog/keyring"
)

// TestLeftoversOfACrashAreWiped builds by hand what each step of a write leaves, and punctures what is punctured already:
// the repetition that follows a crash cleans up although it has nothing to write.
func TestLeftoversOfACrashAreWiped(t *testing.T) {
	content := []byte("seeds of a tree that must not survive")
	for _, name := range []string{"next.tmp", "prev.tmp"} {
		dir, sealed, ref := filled(t)
		path := filepath.Join(dir, uuid.UUID(tenant).String(), "0", name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		held, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer held.Close()
		puncturedBefore(t, dir)
		data := make([]byte, len(content))
		if _, err := held.ReadAt(data, 0); err != nil || !bytes.Equal(data, make([]byte, len(content))) {
			t.Errorf("%s was not overwritten: %q, %v", name, data, err)
		}
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is still there: %v", name, err)
		}
		if err := use(t, dir, sealed, ref); err != nil {
			t.Error(err)
		}
	}
}

// TestALinkToTheLiveFileIsNotWiped stops a write between link and rename.
func TestALinkToTheLiveFileIsNotWiped(t *testing.T) {
	dir, sealed, ref := filled(t)
	epoch := filepath.Join(dir, uuid.UUID(tenant).String(), "0")
	if err := os.Link(filepath.Join(epoch, "2-0.seeds"), filepath.Join(epoch, "prev.tmp")); err != nil {
		t.Fatal(err)
	}
	puncturedBefore(t, dir)
	if _, err := os.Stat(filepath.Join(epoch, "prev.tmp")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("prev.tmp is still there: %v", err)
	}
	if err := use(t, dir, sealed, ref); err != nil {
		t.Error(err)
	}
}

func puncturedBefore(t *testing.T, dir string) {
	t.Helper()
	r := keyring.New(open(t, dir), keyring.Options{})
	defer r.Close()
	if err := r.Puncture(t.Context(), tenant, []keyring.Ref{{Index: 0}}); err != nil {
		t.Fatal(err)
	}
}
