package opensearch_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"auditlog/eventstore/format"
	"auditlog/internal/criteria"
	"auditlog/internal/fault"
	"auditlog/internal/text"
	"auditlog/projection"
	"auditlog/projection/search/opensearch"
	"auditlog/projection/search/opensearch/ostest"
	"auditlog/projection/search/searchtest"
	"auditlog/query"
)

// TestOwnServer holds the cases that kill a server or look into its files.
func TestOwnServer(t *testing.T) {
	t.Parallel()
	server := ostest.Start(t)
	t.Run("ErasedWordsLeaveTheFiles", func(t *testing.T) { testErasedWordsLeaveTheFiles(t, server) })
	t.Run("Killed", func(t *testing.T) { testKilledServer(t, server) })
}

// Erased words leave the server's files.
func testErasedWordsLeaveTheFiles(t *testing.T, server *ostest.Server) {
	log := searchtest.NewLog(t)
	cfg := config(t, server.Address, log)
	w := &world{T: t, log: log, cfg: cfg, x: open(t, cfg)}
	const canary = "zqxcanaryjvk"
	e := log.Record(tenant, format.Public{Action: "READ"}, format.Private{Message: canary, Actor: format.Actor{ID: canary}, Metadata: []byte(`{"k":"` + canary + `"}`)})
	w.record(200)
	w.apply()
	w.expect(201)
	if !inFiles(t, server.Dir, canary) {
		t.Fatal("the word is in no file before its erasure: this test would prove nothing")
	}
	log.Erase(e)
	w.apply()
	w.expect(201)
	q, err := text.Parse(canary)
	if err != nil {
		t.Fatal(err)
	}
	if keys, err := w.x.Find(t.Context(), query.IndexQuery{Tenant: tenant, Criteria: criteria.Criteria{Text: q}, Limit: 1}); err != nil || len(keys) != 0 {
		t.Errorf("found %v, %v", keys, err)
	}
	for deadline := time.Now().Add(2 * time.Minute); ; { // the server holds what was removed for 30 s
		if err := w.x.ScrubNow(t.Context()); err != nil {
			t.Fatal(err)
		}
		due, err := cfg.State.Scrubs(t.Context(), 1)
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("scrubs left: %v, %v", due, err)
		}
		if len(due) == 0 {
			break
		}
		select {
		case <-time.After(time.Second):
		case <-t.Context().Done():
		}
	}
	if inFiles(t, server.Dir, canary) {
		t.Error("the word is still in a file")
	}
}

// inFiles looks for a word in every file of a folder, names of files that hold it are logged.
func inFiles(t *testing.T, dir, word string) (found bool) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(dir, "data"), func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if b, err := os.ReadFile(path); err == nil && strings.Contains(string(b), word) {
				found = true
				t.Logf("in %s", filepath.Base(path))
			}
		}
		return nil // files come and go under a running server
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// A server that is killed in the middle of writes loses nothing that was recorded, and lag is gone without help once it
// is back.
func testKilledServer(t *testing.T, server *ostest.Server) {
	log := searchtest.NewLog(t)
	cfg := config(t, server.Address, log)
	cfg.Requests = opensearch.Requests{Timeout: 2 * time.Second, Patience: 500 * time.Millisecond}
	w := &world{T: t, log: log, cfg: cfg, x: open(t, cfg)}
	runner := projection.NewRunner(w.x, log, &parking{}, projection.RunnerOptions{Log: cfg.Log, Sweep: 200 * time.Millisecond, Settle: 50 * time.Millisecond})
	began := time.Now()
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() { _ = runner.Run(ctx) }) // ends with ctx
	all.Go(func() {
		for ctx.Err() == nil && log.Head() < 200_000 {
			w.record(50)
			head := log.Head()
			_ = runner.Handle(ctx, log.Envelope(head-50, head)) // what fails is the sweeper's
		}
	})
	from := log.Head()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); { // in the middle of it
		changed := w.x.Changed()
		if r, err := w.x.Progress(ctx, 0); err == nil && r.Cursor() > from+500 {
			break
		}
		select {
		case <-changed:
		case <-time.After(time.Until(deadline)):
		}
	}
	t.Logf("%s: kill at %d entries", time.Since(began).Round(time.Millisecond), log.Head())
	server.Kill()
	if _, err := w.x.Find(ctx, query.IndexQuery{Tenant: tenant, Limit: 1}); !fault.Is(err, fault.Unavailable) {
		t.Errorf("search without a server: %v", err)
	}
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	stop()
	all.Wait()
	ctx, stop = context.WithCancel(t.Context())
	all.Go(func() { _ = runner.Run(ctx) })
	start := time.Now()
	w.await()
	t.Logf("%s: %d entries, lag gone %s after the server was back", time.Since(began).Round(time.Millisecond), log.Head(), time.Since(start).Round(time.Millisecond))
	stop()
	all.Wait()
	n, err := w.x.Count(t.Context(), query.IndexQuery{Tenant: tenant}, 1_000_000)
	if err != nil || n != int(log.Head()) {
		t.Fatalf("%d of %d entries are found, %v", n, log.Head(), err)
	}
}
