package stack

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"auditlog/internal/pgdb"
	"auditlog/projection/search/opensearch/ostest"
)

// Servers are what a world lies on. Keys may be the same server as Postgres.
type Servers struct {
	Postgres string // of the event store and the projections, as its superuser
	Keys     string // of the keyring, as its superuser
	SQS      string
	Search   string
}

// World is a service of several processes with databases, roles, queues and indices of its own.
type World struct {
	Settings map[string]string // of every process, by variable
	Owner    string            // database of the event store and the projections, as the superuser

	tb     testing.TB
	binary string
}

// password is the one of every role; servers that trust loopback do not ask for it.
const password = "stack"

// New makes a world and has `auditlog migrate` and `auditlog queues ensure` prepare it.
func New(tb testing.TB, binary string, s Servers) *World {
	tb.Helper()
	w := &World{tb: tb, binary: binary}
	name := "t" + strings.ToLower(rand.Text()[:12])
	w.Owner = database(tb, s.Postgres, name, name+"_owner", name+"_service", name+"_lifecycle")
	keys := database(tb, s.Keys, name+"_keys", name+"_keeper")
	w.Settings = map[string]string{
		"AUDITLOG_OWNER":         as(tb, w.Owner, name+"_owner"),
		"AUDITLOG_STORE":         as(tb, w.Owner, name+"_service"),
		"AUDITLOG_LIFECYCLE":     as(tb, w.Owner, name+"_lifecycle"),
		"AUDITLOG_KEYS":          as(tb, keys, name+"_keeper"),
		"AUDITLOG_KEYS_SECRET":   rand.Text() + rand.Text(),
		"AUDITLOG_JWT_SECRET":    rand.Text() + rand.Text(),
		"AUDITLOG_BUS":           "sqs",
		"AUDITLOG_QUEUE_PREFIX":  name + "-",
		"AUDITLOG_SEARCH":        s.Search,
		"AUDITLOG_SEARCH_PREFIX": ostest.Prefix(tb, s.Search),
		"AUDITLOG_ADDR":          "127.0.0.1:0",
		"AUDITLOG_OPS_ADDR":      "127.0.0.1:0",
		"AWS_ENDPOINT_URL_SQS":   s.SQS,
		"AWS_REGION":             "us-east-1",
		"AWS_ACCESS_KEY_ID":      "local",
		"AWS_SECRET_ACCESS_KEY":  "local",
	}
	w.Do("migrate")
	w.Do("queues", "ensure", "--queue-visibility", "10s")
	return w
}

// NewEmbedded makes a service of one process, with everything in a data dir of its own.
func NewEmbedded(tb testing.TB, binary string) *World {
	return &World{tb: tb, binary: binary, Settings: map[string]string{
		"AUDITLOG_DATA_DIR":   tb.TempDir(),
		"AUDITLOG_JWT_SECRET": rand.Text() + rand.Text(),
		"AUDITLOG_ADDR":       "127.0.0.1:0",
		"AUDITLOG_OPS_ADDR":   "127.0.0.1:0",
	}}
}

// env is the settings, some of them changed.
func (w *World) env(changes map[string]string) []string {
	settings := maps.Clone(w.Settings)
	maps.Copy(settings, changes)
	var env []string
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		env = append(env, name+"="+settings[name])
	}
	return env
}

// Run runs a command line of the program to its end, with some settings changed.
func (w *World) Run(changes map[string]string, args ...string) Result {
	w.tb.Helper()
	return Command(w.tb, nil, w.env(changes), w.binary, args...)
}

// Do runs a command line that must succeed, and gives its output.
func (w *World) Do(args ...string) string {
	w.tb.Helper()
	r := w.Run(nil, args...)
	if r.Code != 0 {
		w.tb.Fatalf("auditlog %v ended with %d: %s", args, r.Code, r.Err)
	}
	return r.Out
}

// Node is a process of the service.
type Node struct {
	*Process
	URL string // of its public listener; empty for a worker
	Ops string // URL of its ops listener
}

// API starts a process for requests.
func (w *World) API() *Node {
	w.tb.Helper()
	return w.Start(nil, "api")
}

// Worker starts a process with relay and projections.
func (w *World) Worker(args ...string) *Node {
	w.tb.Helper()
	return w.Start(nil, append([]string{"worker"}, args...)...)
}

// Serve starts a process that does everything.
func (w *World) Serve() *Node {
	w.tb.Helper()
	return w.Start(nil, "serve")
}

// Start starts a process with some settings changed, and returns when it says that it is ready.
func (w *World) Start(changes map[string]string, args ...string) *Node {
	w.tb.Helper()
	n := &Node{}
	cmd := exec.Command(w.binary, args...)
	cmd.Env = Environ(w.env(changes)...)
	n.Process = Launch(w.tb, cmd, func(line string) bool {
		if !strings.Contains(line, " msg=ready ") {
			return false
		}
		for _, word := range strings.Fields(line) {
			if addr, found := strings.CutPrefix(word, "addr="); found && addr != `""` {
				n.URL = "http://" + addr
			}
			if addr, found := strings.CutPrefix(word, "ops_addr="); found {
				n.Ops = "http://" + addr
			}
		}
		return true
	})
	return n
}

// Tenant is a tenant with a token for each role.
type Tenant struct {
	ID     string
	Tokens map[string]string
}

// Tenant makes one, over an API.
func (w *World) Tenant(api *Node, slug string) Tenant {
	w.tb.Helper()
	t := Tenant{Tokens: map[string]string{"admin": w.token("--roles", "admin")}}
	answer, status, err := Call(api.URL, t.Tokens["admin"], http.MethodPost, "/api/v1/tenants", fmt.Sprintf(`{"slug":%q,"name":%q}`, slug, slug))
	if err == nil && status == http.StatusCreated {
		err = json.Unmarshal(answer, &t)
	}
	if err != nil || t.ID == "" {
		w.tb.Fatalf("creating a tenant answers %d %s, %v", status, answer, err)
	}
	for _, role := range []string{"writer", "reader", "auditor", "tenant_admin"} {
		t.Tokens[role] = w.token("--roles", role, "--tenant", t.ID)
	}
	return t
}

func (w *World) token(args ...string) string {
	w.tb.Helper()
	return strings.TrimSpace(w.Do(append([]string{"token", "--ttl", "12h", "--rights", "export"}, args...)...))
}

// database makes an empty database and roles, of which the first owns it. They go with the test, unless the server went
// before.
func database(tb testing.TB, server, name string, roles ...string) string {
	tb.Helper()
	statements := make([]string, 0, len(roles)+1)
	var drop []string
	for _, role := range roles {
		statements = append(statements, `CREATE ROLE `+role+` LOGIN PASSWORD '`+password+`'`)
		drop = append(drop, `DROP ROLE `+role)
	}
	statements = append(statements, `CREATE DATABASE `+name+` OWNER `+roles[0])
	tb.Cleanup(func() { _ = execute(server, append([]string{`DROP DATABASE ` + name + ` WITH (FORCE)`}, drop...)...) })
	if err := execute(server, statements...); err != nil {
		tb.Fatal(err)
	}
	return change(tb, server, func(u *url.URL) { u.Path = "/" + name })
}

func execute(address string, statements ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgdb.Connect(ctx, address, pgdb.Options{})
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	for _, sql := range statements {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return err
		}
	}
	return nil
}

func as(tb testing.TB, address, role string) string {
	tb.Helper()
	return change(tb, address, func(u *url.URL) { u.User = url.UserPassword(role, password) })
}

func change(tb testing.TB, address string, f func(*url.URL)) string {
	tb.Helper()
	u, err := url.Parse(address)
	if err != nil {
		tb.Fatal(err)
	}
	f(u)
	return u.String()
}
