package sqlite_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"auditlog/eventstore"
	"auditlog/eventstore/sqlite"
)

// crashFile names the file that a child process appends to until it is killed.
const crashFile = "AUDITLOG_TEST_CRASH_FILE"

func TestMain(m *testing.M) {
	if path := os.Getenv(crashFile); path != "" {
		appendForEver(path)
	}
	goleak.VerifyTestMain(m)
}

// appendForEver prints each acknowledged event as "position id" and ends only when it is killed or fails.
func appendForEver(path string) {
	ctx := context.Background()
	s, err := sqlite.Open(ctx, path, sqlite.Options{})
	if err != nil {
		fmt.Println("open:", err)
		os.Exit(1)
	}
	list, err := s.Tenants(ctx, eventstore.TenantID{}, 1)
	for n := 1; err == nil; n = n%40 + 1 {
		var got []eventstore.Outcome
		got, err = s.Append(ctx, flush(eventstore.Unit{Tenant: list[0].ID, Drafts: drafts(n, storedBytes)}))
		var b strings.Builder
		for _, o := range got {
			fmt.Fprintln(&b, o.Position, o.ID)
		}
		os.Stdout.WriteString(b.String())
	}
	fmt.Println("append:", err)
	os.Exit(1)
}

// TestAppendIsDurable kills a process that appends, again and again: what it was told of is there, and the log is dense.
func TestAppendIsDurable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.db")
	s, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	tenant := newTenant(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	told := map[string]string{}
	for cycle := range 10 {
		appendUntilKilled(t, path, 100+30*cycle, told)
		checkTold(t, path, tenant, told)
	}
	t.Logf("%d acknowledged events over 10 kills", len(told))
}

// appendUntilKilled lets a child append until it has told of so many events, kills it, and reads what it told to the end.
func appendUntilKilled(t *testing.T, path string, events int, told map[string]string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashFile+"="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	killed, seen := false, 0
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			break // what follows the last newline was not told whole
		}
		var position, id string
		if _, err := fmt.Sscan(line, &position, &id); err != nil || strings.HasSuffix(position, ":") {
			t.Errorf("the child said %q", line)
			continue
		}
		told[position] = id
		if seen++; seen >= events && !killed {
			killed = true
			if err := cmd.Process.Kill(); err != nil {
				t.Error(err)
			}
		}
	}
	if err := cmd.Wait(); !killed || err == nil {
		t.Fatalf("the child ended by itself: %v", err)
	}
}

func checkTold(t *testing.T, path string, tenant eventstore.TenantID, told map[string]string) {
	t.Helper()
	s, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	found, last := 0, eventstore.Event{}
	for {
		page, err := s.ReadTenant(t.Context(), tenant, last.Position, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, e := range page {
			if e.Position != last.Position+1 || e.Offset != last.Offset+1 || e.RecordedAt < last.RecordedAt {
				t.Fatalf("%+v follows %+v", e, last)
			}
			if id, ok := told[fmt.Sprint(e.Position)]; ok {
				found++
				if id != e.ID.String() {
					t.Fatalf("position %d holds %v, told was %v", e.Position, e.ID, id)
				}
			}
			last = e
		}
	}
	if found != len(told) {
		t.Fatalf("%d of %d acknowledged events are there", found, len(told))
	}
	// The log goes on where it ended.
	got, err := s.Append(t.Context(), eventstore.Flush{ID: eventstore.FlushID(uuid.New()), Units: []eventstore.Unit{{Tenant: tenant, Drafts: drafts(1, 10)}}})
	if err != nil || got[0].Position != last.Position+1 {
		t.Fatalf("%+v, %v; want position %d", got, err, last.Position+1)
	}
}
