package pgtest

import (
	"bytes"
	"crypto/rand"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Own is a server of one test, which may kill it.
type Own struct {
	URL string // as its superuser

	tb         testing.TB
	root, home string
	name       string
	port       int
}

// NewOwn makes an empty cluster and starts its server; both go with the test. It needs the script, whatever
// AUDITLOG_TEST_POSTGRES says: nobody's own server is killed.
func NewOwn(tb testing.TB) *Own {
	tb.Helper()
	root, err := moduleRoot()
	if err != nil {
		tb.Fatal(err)
	}
	port, err := freePort()
	if err != nil {
		tb.Fatal(err)
	}
	o := &Own{tb: tb, root: root, home: scriptHome(root), name: "own-" + strings.ToLower(rand.Text()), port: port}
	o.URL = "postgres://postgres@127.0.0.1:" + strconv.Itoa(port) + "/postgres?sslmode=disable"
	tb.Cleanup(func() {
		if _, err := script(root, o.name, port, "stop"); err != nil {
			tb.Error(err)
		}
		if err := os.RemoveAll(o.folder()); err != nil {
			tb.Error(err)
		}
	})
	o.Start()
	return o
}

func (o *Own) folder() string { return filepath.Join(o.home, "root", "srv", o.name) }

// Kill kills the postmaster at once, and returns when it is gone; its backends end by themselves.
func (o *Own) Kill() {
	o.tb.Helper()
	raw, err := os.ReadFile(filepath.Join(o.folder(), "data", "postmaster.pid"))
	if err != nil {
		o.tb.Fatal(err)
	}
	line, _, _ := bytes.Cut(raw, []byte("\n"))
	pid, err := strconv.Atoi(string(line))
	if err == nil {
		err = syscall.Kill(pid, syscall.SIGKILL)
	}
	if err != nil {
		o.tb.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); syscall.Kill(pid, 0) == nil; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			o.tb.Fatal("the killed postmaster does not end")
		}
	}
}

// Start starts the server, again until the last backends of a killed one have ended.
func (o *Own) Start() {
	o.tb.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		_, err := script(o.root, o.name, o.port, "start")
		if err == nil {
			return
		}
		if time.Now().After(end) {
			o.tb.Fatal(err)
		}
	}
}
