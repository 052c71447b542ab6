package e2e

import (
	"errors"
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
	os.Exit(pgtest.Main(program{m}))
}

// program runs the tests between building the binary and ending the servers that they started.
type program struct{ m *testing.M }

func (p program) Run() int {
	code, err := p.run()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

func (p program) run() (code int, err error) {
	dir, err := os.MkdirTemp("", "auditlog-e2e-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if binary, err = stack.Build(dir); err != nil {
		return 0, err
	}
	code = ostest.Main(p.m)
	if queueServer.s != nil {
		err = queueServer.s.Stop()
	}
	return code, err
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
