package stats_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"auditlog/projection"
	"auditlog/projection/projtest"
	"auditlog/projection/readmodel"
)

// No byte of an actor's or subject's id is in any file of either projection, before an erasure or after.
func TestFilesHoldNoPlaintext(t *testing.T) {
	w := projtest.New(t)
	tenant := w.Tenant("acme")
	dir := t.TempDir()
	a := w.Record(tenant, projtest.Entry{Actor: "canary-actor", Subjects: []string{"canary-subject"}, Message: "canary-message"})
	p := openStats(t, w, readmodel.Folder(dir), readmodel.Deps{})
	for i := range 2 {
		if i == 1 {
			w.Erase(tenant, a.ID)
		}
		p.apply(t, all(w))
		err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			content, err := os.ReadFile(path)
			if bytes.Contains(content, []byte("canary")) {
				t.Errorf("%s holds plaintext", path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// A damaged file, found at opening or while in use, is replaced, and the sweeper brings the content back.
func TestDamagedFileFillsItselfAgain(t *testing.T) {
	w := projtest.New(t)
	w.RecordMany(w.Tenant("acme"), 300)
	clean := openStats(t, w, readmodel.Folder(t.TempDir()), readmodel.Deps{})
	clean.apply(t, all(w))
	want := projtest.Dump(t, clean.stats)
	for name, from := range map[string]int64{"the header": 0, "the rows": 8 * 4096} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			t.Run("fill", func(t *testing.T) { // closed at its end
				first := openStats(t, w, readmodel.Folder(dir), readmodel.Deps{})
				env := all(w)
				env.To = env.Events[100].Offset
				env.Events = env.Events[:101]
				first.apply(t, env)
			})
			overwrite(t, filepath.Join(dir, "stats-1.db"), from)
			again := openStats(t, w, readmodel.Folder(dir), readmodel.Deps{})
			runner := projection.NewRunner(again.stats, w.Store, nil, projection.RunnerOptions{})
			if err := runner.Sweep(t.Context(), 0); err != nil {
				t.Log("the sweep that met the damage:", err)
				if err := runner.Sweep(t.Context(), 0); err != nil {
					t.Fatal(err)
				}
			}
			if got := projtest.Dump(t, again.stats); got != want {
				t.Errorf("filled again:\n%swant\n%s", got, want)
			}
		})
	}
}

func overwrite(t *testing.T, path string, from int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(bytes.Repeat([]byte{0xa5}, int(info.Size()-from)), from); err != nil {
		t.Fatal(err)
	}
}
