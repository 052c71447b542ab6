package search_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"auditlog/eventstore"
	"auditlog/eventstore/format"
	"auditlog/internal/criteria"
	"auditlog/internal/sqlitedb"
	"auditlog/internal/text"
	"auditlog/projection"
	"auditlog/projection/search"
	"auditlog/projection/search/searchtest"
	"auditlog/query"
)

// holds tells how often the text stands in the files of a folder.
func holds(t *testing.T, dir, text string) (n int) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		n += bytes.Count(b, []byte(text))
	}
	return n
}

// What is erased or purged is in no file once Apply has returned, however the tokens were merged in between.
func TestErasedTextLeavesTheFiles(t *testing.T) {
	dir := t.TempDir()
	log := searchtest.NewLog(t)
	x := open(t, dir, log)
	var canaries []eventstore.Event
	text := func(i int) string { return fmt.Sprintf("canary%dx%06d", i%7, i) }
	apply := func() {
		t.Helper()
		r, err := x.Progress(t.Context(), 0)
		if err == nil {
			err = x.Apply(t.Context(), log.Envelope(r.Cursor(), log.Head()))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range 2000 {
		// One word in its own document, one in all: a shared posting list and lists of one.
		canaries = append(canaries, log.Record(tenant, format.Public{Action: "READ"}, format.Private{Message: text(i) + " sharedword", Metadata: fmt.Appendf(nil, `{%q:"v"}`, "key"+text(i))}))
		if i%40 == 39 {
			apply()
		}
	}
	for i, at := range []int{0, 1, 999, 1000, 1777, 1999} {
		if holds(t, dir, text(at)) == 0 {
			t.Fatalf("%s is not in the files before its erasure: the test sees nothing", text(at))
		}
		log.Erase(canaries[at])
		apply()
		if n := holds(t, dir, text(at)); n != 0 {
			t.Fatalf("erasure %d: %s is still in the files, %d times", i, text(at), n)
		}
	}
	log.Purge(tenant, 1500)
	apply()
	for at := range 1500 {
		if n := holds(t, dir, text(at)); n != 0 {
			t.Fatalf("purge: %s is still in the files, %d times", text(at), n)
		}
		if at == 100 { // reading all files is slow; the ends are what differs
			break
		}
	}
	if n := holds(t, dir, text(1499)); n != 0 {
		t.Fatalf("purge: %s is still in the files, %d times", text(1499), n)
	}
	if holds(t, dir, text(1501)) == 0 {
		t.Fatal("the purge took more than it should")
	}
}

func filled(t *testing.T, n int) *searchtest.Log {
	t.Helper()
	log := searchtest.NewLog(t)
	for i := range n {
		e := log.Record(searchtest.Tenant(byte(1+i%3)), format.Public{Action: "READ"}, format.Private{Message: fmt.Sprint("message number ", i)})
		if i%10 == 0 {
			log.Amend(e, format.Private{Message: "amended"})
		}
		if i%25 == 0 {
			log.Erase(e)
		}
	}
	return log
}

func TestReopenedIsTheSame(t *testing.T) {
	dir, log := t.TempDir(), filled(t, 50)
	x := open(t, dir, log)
	if err := x.Apply(t.Context(), log.Envelope(0, log.Head())); err != nil {
		t.Fatal(err)
	}
	want := dump(t, x)
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	again := open(t, dir, log)
	if got := dump(t, again); got != want {
		t.Fatal("another dump after reopening")
	}
	if v, err := again.Visible(t.Context(), 0); err != nil || v != log.Head() {
		t.Fatalf("visible %d, %v", v, err)
	}
}

// A damaged or foreign file is replaced by an empty one, said so, and filled again from the store.
func TestDamagedFileIsBuiltAnew(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"no database": func(path string) error { return os.WriteFile(path, bytes.Repeat([]byte("garbage"), 1000), 0o600) },
		"cut":         func(path string) error { return os.Truncate(path, 5000) },
		"other rules": func(path string) error {
			db, err := sqlitedb.Open(t.Context(), path, sqlitedb.Options{})
			if err != nil {
				return err
			}
			_, err = db.Write.Exec(`UPDATE made_for SET rules = 0`)
			return errors.Join(err, db.Close())
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir, log := t.TempDir(), filled(t, 300)
			x := open(t, dir, log)
			all := log.Envelope(0, log.Head())
			if err := x.Apply(t.Context(), all); err != nil {
				t.Fatal(err)
			}
			want := dump(t, x)
			if err := x.Close(); err != nil {
				t.Fatal(err)
			}
			if err := damage(filepath.Join(dir, "search-1.db")); err != nil {
				t.Fatal(err)
			}
			var said strings.Builder
			c := config(dir, log)
			c.Log = slog.New(slog.NewTextHandler(&said, nil))
			x, err := search.Open(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := x.Close(); err != nil {
					t.Error(err)
				}
			}()
			// Damage may show later than at the opening: then the call fails once, and an empty file takes its place.
			err = x.Apply(t.Context(), all)
			if errors.Is(err, sqlitedb.ErrCorrupt) {
				err = x.Apply(t.Context(), all)
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := dump(t, x); got != want {
				t.Fatal("what was built anew differs")
			}
			if !strings.Contains(said.String(), "built anew") {
				t.Fatalf("the log says %q", said.String())
			}
		})
	}
}

func TestRebuildComparesAndSwaps(t *testing.T) {
	dir, log := t.TempDir(), filled(t, 200)
	x := open(t, dir, log)
	if err := x.Apply(t.Context(), log.Envelope(0, log.Head())); err != nil {
		t.Fatal(err)
	}
	want := dump(t, x)
	r, err := x.Rebuild(t.Context(), nil)
	if err != nil || len(r.Differences) != 0 || int(r.Documents) != strings.Count(want, "\n") {
		t.Fatalf("%+v, %v", r, err)
	}
	if got := dump(t, x); got != want {
		t.Fatal("the new generation differs")
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*.db")); err != nil || len(left) != 1 || filepath.Base(left[0]) != "search-2.db" {
		t.Fatalf("files %q, %v", left, err)
	}
}

func TestRebuildReportsWhatDiffered(t *testing.T) {
	dir, log := t.TempDir(), filled(t, 60)
	x := open(t, dir, log)
	if err := x.Apply(t.Context(), log.Envelope(0, log.Head())); err != nil {
		t.Fatal(err)
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := sqlitedb.Open(t.Context(), filepath.Join(dir, "search-1.db"), sqlitedb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Write.Exec(`DELETE FROM docs WHERE position = 5 AND tenant = (SELECT min(num) FROM tenants)`); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	x = open(t, dir, log)
	r, err := x.Rebuild(t.Context(), nil)
	if err != nil || len(r.Differences) != 1 || r.Differences[0].New != r.Differences[0].Old+1 {
		t.Fatalf("%+v, %v", r, err)
	}
}

// Writers and readers go on while generations are swapped: every answer is whole, nothing is lost.
func TestRebuildBesideWritesAndReads(t *testing.T) {
	log := filled(t, 100)
	x := open(t, t.TempDir(), log)
	if err := x.Apply(t.Context(), log.Envelope(0, log.Head())); err != nil {
		t.Fatal(err)
	}
	q, err := text.Parse("message")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	stop := make(chan struct{})
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			from := log.Head()
			log.Record(tenant, format.Public{Action: "READ"}, format.Private{Message: fmt.Sprint("message beside ", i)})
			if err := x.Apply(t.Context(), log.Envelope(from, log.Head())); err != nil {
				t.Error(err)
				return
			}
			n, err := x.Count(t.Context(), query.IndexQuery{Tenant: tenant, Criteria: criteria.Criteria{Text: q}}, 1_000_000)
			if err != nil || n < i+1+30 {
				t.Errorf("after %d writes: %d, %v", i+1, n, err)
				return
			}
		}
	})
	for range 5 {
		if r, err := x.Rebuild(t.Context(), nil); err != nil || len(r.Differences) != 0 {
			t.Errorf("%+v, %v", r, err)
		}
	}
	close(stop)
	wg.Wait()
	if v, err := x.Visible(t.Context(), 0); err != nil || v != log.Head() {
		t.Fatalf("visible %d, %v; want %d", v, err, log.Head())
	}
}

func TestUnreadableEventIsPoison(t *testing.T) {
	log := searchtest.NewLog(t)
	log.Record(tenant, format.Public{Action: "READ"}, format.Private{Message: "text"})
	env := log.Envelope(0, 1)
	env.Events[0].Public = []byte("\x07damaged")
	x := open(t, t.TempDir(), log)
	err := x.Apply(t.Context(), env)
	var poison *projection.Poison
	if !errors.As(err, &poison) {
		t.Fatalf("got %v", err)
	}
	if v, err := x.Visible(t.Context(), 0); err != nil || v != 0 {
		t.Fatalf("visible %d, %v", v, err)
	}
}
