package file_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"auditlog/keyring"
	"auditlog/keyring/file"
)

var tenant = [16]byte{0: 0xA1, 15: 1}

func open(t *testing.T, dir string) *file.Driver {
	t.Helper()
	d, err := file.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// filled is a folder with one tenant, which has sealed one message and punctured another.
func filled(t *testing.T) (dir string, sealed []byte, ref keyring.Ref) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "keys")
	r := keyring.New(open(t, dir), keyring.Options{})
	defer r.Close()
	if err := r.CreateTenant(t.Context(), tenant); err != nil {
		t.Fatal(err)
	}
	_, gone, err := r.Seal(t.Context(), tenant, tenant, nil, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	if sealed, ref, err = r.Seal(t.Context(), tenant, tenant, nil, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := r.Puncture(t.Context(), tenant, []keyring.Ref{gone}); err != nil {
		t.Fatal(err)
	}
	return dir, sealed, ref
}

// use does one of everything with a folder and joins what fails.
func use(t *testing.T, dir string, sealed []byte, ref keyring.Ref) error {
	t.Helper()
	d, err := file.Open(dir)
	if err != nil {
		return err
	}
	r := keyring.New(d, keyring.Options{})
	defer r.Close()
	_, openErr := r.Open(t.Context(), tenant, tenant, ref, nil, sealed)
	_, _, sealErr := r.Seal(t.Context(), tenant, tenant, nil, []byte("y"))
	return errors.Join(openErr, sealErr, r.Puncture(t.Context(), tenant, []keyring.Ref{{Index: 40}}))
}

func TestLayoutAndModes(t *testing.T) {
	dir, _, _ := filled(t)
	var got []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o600)
		if e.IsDir() {
			want = 0o700
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %04o", path, info.Mode().Perm())
		}
		rel, err := filepath.Rel(dir, path)
		if !e.IsDir() {
			got = append(got, strings.ReplaceAll(rel, uuid.UUID(tenant).String(), "T"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want := "T/0/0-0.seeds T/0/1-0.seeds T/0/2-0.seeds T/0/lock T/lease T/lock T/secrets lock master.key"
	if strings.Join(got, " ") != want {
		t.Errorf("files %v, want %s", got, want)
	}
}

func TestALooseFolderIsTightenedALooseMasterKeyRefused(t *testing.T) {
	dir, sealed, ref := filled(t)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := use(t, dir, sealed, ref); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	key := filepath.Join(dir, "master.key")
	if err := os.Chmod(key, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := use(t, dir, sealed, ref); err == nil || !strings.Contains(err.Error(), key) || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("got %v", err)
	}
}

// TestDamageIsNamed cuts, flips, empties, enlarges and removes each file in turn.
func TestDamageIsNamed(t *testing.T) {
	damages := map[string]func(b []byte) []byte{
		"cut":      func(b []byte) []byte { return b[:len(b)-1] },
		"flipped":  func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
		"empty":    func([]byte) []byte { return nil },
		"enlarged": func(b []byte) []byte { return append(b, make([]byte, 5000)...) },
		"removed":  nil,
	}
	for _, name := range []string{"master.key", "T/secrets", "T/lease", "T/0/0-0.seeds", "T/0/2-0.seeds"} {
		dir, sealed, ref := filled(t)
		path := filepath.Join(dir, strings.Replace(name, "T", uuid.UUID(tenant).String(), 1))
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for damage, do := range damages {
			if do == nil {
				err = os.Remove(path)
			} else {
				err = os.WriteFile(path, do(bytes.Clone(whole)), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			err := use(t, dir, sealed, ref)
			switch {
			case err == nil:
				t.Errorf("%s %s went unnoticed", name, damage)
			case name == "T/secrets" && damage == "removed": // then there is no such tenant
			case !strings.Contains(err.Error(), filepath.Base(path)) || !strings.Contains(err.Error(), "restore"):
				t.Errorf("%s %s: %v", name, damage, err)
			case errors.Is(err, keyring.ErrPunctured):
				t.Errorf("%s %s passes for an erasure: %v", name, damage, err)
			}
			if err := os.WriteFile(path, whole, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := use(t, dir, sealed, ref); err != nil {
			t.Errorf("%s put back: %v", name, err)
		}
	}
}

func TestAMasterKeyOfAnotherFolderIsRefused(t *testing.T) {
	dir, sealed, ref := filled(t)
	other, _, _ := filled(t)
	key, err := os.ReadFile(filepath.Join(other, "master.key"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "master.key"), key, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := use(t, dir, sealed, ref); err == nil || !strings.Contains(err.Error(), "another key than") {
		t.Errorf("got %v", err)
	}
}

func TestAFolderThatCannotBeMadeIsNamed(t *testing.T) {
	blocked := filepath.Join(t.TempDir(), "plain-file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := file.Open(filepath.Join(blocked, "keys")); err == nil || !strings.Contains(err.Error(), blocked) {
		t.Errorf("got %v", err)
	}
}

// TestOldBytesAreOverwritten keeps the old files open across punctures, as forensics keeps blocks.
func TestOldBytesAreOverwritten(t *testing.T) {
	dir, _, ref := filled(t)
	old := map[string]*os.File{}
	for _, name := range []string{"0-0.seeds", "1-0.seeds", "2-0.seeds"} {
		f, err := os.Open(filepath.Join(dir, uuid.UUID(tenant).String(), "0", name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		old[name] = f
	}
	check := func(name string, wantZero bool) {
		t.Helper()
		data, err := io.ReadAll(io.NewSectionReader(old[name], 0, 1<<20))
		if err != nil || len(data) == 0 {
			t.Fatal(len(data), err)
		}
		if zero := bytes.Count(data, []byte{0}) == len(data); zero != wantZero {
			t.Errorf("%s is all zero: %v", name, zero)
		}
	}
	r := keyring.New(open(t, dir), keyring.Options{})
	defer r.Close()
	if err := r.Puncture(t.Context(), tenant, []keyring.Ref{ref}); err != nil {
		t.Fatal(err)
	}
	check("2-0.seeds", true)
	check("1-0.seeds", false) // needed no rewriting
	check("0-0.seeds", false)
	var rest []keyring.Ref
	for i := range uint32(64) {
		rest = append(rest, keyring.Ref{Index: i})
	}
	if err := r.Puncture(t.Context(), tenant, rest); err != nil { // the last chunk is removed, its parent rewritten
		t.Fatal(err)
	}
	check("1-0.seeds", true)
	if _, err := os.Stat(old["2-0.seeds"].Name()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the emptied chunk is still there: %v", err)
	}
}
