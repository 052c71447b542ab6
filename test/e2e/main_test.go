package e2e

import (
	"fmt"
	"os"
	"sync"
	"testing"

	"auditlog/internal/pgdb/pgtest"
	"auditlog/projection/search/opensearch/ostest"
	"auditlog/test/stack"
	"auditlog/transport/bus/sqs/sqstest"
)

// binary is the program under test, built once.
var binary string

func TestMain(m *testing.M) {
	tests := run(func() int { return endQueueServer(ostest.Main(m)) })
	os.Exit(stack.Main(run(func() int { return pgtest.Main(tests) }), &binary))
}

// run runs tests and gives the exit code.
type run func() int

// Run calls it.
func (r run) Run() int { return r() }

// endQueueServer ends the queue server that the tests started.
func endQueueServer(code int) int {
	if queueServer.s == nil {
		return code
	}
	if err := queueServer.s.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// queueServer is shared by all tests that want one.
var queueServer struct {
	once sync.Once
	s    *sqstest.Server
	err  error
}

// servers are those of the environment, or started here.
func servers(t *testing.T) stack.Servers {
	t.Helper()
	queueServer.once.Do(func() { queueServer.s, queueServer.err = sqstest.Start() })
	if queueServer.err != nil {
		t.Fatal(queueServer.err)
	}
	postgres := pgtest.Server(t)
	return stack.Servers{Postgres: postgres, Keys: postgres, SQS: queueServer.s.URL, Search: ostest.Address(t)}
}
