// Package pgtest gives tests a real PostgreSQL with TimescaleDB. AUDITLOG_TEST_POSTGRES names a server to use, as its
// superuser; without it scripts/servers/timescaledb.sh installs and starts one, which the test programs that run at the
// same time share, and which ends with the last of them. A server that cannot be had fails the test.
package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

const addressVar = "AUDITLOG_TEST_POSTGRES"

// server is the server of this test program.
var server struct {
	once  sync.Once
	url   string
	err   error
	users *os.File // a shared lock: this program uses the server that the script started
}

// Main runs the tests of a package and then ends the server that they started, unless other programs use it. Call it
// from TestMain: os.Exit(pgtest.Main(m)).
func Main(m interface{ Run() int }) int {
	code := m.Run()
	if err := release(); err != nil {
		fmt.Fprintln(os.Stderr, "pgtest:", err)
		return max(code, 1)
	}
	return code
}

// Server is the address of the server, as its superuser.
func Server(tb testing.TB) string {
	tb.Helper()
	server.once.Do(func() {
		if server.url = os.Getenv(addressVar); server.url == "" {
			server.url, server.err = start()
		}
	})
	if server.err != nil {
		tb.Fatalf("the tests need PostgreSQL: %v; or set %s to a server's superuser", server.err, addressVar)
	}
	return server.url
}

// Database makes an empty database that goes with the test, and gives its address as the superuser.
func Database(tb testing.TB) string {
	tb.Helper()
	name := "test_" + strings.ToLower(rand.Text())
	run(tb, Server(tb), `CREATE DATABASE `+name)
	tb.Cleanup(func() { run(tb, Server(tb), `DROP DATABASE `+name+` WITH (FORCE)`) })
	return with(tb, Server(tb), func(u *url.URL) { u.Path = "/" + name })
}

// As is the same address for another role, created with LOGIN where it is missing. The server trusts loopback.
func As(tb testing.TB, address, role string) string {
	tb.Helper()
	run(tb, address, `DO $$ BEGIN
		CREATE ROLE `+role+` LOGIN;
	EXCEPTION WHEN duplicate_object OR unique_violation THEN
		ALTER ROLE `+role+` LOGIN;
	END $$`)
	return with(tb, address, func(u *url.URL) { u.User = url.User(role) })
}

func with(tb testing.TB, address string, change func(*url.URL)) string {
	tb.Helper()
	u, err := url.Parse(address)
	if err != nil {
		tb.Fatalf("%s must be a URL", addressVar)
	}
	change(u)
	return u.String()
}

func run(tb testing.TB, address, sql string) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		tb.Fatal(err)
	}
	defer conn.Close(ctx)
	for try := 0; ; try++ {
		// Other test programs alter the same roles, which belong to the whole server.
		if _, err = conn.Exec(ctx, sql); err == nil || try == 20 || !strings.Contains(err.Error(), "concurrently updated") {
			break
		}
	}
	if err != nil {
		tb.Fatal(err)
	}
}

const cluster = "tests"

// start has the script start the server. Whoever uses it holds a shared lock of one file, whoever starts or ends it an
// exclusive one of another.
func start() (string, error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	home := scriptHome(root)
	if err := os.MkdirAll(home, 0o755); err != nil {
		return "", err
	}
	change, err := flock(filepath.Join(home, "tests-change.lock"), syscall.LOCK_EX)
	if err != nil {
		return "", err
	}
	defer change.Close()
	if server.users, err = flock(filepath.Join(home, "tests-users.lock"), syscall.LOCK_SH); err != nil {
		return "", err
	}
	port, err := freePort()
	if err != nil {
		return "", err
	}
	if _, err := script(root, cluster, port, "start"); err != nil { // nothing happens when it runs
		return "", err
	}
	out, err := script(root, cluster, port, "env")
	if err != nil {
		return "", err
	}
	_, address, found := strings.Cut(strings.TrimSpace(out), "=")
	if !found {
		return "", fmt.Errorf("the script says %q", out)
	}
	return address, nil
}

// release ends the server when this program was its last user.
func release() error {
	if server.users == nil {
		return nil
	}
	defer server.users.Close()
	home := filepath.Dir(server.users.Name())
	change, err := flock(filepath.Join(home, "tests-change.lock"), syscall.LOCK_EX)
	if err != nil {
		return err
	}
	defer change.Close()
	err = syscall.Flock(int(server.users.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil // others use it
	}
	if err != nil {
		return err
	}
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	_, err = script(root, cluster, 0, "stop")
	return err
}

func flock(path string, how int) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), how); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// scriptHome is where the script installs.
func scriptHome(root string) string {
	if home := os.Getenv("TIMESCALEDB_HOME"); home != "" {
		return home
	}
	return filepath.Join(root, ".servers", "timescaledb")
}

func script(root, cluster string, port int, command string) (string, error) {
	cmd := exec.Command(filepath.Join(root, "scripts", "servers", "timescaledb.sh"), command)
	cmd.Env = append(os.Environ(), "TIMESCALEDB_CLUSTER="+cluster, "TIMESCALEDB_PORT="+strconv.Itoa(port))
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", filepath.Base(cmd.Path), command, err, stderr.String())
	}
	return string(out), nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("the module's root is not above " + dir)
		}
		dir = parent
	}
}
