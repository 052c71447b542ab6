package e2e

import (
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// changed is an address with something else in it.
func changed(t *testing.T, address string, change func(*url.URL)) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	change(u)
	return u.String()
}

// execute runs SQL as the superuser.
func (w world) execute(address string, statements ...string) {
	w.t.Helper()
	conn, err := pgx.Connect(w.t.Context(), address)
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close(w.t.Context())
	for _, sql := range statements {
		if _, err := conn.Exec(w.t.Context(), sql); err != nil {
			w.t.Fatal(err)
		}
	}
}

// TestDistributedSettingsThatCannotWork: each is told in one line that names the setting, by every command that needs it.
func TestDistributedSettingsThatCannotWork(t *testing.T) {
	w := newWorld(t)
	api := w.API()
	s := w.server(api, api)
	if newLedger().single(s, "key") == "" { // which makes keys of the tenant
		t.Fatal("a write fails")
	}
	api.Kill()
	nowhere := func(u *url.URL) { u.Host = "127.0.0.1:1" }
	missing := func(u *url.URL) { u.Path = "/nothing_of_that_name" }
	stranger := func(u *url.URL) { u.User = url.UserPassword("nobody_of_that_name", "hunter2") }
	for name, c := range map[string]struct {
		commands string
		setting  string
		value    string
		code     int
		words    []string
	}{
		"store: wrong host":         {"api worker", "AUDITLOG_STORE", changed(t, w.Settings["AUDITLOG_STORE"], nowhere), 1, []string{"AUDITLOG_STORE"}},
		"store: wrong role":         {"api", "AUDITLOG_STORE", changed(t, w.Settings["AUDITLOG_STORE"], stranger), 1, []string{"AUDITLOG_STORE"}},
		"store: no such database":   {"api", "AUDITLOG_STORE", changed(t, w.Settings["AUDITLOG_STORE"], missing), 1, []string{"AUDITLOG_STORE"}},
		"store: embedded":           {"api worker", "AUDITLOG_STORE", "embedded", 2, []string{"AUDITLOG_STORE"}},
		"store: no address":         {"api", "AUDITLOG_STORE", "localhost", 2, []string{"AUDITLOG_STORE", "postgres://"}},
		"lifecycle: wrong host":     {"worker", "AUDITLOG_LIFECYCLE", changed(t, w.Settings["AUDITLOG_LIFECYCLE"], nowhere), 1, []string{"AUDITLOG_LIFECYCLE"}},
		"lifecycle: missing":        {"worker", "AUDITLOG_LIFECYCLE", "", 2, []string{"AUDITLOG_LIFECYCLE"}},
		"projections: wrong host":   {"worker", "AUDITLOG_PROJECTIONS", changed(t, w.Settings["AUDITLOG_STORE"], nowhere), 1, []string{"AUDITLOG_PROJECTIONS"}},
		"keys: wrong host":          {"api worker", "AUDITLOG_KEYS", changed(t, w.Settings["AUDITLOG_KEYS"], nowhere), 1, []string{"AUDITLOG_KEYS"}},
		"keys: wrong secret":        {"api worker", "AUDITLOG_KEYS_SECRET", strings.Repeat("wrong", 10), 1, []string{"AUDITLOG_KEYS", "secret"}},
		"keys: short secret":        {"api", "AUDITLOG_KEYS_SECRET", "short", 2, []string{"AUDITLOG_KEYS_SECRET"}},
		"tokens: no secret":         {"api", "AUDITLOG_JWT_SECRET", "", 2, []string{"AUDITLOG_JWT_SECRET"}},
		"bus: unknown":              {"worker", "AUDITLOG_BUS", "kafka", 2, []string{"AUDITLOG_BUS"}},
		"bus: no region":            {"worker", "AWS_REGION", "", 1, []string{"AWS_REGION"}},
		"search: no address":        {"api worker", "AUDITLOG_SEARCH", "opensearch", 2, []string{"AUDITLOG_SEARCH"}},
		"search: no such authority": {"api", "AUDITLOG_SEARCH_CA_FILE", "/nothing/of/that/name", 1, []string{"AUDITLOG_SEARCH"}},
		"owner: wrong host":         {"migrate", "AUDITLOG_OWNER", changed(t, w.Settings["AUDITLOG_OWNER"], nowhere), 1, []string{"AUDITLOG_OWNER"}},
		"owner: missing":            {"migrate", "AUDITLOG_OWNER", "", 2, []string{"AUDITLOG_OWNER"}},
		"owner: not the owner":      {"migrate", "AUDITLOG_OWNER", w.Settings["AUDITLOG_STORE"], 1, []string{"AUDITLOG_OWNER"}},
		"tier: not on this server":  {"migrate", "AUDITLOG_TIER", "community", 1, []string{"AUDITLOG_OWNER", "tier"}},
		"queues: wrong endpoint":    {"queues", "AWS_ENDPOINT_URL_SQS", "http://127.0.0.1:1", 1, []string{"AWS_ENDPOINT_URL_SQS"}},
	} {
		for _, command := range strings.Fields(c.commands) {
			t.Run(name+"/"+command, func(t *testing.T) {
				args := []string{command}
				if command == "queues" {
					args = append(args, "show")
				}
				r := w.Run(map[string]string{c.setting: c.value}, args...)
				oneLine(t, r, c.code, c.words...)
				if strings.Contains(r.Err, "hunter2") {
					t.Errorf("the message shows a password: %s", r.Err)
				}
				t.Log(strings.TrimSpace(r.Err))
			})
		}
	}
	t.Run("schema newer than the program", func(t *testing.T) {
		for setting, schema := range map[string]string{"AUDITLOG_STORE": "auditlog", "AUDITLOG_PROJECTIONS": "auditlog_relay"} {
			w.execute(w.Owner, `INSERT INTO `+schema+`.schema_versions (version_id, is_applied) VALUES (999, true)`)
			for _, command := range []string{"api", "worker", "migrate"} {
				want := setting
				if command == "migrate" {
					want = map[string]string{"AUDITLOG_STORE": "AUDITLOG_OWNER", "AUDITLOG_PROJECTIONS": "AUDITLOG_PROJECTIONS_OWNER"}[setting]
				}
				oneLine(t, w.Run(nil, command), 1, want, "newer", "999")
			}
			w.execute(w.Owner, `DELETE FROM `+schema+`.schema_versions WHERE version_id = 999`)
		}
	})
	t.Run("before the migration", func(t *testing.T) {
		w.execute(w.Owner, `DROP SCHEMA auditlog CASCADE`)
		for _, command := range []string{"api", "worker"} {
			oneLine(t, w.Run(nil, command), 1, "AUDITLOG_STORE", "auditlog migrate")
		}
	})
}

// TestMissingQueues: a worker ends and says what is to be done, an API does not need them, and nothing is lost.
func TestMissingQueues(t *testing.T) {
	w := newWorld(t)
	w.Settings["AUDITLOG_QUEUE_PREFIX"] += "other-"
	oneLine(t, w.Run(nil, "worker"), 1, "is not there", "auditlog queues ensure", w.Settings["AUDITLOG_QUEUE_PREFIX"])
	api := w.API()
	s := w.server(api, api)
	l := newLedger()
	if l.single(s, "before") == "" {
		t.Fatal("without queues a write fails")
	}
	w.Do("queues", "ensure")
	w.Worker()
	if l.single(s, "after") == "" {
		t.Fatal("a write fails")
	}
	s.sameTotals(2, 2, 3)
}
