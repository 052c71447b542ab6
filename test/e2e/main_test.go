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
	os.Exit(stack.Main(withServers{m}, &binary))
}

// withServers runs the tests and ends the servers that they started.
type withServers struct{ m *testing.M }

func (w withServers) Run() int { return pgtest.Main(queues{w.m}) }

// queues ends the queue server after the tests, and the search server before it.
type queues struct{ m *testing.M }

func (q queues) Run() int {
	code := ostest.Main(q.m)
	if queueServer.s != nil {
		if err := queueServer.s.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
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
