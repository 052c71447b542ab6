package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"auditlog/internal/app"
	"auditlog/test/faults/faultfs"
	"auditlog/test/faults/history"
	"auditlog/test/stack"
	"auditlog/transport/httpapi/auth"
)

// TestDiskFaults has the disk of the embedded tier fail at the Nth write or sync, N = 1, 2, …: one fault that does not last,
// and a disk that stays full or broken until it is healed, of the store alone and of every file. A request that meets
// a lasting fault of the store is answered 503, never 201; without a restart all goes on once the disk works; and whatever
// was acknowledged is there, also when the service was stopped while the disk was broken.
func TestDiskFaults(t *testing.T) {
	disk, err := faultfs.Install()
	fatal(t, err)
	for _, kind := range []faultfs.Kind{faultfs.NoSpace, faultfs.BrokenWrite, faultfs.BrokenSync} {
		for name, files := range map[string]string{"store": "/events.db", "all files": ""} {
			t.Run(kind.String()+" of "+name, func(t *testing.T) {
				s := startInside(t)
				b := s.load.books[0]
				raised := 0
				for n := 1; n <= cycles; n++ {
					raised += s.transient(disk, faultfs.Plan{Kind: kind, Files: files, At: n})
					raised += s.lasting(disk, faultfs.Plan{Kind: kind, Files: files, At: n, Lasting: true}, n%restartEvery == 0)
				}
				check(t, s.load, b, nil, s.ops())
				t.Logf("%d faults were raised; %v", raised, s.tally())
			})
		}
	}
}

// restartEvery is after how many lasting faults the service is started anew.
const restartEvery = 5

// inside is a service of the embedded tier in this process, where faultfs is.
type inside struct {
	t    *testing.T
	dir  string
	load *load
	sent int

	mu  sync.Mutex
	app *app.App
	log *bytes.Buffer
}

func startInside(t *testing.T) *inside {
	s := &inside{t: t, dir: t.TempDir(), log: &bytes.Buffer{}}
	s.start()
	t.Cleanup(s.stop)
	tenant, err := s.app.EnsureTenant(t.Context(), "demo", "Demo")
	fatal(t, err)
	b := &book{Tenant: stack.Tenant{ID: tenant.ID.String(), Tokens: map[string]string{}}, newest: 1}
	for _, role := range []string{"writer", "reader", "auditor"} {
		b.Tokens[role], err = s.app.Token(auth.Grant{Subject: role, Tenant: b.ID, Roles: []string{role}, IssuedAt: time.Now(), TTL: 12 * time.Hour})
		fatal(t, err)
	}
	s.load = &load{t: t, to: s, history: history.New(), books: []*book{b}}
	return s
}

func (s *inside) start() {
	s.t.Helper()
	logger := slog.New(slog.NewTextHandler(&locked{s: s}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	a, err := app.Start(s.t.Context(), app.Config{Addr: "127.0.0.1:0", OpsAddr: "127.0.0.1:0", DataDir: s.dir}, logger)
	fatal(s.t, err)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.app = a
}

// stop ends the service; on a broken disk its files may say so as they close.
func (s *inside) stop() {
	if err := s.app.Stop(context.WithoutCancel(s.t.Context())); err != nil {
		s.t.Logf("stopped: %v", err)
	}
}

func (s *inside) urls() []string { return []string{"http://" + s.app.Addr()} }
func (s *inside) ops() string    { return "http://" + s.app.OpsAddr() }

func (s *inside) said() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

// locked lets a log be read while it is written.
type locked struct{ s *inside }

func (l *locked) Write(p []byte) (int, error) {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	return l.s.log.Write(p)
}

// write sends one entry, or three in a bulk, once.
func (s *inside) write() (status int) {
	s.sent++
	key, b := fmt.Sprint("d-", s.sent), s.load.books[0]
	if s.sent%3 != 0 {
		_, status = s.load.try(b, request{"writer", http.MethodPost, entryPath, entry(key, key), []string{key}, http.StatusCreated})
		return status
	}
	var entries, keys []string
	for i := range 3 {
		keys = append(keys, fmt.Sprint(key, "-", i))
		entries = append(entries, entry(keys[i], keys[i]))
	}
	_, status = s.load.try(b, request{"writer", http.MethodPost, entryPath + "/bulk", `{"entries":[` + strings.Join(entries, ",") + `]}`, keys, http.StatusCreated})
	return status
}

// metWithin is more writes than it takes to meet any of the faults.
const metWithin = 1000

// meet writes until the disk has failed and gives the last answer.
func (s *inside) meet(disk *faultfs.Disk, p faultfs.Plan) (status int) {
	s.t.Helper()
	disk.Arm(p)
	for range metWithin {
		if status = s.write(); disk.Raised() > 0 {
			return status
		}
	}
	s.t.Fatalf("%v %d of %q was not met", p.Kind, p.At, p.Files)
	return 0
}

// transient lets one write or sync fail.
func (s *inside) transient(disk *faultfs.Disk, p faultfs.Plan) (raised int) {
	s.t.Helper()
	if status := s.meet(disk, p); status != http.StatusCreated && status != http.StatusServiceUnavailable {
		s.t.Errorf("%v %d, once: %d", p.Kind, p.At, status)
	}
	s.healed(disk.Heal)
	return 1
}

// lasting lets the disk fail until it is healed.
func (s *inside) lasting(disk *faultfs.Disk, p faultfs.Plan, restart bool) (raised int) {
	s.t.Helper()
	s.meet(disk, p)
	if p.Files != "" {
		if status := s.write(); status != http.StatusServiceUnavailable {
			s.t.Errorf("%v from %d on: a write is answered %d", p.Kind, p.At, status)
		}
		s.tells("event_store", "disk")
	}
	if restart {
		s.stop()
		raised = disk.Heal()
		s.start()
	}
	s.healed(func() int { raised += disk.Heal(); return raised })
	return raised
}

// healed heals the disk and expects writes to go on.
func (s *inside) healed(heal func() int) {
	s.t.Helper()
	heal()
	until(s.t, "write on a disk that works again", func() string {
		if status := s.write(); status != http.StatusCreated {
			return fmt.Sprint("a write is answered ", status)
		}
		return ""
	})
}

// tells expects readiness to say what is wrong.
func (s *inside) tells(dependency, word string) {
	s.t.Helper()
	raw, status, err := stack.Call(s.ops(), "", http.MethodGet, "/readyz", "")
	var r readiness
	if err == nil {
		err = json.Unmarshal(raw, &r)
	}
	if err != nil || status != http.StatusServiceUnavailable || !strings.Contains(r.Dependencies[dependency], word) {
		s.t.Errorf("ready: %d %s, %v", status, raw, err)
	}
}

// tally is how often each answer was given.
func (s *inside) tally() string {
	all := map[int]int{}
	for _, c := range s.load.history.From(0) {
		all[c.Status]++
	}
	return fmt.Sprintf("answers: %v", all)
}
