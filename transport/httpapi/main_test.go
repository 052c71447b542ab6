package httpapi_test

import (
	"net/http"
	"os"
	"testing"

	"go.uber.org/goleak"

	"auditlog/internal/pgdb/pgtest"
)

// TestMain fails the package when a request, a stream or a world leaves a goroutine behind.
func TestMain(m *testing.M) {
	code := pgtest.Main(m)
	if transport, ok := http.DefaultTransport.(*http.Transport); ok {
		transport.CloseIdleConnections()
	}
	if err := goleak.Find(); err != nil && code == 0 {
		_, _ = os.Stderr.WriteString(err.Error() + "\n")
		code = 1
	}
	os.Exit(code)
}
