package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"auditlog/test/stack"
)

// readiness is an answer of /readyz.
type readiness struct {
	code         int
	Status       string
	Dependencies map[string]string
}

func askReady(t *testing.T, n *stack.Node) (r readiness) {
	t.Helper()
	answer, status, err := stack.Call(n.Ops, "", http.MethodGet, "/readyz", "")
	if err == nil {
		err = json.Unmarshal(answer, &r)
	}
	fatal(t, err)
	r.code = status
	return r
}

// readyWithout takes one dependency down and looks at what an API and a worker say, whether an API starts without it, and
// whether writes go on; then all is well again by itself.
func readyWithout(t *testing.T, nodes *nodes, l *load, v victim, names ...string) {
	api, worker, b := nodes.api(0), nodes.worker(0), l.books[0]
	v.kill(t)
	post := func(url, key string) int {
		_, status, err := stack.Call(url, b.Tokens["writer"], http.MethodPost, "/api/v1/logs", entry(key, key))
		if err != nil {
			t.Errorf("a write: %v", err)
		}
		return status
	}
	needed := v.writes == refused
	for _, node := range []*stack.Node{api, worker} {
		until(t, "readiness that tells of "+v.name, func() string {
			r := askReady(t, node)
			for _, name := range names {
				if text := r.Dependencies[name]; text == "ok" || text == "" && node == worker {
					return fmt.Sprintf("%+v", r)
				}
			}
			if want := !needed && node == api; (r.code == http.StatusOK) != want || (r.Status == "ready") != want {
				return fmt.Sprintf("%+v", r)
			}
			return ""
		})
	}
	if needed {
		if status := post(api.URL, "without-"+names[0]); status != http.StatusServiceUnavailable {
			t.Errorf("without %s a write answers %d", v.name, status)
		}
		for _, command := range []string{"api", "worker"} {
			r := nodes.world.Run(nil, command)
			line := strings.TrimSpace(r.Err)
			if r.Code != 1 || !strings.Contains(line, "AUDITLOG_") || strings.Contains(line, "\n") {
				t.Errorf("without %s %s ends with %d: %s", v.name, command, r.Code, line)
			}
		}
	} else {
		for i, node := range []*stack.Node{api, nodes.world.API()} {
			if status := post(node.URL, fmt.Sprint("without-", names[0], "-", i)); status != http.StatusCreated {
				t.Errorf("without %s a write answers %d", v.name, status)
			}
		}
	}
	v.revive(t)
	for _, node := range []*stack.Node{api, worker} {
		until(t, "readiness after "+v.name, func() string {
			if r := askReady(t, node); r.code != http.StatusOK {
				return fmt.Sprintf("%+v", r)
			}
			return ""
		})
	}
}

// wrongPassword has the server ask for passwords from now on.
func wrongPassword(t *testing.T, s servers, w *stack.World) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.postgres.URL)
	fatal(t, err)
	defer conn.Close(ctx)
	var file string
	fatal(t, conn.QueryRow(ctx, `SHOW hba_file`).Scan(&file))
	_, err = conn.Exec(ctx, `COPY (VALUES ('host all postgres 127.0.0.1/32 trust'), ('host all all 127.0.0.1/32 scram-sha-256')) TO '`+file+`'`)
	fatal(t, err)
	_, err = conn.Exec(ctx, `SELECT pg_reload_conf()`)
	fatal(t, err)
	for setting, commands := range map[string]string{
		"AUDITLOG_STORE": "api worker", "AUDITLOG_LIFECYCLE": "api worker", "AUDITLOG_KEYS": "api worker", "AUDITLOG_OWNER": "migrate",
	} {
		wrong := strings.Replace(w.Settings[setting], ":stack@", ":hunter2@", 1)
		for _, command := range strings.Fields(commands) {
			r := w.Run(map[string]string{setting: wrong}, command)
			line := strings.TrimSpace(r.Err)
			if r.Code != 1 || !strings.HasPrefix(line, "auditlog: "+setting) || !strings.Contains(line, "password") || strings.Contains(line, "hunter2") || strings.Contains(line, "\n") {
				t.Errorf("%s with a wrong password in %s ends with %d: %s", command, setting, r.Code, line)
			}
		}
	}
	w.Do("migrate") // with the right ones
}
