package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"auditlog/eventstore"
	"auditlog/transport/httpapi/auth"
)

// service is an App with a tenant and a token for it.
type service struct {
	*App
	t      *testing.T
	tenant eventstore.Tenant
	token  string
}

func start(t *testing.T, dir string, log io.Writer) *service {
	t.Helper()
	logger := slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	a, err := Start(t.Context(), Config{Addr: "127.0.0.1:0", OpsAddr: "127.0.0.1:0", DataDir: dir}, logger)
	if err != nil {
		t.Fatal(err)
	}
	s := &service{App: a, t: t}
	t.Cleanup(s.stop)
	if s.tenant, err = a.EnsureTenant(t.Context(), "demo", "Demo"); err != nil {
		t.Fatal(err)
	}
	s.token, err = a.Token(auth.Grant{
		Subject: "tester", Tenant: s.tenant.ID.String(), Roles: []string{"writer", "reader", "tenant_admin"}, IssuedAt: time.Now(), TTL: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *service) stop() {
	if err := s.Stop(context.Background()); err != nil {
		s.t.Error(err)
	}
}

// call sends a request to the API and decodes its answer.
func (s *service) call(method, path, body string, want int, into any) {
	s.t.Helper()
	s.send(s.Addr(), method, path, body, want, into)
}

// ops sends a request to the ops listener and decodes its answer.
func (s *service) ops(method, path string, want int, into any) {
	s.t.Helper()
	s.send(s.OpsAddr(), method, path, "", want, into)
}

func (s *service) send(addr, method, path, body string, want int, into any) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, "http://"+addr+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.token)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != want {
		s.t.Fatalf("%s %s: %d %s %v", method, path, resp.StatusCode, answer, err)
	}
	if into != nil {
		if err := json.Unmarshal(answer, into); err != nil {
			s.t.Fatalf("%v: %s", err, answer)
		}
	}
}

// fill records entries and amends and erases some of them; it gives the newest position.
func (s *service) fill(entries int) int64 {
	var bulk strings.Builder
	for n := range entries {
		fmt.Fprintf(&bulk, `,{"action":"act.%d","actor":{"id":"actor-%d"},"resource":{"type":"t","id":"%d"},"message":"words of %d","subjects":["s%d"]}`, n%3, n%7, n, n, n%5)
	}
	var answer struct{ Items []struct{ ID string } }
	s.call(http.MethodPost, "/api/v1/logs/bulk", `{"entries":[`+bulk.String()[1:]+`]}`, http.StatusCreated, &answer)
	for i, item := range answer.Items {
		switch i % 10 {
		case 3:
			s.call(http.MethodPatch, "/api/v1/logs/"+item.ID, `{"message":"corrected","reason":"typo"}`, http.StatusCreated, nil)
		case 6:
			s.call(http.MethodDelete, "/api/v1/logs/"+item.ID, `{"reason":"asked for"}`, http.StatusAccepted, nil)
		}
	}
	head, err := s.parts.store.Head(s.t.Context(), s.tenant.ID)
	if err != nil {
		s.t.Fatal(err)
	}
	return int64(head.Position)
}

// settled waits until every projection has the whole log.
func (s *service) settled() {
	s.t.Helper()
	f := s.parts
	deadline := time.Now().Add(30 * time.Second)
	for _, p := range []interface {
		Visible(context.Context, eventstore.Shard) (eventstore.Offset, error)
	}{f.search, f.stats, f.find, f.forget} {
		for {
			head, err := f.store.ShardHead(s.t.Context(), 0)
			if err != nil {
				s.t.Fatal(err)
			}
			at, err := p.Visible(s.t.Context(), 0)
			if err == nil && at == head.Offset {
				break
			}
			if time.Now().After(deadline) {
				s.t.Fatalf("%T is at %d of %d: %v", p, at, head.Offset, err)
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
}

func (s *service) dumps() map[string]string {
	s.t.Helper()
	s.settled()
	out := map[string]string{}
	for _, name := range Rebuildable {
		var b bytes.Buffer
		if err := s.Dump(s.t.Context(), name, &b); err != nil {
			s.t.Fatal(err)
		}
		if b.Len() < 100 {
			s.t.Fatalf("the dump of %s is %q", name, b.String())
		}
		out[name] = b.String()
	}
	return out
}

func same(t *testing.T, got, want map[string]string) {
	t.Helper()
	for _, name := range Rebuildable {
		if got[name] != want[name] {
			t.Errorf("%s differs:\n%s\nwas\n%s", name, got[name], want[name])
		}
	}
}

// Whatever happens to the projections' files, the event store makes them again, the same.
func TestProjectionsComeBackFromTheStore(t *testing.T) {
	dir := t.TempDir()
	var log bytes.Buffer
	s := start(t, dir, &log)
	s.fill(100)
	before := s.dumps()
	s.stop()

	deleted := remove(t, dir, "search*", "stats*", "find*", "relay.db*")
	if deleted < 4 {
		t.Fatalf("%d files were there to delete", deleted)
	}
	s = start(t, dir, &log)
	same(t, s.dumps(), before)
	for _, name := range Rebuildable {
		if last, err := s.parts.rebuild(t.Context(), name, func(Progress) {}); err != nil || !last.Equal {
			t.Errorf("rebuild of %s under the running service: %+v, %v", name, last, err)
		}
	}
	same(t, s.dumps(), before)
	s.fill(20) // goes on in the new generations
	if after := s.dumps(); after["search"] == before["search"] {
		t.Error("nothing new is indexed after a rebuild")
	}
	before = s.dumps()
	s.stop()

	if last, err := Rebuild(t.Context(), Config{DataDir: dir}, slog.New(slog.DiscardHandler), "stats", func(Progress) {}); err != nil || !last.Equal || !last.Finished {
		t.Errorf("rebuild without a service: %+v, %v", last, err)
	}
	s = start(t, dir, &log)
	same(t, s.dumps(), before)
}

func remove(t *testing.T, dir string, patterns ...string) (count int) {
	t.Helper()
	for _, p := range patterns {
		found, err := filepath.Glob(filepath.Join(dir, p))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			if err := os.Remove(f); err != nil {
				t.Fatal(err)
			}
			count++
		}
	}
	return count
}

func TestWorkersOff(t *testing.T) {
	dir := t.TempDir()
	a, err := Start(t.Context(), Config{Addr: "127.0.0.1:0", OpsAddr: "127.0.0.1:0", DataDir: dir, WorkersOff: true}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.EnsureTenant(t.Context(), "demo", "Demo"); err != nil {
		t.Error(err)
	}
	if err := a.Stop(context.Background()); err != nil {
		t.Error(err)
	}
	if err := a.Stop(context.Background()); err != nil {
		t.Errorf("stopping again: %v", err)
	}
	s := start(t, dir, io.Discard)
	s.settled() // what was not applied then is now
}

func TestTenantIsMadeOnce(t *testing.T) {
	s := start(t, t.TempDir(), io.Discard)
	again, err := s.EnsureTenant(t.Context(), "demo", "Other name")
	if err != nil || again.ID != s.tenant.ID || again.Name != "Demo" {
		t.Errorf("got %+v, %v; want %+v", again, err, s.tenant)
	}
}

func TestOpsListener(t *testing.T) {
	s := start(t, t.TempDir(), io.Discard)
	for path, want := range map[string]string{
		"/healthz": "alive", "/readyz": `"event_store":"ok"`, "/metrics": "auditlog_projection_applied_events_total",
	} {
		s.settled()
		resp, err := http.Get("http://" + s.OpsAddr() + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(body), want) {
			t.Errorf("%s: %d %.200s, %v", path, resp.StatusCode, body, err)
		}
	}
	resp, err := http.Post("http://"+s.OpsAddr()+"/ops/rebuild?projection=nonsense", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var p Progress
	if err := json.NewDecoder(resp.Body).Decode(&p); err != nil || resp.StatusCode != http.StatusUnprocessableEntity || !p.Finished || p.Error == "" {
		t.Errorf("%d %+v, %v", resp.StatusCode, p, err)
	}
}

// What fails to start leaves nothing behind: the same data dir and port serve at once.
func TestAFailedStartLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	cfg := Config{Addr: "127.0.0.1:0", OpsAddr: "127.0.0.1:0", DataDir: dir, Parts: Parts{Keys: Secret(filepath.Join(dir, "file", "keys"))}}
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(t.Context(), cfg, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), setKeys) {
		t.Fatalf("got %v", err)
	}
	start(t, dir, io.Discard)
}
