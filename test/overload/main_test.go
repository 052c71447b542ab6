package overload

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"auditlog/test/stack"
)

// binary is the program under test, built once.
var binary string

func TestMain(m *testing.M) {
	code, err := buildAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func buildAndRun(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "auditlog-overload-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if binary, err = stack.Build(dir); err != nil {
		return 0, err
	}
	return m.Run(), nil
}
