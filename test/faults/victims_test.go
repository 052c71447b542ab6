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

// victim is something that is killed and brought back.
type victim struct {
	name   string
	kill   func(t *testing.T)
	revive func(t *testing.T) // returns when it answers again
	down   time.Duration      // at least so long, and up to twice
	writes answers            // what a write may be answered meanwhile
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
	case http.StatusCreated, http.StatusAccepted:
		return true
	case http.StatusServiceUnavailable:
		return a == refused
	case 0:
		return a != asEver
	}
	return false
}

// victims are taken in turn.
func victims(s servers, n *nodes) []victim {
	turn := map[string]int{}
	next := func(name string) int {
		turn[name]++
		return turn[name] % 2
	}
	var api, worker int
	return []victim{
		{
			"api", func(*testing.T) { api = next("api"); n.api(api).Kill() },
			func(*testing.T) { n.replaceAPI(api) }, 300 * time.Millisecond, cut,
		},
		{
			"worker", func(*testing.T) { worker = next("worker"); n.worker(worker).Kill() },
			func(*testing.T) { n.replaceWorker(worker) }, time.Second, asEver,
		},
		{"PostgreSQL backend", s.killBackend, s.postgresAnswers, 0, refused},
		{
			"postmaster", func(*testing.T) { s.postgres.Kill() },
			func(t *testing.T) { s.postgres.Start(); s.postgresAnswers(t) }, time.Second, refused,
		},
		{
			"OpenSearch", func(*testing.T) { s.search.Kill() },
			func(t *testing.T) { fatal(t, s.search.Restart()) }, time.Second, asEver,
		},
		{
			"SQS server", func(t *testing.T) { fatal(t, s.queues.Kill()) },
			func(t *testing.T) { fatal(t, s.queues.Restart()) }, time.Second, asEver,
		},
	}
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
