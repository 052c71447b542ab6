package faults

import (
	"context"
	"errors"
	"net/http"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"auditlog/internal/pgdb/pgtest"
	"auditlog/projection/search/opensearch/ostest"
	"auditlog/test/stack"
	"auditlog/transport/bus/sqs/sqstest"
)

// servers are the test's own, so that they may be killed.
type servers struct {
	postgres *pgtest.Own
	queues   *sqstest.Server
	search   *ostest.Server
}

func ownServers(t *testing.T) servers {
	t.Helper()
	// A killed process loses nothing that it wrote to a file, wherever that is, and in memory nothing waits for a disk.
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		t.Setenv("TMPDIR", "/dev/shm")
	}
	queues, err := sqstest.Own()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := queues.Stop(); err != nil {
			t.Error(err)
		}
	})
	return servers{pgtest.NewOwn(t), queues, ostest.Start(t)}
}

func (s servers) world(t *testing.T) *stack.World {
	t.Helper()
	return stack.New(t, binary, stack.Servers{Postgres: s.postgres.URL, Keys: s.postgres.URL, SQS: s.queues.URL, Search: s.search.Address})
}

// victim is something that is struck and brought back.
type victim struct {
	name   string
	kill   func(t *testing.T)
	revive func(t *testing.T) // returns when it answers again
	down   time.Duration      // at least so long, and up to twice
	writes answers            // what a write may be answered meanwhile
	append bool               // it is killed, and appends go through it
	at     func() string      // the address of the process that is struck; nil: all requests meet the fault
	names  []string           // the dependencies that readiness tells of while it is down
}

// answers are what clients may see of a fault.
type answers int

const (
	asEver  answers = iota // every write is acknowledged
	refused                // 503, or no answer
	cut                    // no answer
)

func (a answers) allow(status int) bool {
	switch status {
	case http.StatusServiceUnavailable:
		return a == refused
	case 0, http.StatusConflict: // the latter: a try that nobody answers any more is under way
		return a != asEver
	}
	return true // the load itself knows what it wants
}

// victims are taken in turn. kill -9 ends a process at once; SIGTERM gives it time, but a connection that it closes may
// cut a request that a client sends just then.
func victims(s servers, n *nodes) []victim {
	api, worker, backend := n.apiVictims(), n.workerVictims(), victim{
		name: "PostgreSQL backend", kill: s.killBackend, revive: s.postgresAnswers, writes: refused, append: true,
	}
	postmaster := victim{
		name: "postmaster", kill: func(*testing.T) { s.postgres.Kill() },
		revive: func(t *testing.T) { s.postgres.Start(); s.postgresAnswers(t) },
		down:   time.Second, writes: refused, append: true, names: []string{"event_store", "keys"},
	}
	together := victim{
		name: "both APIs, a worker and postmaster",
		kill: func(*testing.T) {
			n.api(0).Kill()
			s.postgres.Kill()
			n.worker(1).Kill()
			n.api(1).Kill()
		},
		revive: func(t *testing.T) {
			postmaster.revive(t)
			n.replaceAPI(0)
			n.replaceAPI(1)
			n.replaceWorker(1)
		},
		down: 300 * time.Millisecond, writes: refused, append: true,
	}
	return append(append(api, worker...), backend, postmaster, together,
		victim{
			name: "OpenSearch", kill: func(*testing.T) { s.search.Kill() }, revive: func(t *testing.T) { fatal(t, s.search.Restart()) },
			down: time.Second, writes: asEver, names: []string{"search"},
		},
		victim{
			name: "SQS server", kill: func(t *testing.T) { fatal(t, s.queues.Kill()) }, revive: func(t *testing.T) { fatal(t, s.queues.Restart()) },
			down: time.Second, writes: asEver, names: []string{"bus"},
		})
}

// killBackend kills a connection's process, after which the postmaster restarts all.
func (s servers) killBackend(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.postgres.URL)
	fatal(t, err)
	defer conn.Close(context.WithoutCancel(ctx))
	var pid int
	fatal(t, conn.QueryRow(ctx, `
		SELECT pid FROM pg_stat_activity
		WHERE application_name = 'auditlog' AND backend_type = 'client backend' ORDER BY state_change DESC LIMIT 1`).Scan(&pid))
	fatal(t, syscall.Kill(pid, syscall.SIGKILL))
}

func (s servers) postgresAnswers(t *testing.T) {
	err := errors.New("not asked")
	for end := time.Now().Add(time.Minute); err != nil && time.Now().Before(end); <-time.After(50 * time.Millisecond) {
		var conn *pgx.Conn
		if conn, err = pgx.Connect(t.Context(), s.postgres.URL); err == nil {
			err = conn.Ping(t.Context())
			_ = conn.Close(t.Context())
		}
	}
	fatal(t, err)
}

func fatal(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
