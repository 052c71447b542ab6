package app

import (
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"auditlog/eventstore"
	"auditlog/projection"
)

// A keyring from a backup has forgotten the leases that came after it. Told so, the service goes on in new key epochs: no
// key seals a second message.
func TestRestoredKeysAreUsedOnce(t *testing.T) {
	dir, backup := t.TempDir(), filepath.Join(t.TempDir(), "keys")
	s := start(t, dir, io.Discard)
	s.fill(5)
	s.stop()
	copyKeys(t, backup, filepath.Join(dir, "keys"))
	s = start(t, dir, io.Discard)
	s.fill(5) // under keys of a lease that the backup does not know
	s.stop()
	if err := os.RemoveAll(filepath.Join(dir, "keys")); err != nil {
		t.Fatal(err)
	}
	copyKeys(t, filepath.Join(dir, "keys"), backup)
	a, err := Start(t.Context(), Config{Addr: "127.0.0.1:0", OpsAddr: "127.0.0.1:0", DataDir: dir, KeysRestored: true}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	restored := &service{App: a, t: t, tenant: s.tenant, token: s.token}
	t.Cleanup(restored.stop)
	restored.fill(5)
	events, err := a.parts.store.ReadTenant(t.Context(), s.tenant.ID, 0, 1000)
	if err != nil || len(events) < 16 {
		t.Fatalf("%d events, %v", len(events), err)
	}
	sealed := map[eventstore.KeyRef]eventstore.Position{}
	for _, e := range events {
		if first, ok := sealed[e.Key]; ok {
			t.Errorf("positions %d and %d are sealed under one key %+v", first, e.Position, e.Key)
		}
		sealed[e.Key] = e.Position
	}
}

// copyKeys copies a keyring with the modes that it insists on.
func copyKeys(t *testing.T, to, from string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(to, func(path string, e os.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			return os.Chmod(path, 0o700)
		}
		if err == nil {
			return os.Chmod(path, 0o600)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// What a projection went past is listed, and read from the store again when asked.
func TestParkedRangesAreListedAndReplayed(t *testing.T) {
	s := start(t, t.TempDir(), io.Discard)
	s.fill(3)
	s.settled()
	parked := projection.Parked{Destination: "stats", Range: projection.Range{From: 1, To: 2}, Reason: "a defect since mended", At: eventstore.MicrosOf(time.Now())}
	if err := s.parts.relay.Park(t.Context(), parked); err != nil {
		t.Fatal(err)
	}
	var list struct{ Items []parkedRange }
	s.ops(http.MethodGet, "/ops/parked", http.StatusOK, &list)
	if len(list.Items) != 1 || list.Items[0].Projection != "stats" || list.Items[0].Reason != parked.Reason || list.Items[0].To != 2 {
		t.Fatalf("parked: %+v", list.Items)
	}
	before := s.dumps()
	var done struct{ Replayed int }
	s.ops(http.MethodPost, "/ops/parked/replay?projection=stats", http.StatusOK, &done)
	if done.Replayed != 1 {
		t.Errorf("replayed %d ranges", done.Replayed)
	}
	same(t, s.dumps(), before)
	s.ops(http.MethodGet, "/ops/parked", http.StatusOK, &list)
	if len(list.Items) != 0 {
		t.Errorf("still parked: %+v", list.Items)
	}
	s.ops(http.MethodPost, "/ops/parked/replay?projection=nobody", http.StatusNotFound, nil)
	s.ops(http.MethodPost, "/ops/parked/replay?projection=search", http.StatusConflict, nil)
}
