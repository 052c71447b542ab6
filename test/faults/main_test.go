package faults

import (
	"os"
	"testing"

	"auditlog/test/stack"
)

// binary is the program under test, built once.
var binary string

func TestMain(m *testing.M) { os.Exit(stack.Main(m, &binary)) }
