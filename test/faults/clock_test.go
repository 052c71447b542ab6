package faults

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"auditlog/command"
	"auditlog/eventstore"
	"auditlog/eventstore/sqlite"
	"auditlog/internal/fault"
	"auditlog/test/faults/history"
	"auditlog/test/stack"
)

// TestClockSteps has a store's clock step by an hour, forward and back, freeze, and run, while appenders are at work: position
// and recorded_at go up with the offset, and whatever is refused is refused for the clock and is not stored.
func TestClockSteps(t *testing.T) {
	const writers, each = 4, 400
	r := random(t)
	var ahead atomic.Int64 // of the machine's clock
	now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	path := filepath.Join(t.TempDir(), "events.db")
	s, err := sqlite.Open(t.Context(), path, sqlite.Options{Now: now})
	fatal(t, err)
	defer s.Close()
	tenants := []eventstore.TenantID{clockTenant(t, s), clockTenant(t, s)}
	appender := command.NewAppender(s, s.Shards(), command.AppenderOptions{})
	var stored, refused atomic.Int64
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for i := 0; i < each; {
				_, err := appender.Submit(t.Context(), 0, eventstore.Unit{Tenant: tenants[(w+i)%2], Drafts: []eventstore.Draft{clockDraft()}})
				f, _ := errors.AsType[*fault.Error](err)
				switch {
				case err == nil:
					i++
					stored.Add(1)
				case f != nil && f.Kind == fault.Clock && f.RetryAfter > 0 && f.RetryAfter <= 2*time.Hour:
					refused.Add(1)
					<-time.After(time.Millisecond)
				default:
					t.Errorf("an append fails: %v", err)
					return
				}
			}
		})
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		group.Wait()
	}()
	// By hours, and mostly by so little that appends go on although the clock is behind the newest event.
	early, late := time.Hour-3*time.Second, time.Hour
	steps, stepped := []time.Duration{late, early, late, early, 0, -time.Hour}, 0
	for running := true; running; stepped++ {
		ahead.Store(int64(steps[r.IntN(len(steps))]))
		select {
		case <-done:
			running = false
		case <-time.After(between(r, time.Millisecond, 10*time.Millisecond)):
		}
	}
	ahead.Store(int64(time.Hour)) // where the newest event is at the latest
	fatal(t, appender.Close(t.Context()))
	events, last := 0, eventstore.Event{}
	positions := map[eventstore.TenantID]eventstore.Position{}
	for {
		page, err := s.ReadShard(t.Context(), 0, last.Offset, 500)
		fatal(t, err)
		if len(page) == 0 {
			break
		}
		for _, e := range page {
			if e.Offset != last.Offset+1 || e.RecordedAt < last.RecordedAt || e.Position != positions[e.Tenant]+1 {
				t.Fatalf("offset %d, position %d, %v follows offset %d, position %d, %v", e.Offset, e.Position, e.RecordedAt.Time(), last.Offset, positions[e.Tenant], last.RecordedAt.Time())
			}
			if e.Type == eventstore.EntryRecorded {
				events++
			}
			last, positions[e.Tenant] = e, e.Position
		}
	}
	if int64(events) != stored.Load() {
		t.Errorf("%d events are stored, %d were acknowledged", events, stored.Load())
	}
	t.Logf("%d steps of the clock; %d acknowledged, %d refused", stepped, stored.Load(), refused.Load())
	if refused.Load() == 0 {
		t.Error("the clock was never in the way")
	}
}

func clockTenant(t *testing.T, s eventstore.Store) eventstore.TenantID {
	t.Helper()
	tenant := eventstore.Tenant{ID: eventstore.TenantID(uuid.New()), Slug: uuid.NewString(), Name: "Acme", Status: "active"}
	_, err := s.CreateTenant(t.Context(), tenant, eventstore.Draft{ID: eventstore.NewEventID(), Type: eventstore.TenantCreated, Public: []byte("p")})
	fatal(t, err)
	return tenant.ID
}

func clockDraft() eventstore.Draft {
	return eventstore.Draft{ID: eventstore.NewEventID(), Type: eventstore.EntryRecorded, Public: []byte("p"), Private: []byte("q")}
}

// TestClockBack has the embedded tier find its newest event an hour ahead, as after a clock that steps back.
func TestClockBack(t *testing.T) {
	s := startInside(t)
	clockBack(t, s.load, s.ops, func(d time.Duration) {
		s.stop()
		db, err := sql.Open("sqlite", filepath.Join(s.dir, "events.db"))
		fatal(t, err)
		_, err = db.ExecContext(t.Context(), `UPDATE events SET recorded_at = recorded_at + ? WHERE "offset" = (SELECT max("offset") FROM events)`, d.Microseconds())
		fatal(t, errors.Join(err, db.Close()))
		s.start()
	})
}

// clockBackDistributed has the database find its newest event an hour ahead.
func clockBackDistributed(t *testing.T, s servers) {
	w := s.world(t)
	n := startNodes(w)
	tenant := w.Tenant(n.api(0), "demo")
	l := &load{t: t, to: n, history: history.New(), books: []*book{{Tenant: tenant, newest: 1}}}
	clockBack(t, l, func() string { return n.api(0).Ops }, func(d time.Duration) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		conn, err := pgx.Connect(ctx, w.Owner)
		fatal(t, err)
		defer conn.Close(ctx)
		_, err = conn.Exec(ctx, `UPDATE auditlog.shards SET recorded_at = recorded_at + $1::interval`, d.String())
		fatal(t, err)
	})
}

// clockBack writes before, during and after a clock that is an hour behind the newest event.
func clockBack(t *testing.T, l *load, ops func() string, step func(ahead time.Duration)) {
	t.Helper()
	b := l.books[0]
	for i := range 5 {
		l.single(b, fmt.Sprint("before-", i))
	}
	step(time.Hour)
	raw, status, header := post(t, l.to.urls()[0], b.Tokens["writer"], entry("meanwhile", "meanwhile"))
	var problem struct{ Type string }
	fatal(t, json.Unmarshal(raw, &problem))
	wait, err := strconv.Atoi(header.Get("Retry-After"))
	if status != http.StatusServiceUnavailable || problem.Type != "/problems/clock" || err != nil || wait < 3500 || wait > 3600 {
		t.Errorf("an hour behind: %d %s, Retry-After %d, %v", status, raw, wait, err)
	}
	for i := range 3 { // singles and bulks, each refused
		r := request{"writer", http.MethodPost, entryPath + "/bulk", `{"entries":[` + entry(fmt.Sprint("back-", i), "") + `]}`, []string{fmt.Sprint("back-", i)}, http.StatusServiceUnavailable}
		r.body = strings.Replace(r.body, `,"idempotency_key":""`, "", 1)
		if a, status := l.try(b, r); status != http.StatusServiceUnavailable || !strings.Contains(a.text, "/problems/clock") {
			t.Errorf("an hour behind: %d %s", status, a.text)
		}
	}
	until(t, "readiness that tells of the clock", func() string {
		answer, status, err := stack.Call(ops(), "", http.MethodGet, "/readyz", "")
		if err != nil || status != http.StatusServiceUnavailable || !strings.Contains(string(answer), "clock") {
			return fmt.Sprintf("%d %s, %v", status, answer, err)
		}
		return ""
	})
	if got := len(replay(t, l.to, b)); got != 6 {
		t.Errorf("%d events are read while the clock is behind, want 6", got)
	}
	step(-time.Hour)
	for i := range 5 {
		l.single(b, fmt.Sprint("after-", i))
	}
	if log := replay(t, l.to, b); len(log) != 11 {
		t.Errorf("%d events are stored, want 11: none of those that were refused", len(log))
	}
}

// post sends an entry and gives the answer with its header.
func post(t *testing.T, base, token, body string) ([]byte, int, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+entryPath, strings.NewReader(body))
	fatal(t, err)
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	fatal(t, err)
	defer func() { _ = resp.Body.Close() }()
	var problem json.RawMessage
	fatal(t, json.NewDecoder(resp.Body).Decode(&problem))
	return problem, resp.StatusCode, resp.Header
}
