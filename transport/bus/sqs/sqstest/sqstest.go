// Package sqstest gives tests a real SQS server: the one whose URL is in AWS_ENDPOINT_URL_SQS when it is on this machine,
// as scripts/servers/elasticmq.sh prints it, else an ElasticMQ of the test binary's own, started by that script. Without
// a server the tests fail; they are never left out.
package sqstest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/aws/aws-sdk-go-v2/aws"

	"auditlog/transport/bus/sqs"
)

// Env names a running server's URL. It is the SDK's own, so a server elsewhere may be an account in earnest: it is not
// taken.
const Env = "AWS_ENDPOINT_URL_SQS"

// Server is a running server.
type Server struct {
	URL string

	run     string // its folder; empty when it is not ours
	port    string
	durable bool      // what it has is on disk
	guard   io.Closer // closed, or left behind by a test that died: the server ends
	ended   <-chan error
}

var shared *Server // set by Main, before any test

// Main runs the tests of a package with a server that they share. Call it from TestMain, and exit with what it returns.
func Main(m *testing.M, after ...func() error) int {
	s, err := Start()
	if err != nil {
		fmt.Fprintln(os.Stderr, "sqstest: no SQS server for the tests:", err)
		return 1
	}
	shared = s
	code := m.Run()
	if err := s.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, "sqstest:", err)
		code = max(code, 1)
	}
	client.CloseIdleConnections()
	for _, check := range after {
		if err := check(); err != nil && code == 0 {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	return code
}

// Config is a config of the shared server with queues of the test's own, a short visibility, and no delay of what is
// given back.
func Config(tb testing.TB) sqs.Config {
	tb.Helper()
	if shared == nil {
		tb.Fatal("sqstest: TestMain does not call Main")
	}
	return shared.Config()
}

// Config is a config of this server, as that of the shared one.
func (s *Server) Config() sqs.Config {
	return sqs.Config{
		AWS: s.AWS(), Prefix: "t" + strings.ToLower(watermill.NewULID()) + "-",
		Visibility: 2 * time.Second, Wait: time.Second, Drain: 500 * time.Millisecond, Linger: 5 * time.Millisecond,
		Backoff: func(int) time.Duration { return 0 },
		Log:     slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
}

// AWS is the SDK's configuration for the server.
func (s *Server) AWS() aws.Config {
	return aws.Config{
		Region: "us-east-1", BaseEndpoint: &s.URL, HTTPClient: client,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "local", SecretAccessKey: "local"}, nil
		}),
	}
}

// client is shared, so that no idle connection outlives Main.
var client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}

// Start starts a server, or takes the one of the environment.
func Start() (*Server, error) {
	at, err := url.Parse(os.Getenv(Env))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", Env, err)
	}
	if host := at.Hostname(); host == "localhost" || net.ParseIP(host).IsLoopback() {
		return &Server{URL: at.String()}, nil
	}
	return own(false)
}

// Own starts a server for one test, which may be killed.
func Own() (*Server, error) { return own(true) }

func own(durable bool) (*Server, error) {
	run, err := os.MkdirTemp("", "elasticmq-")
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	s := &Server{URL: "http://127.0.0.1:" + port, run: run, port: port, durable: durable}
	if err := s.start(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(run))
	}
	return s, nil
}

// start starts the server under a shell that ends it when its standard input ends, also when this process is killed.
func (s *Server) start() error {
	cmd := exec.Command("bash", "-c", `"$0" start && echo started && cat >/dev/null; "$0" stop`, script())
	cmd.Env = append(os.Environ(), "ELASTICMQ_RUN="+s.run, "ELASTICMQ_PORT="+s.port, "ELASTICMQ_DURABLE="+strconv.FormatBool(s.durable),
		"ELASTICMQ_OPTIONS=-XX:TieredStopAtLevel=1") // it lives for minutes, and is killed in between
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // an interrupt of the tests is not the shell's
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	s.guard, s.ended = in, ended
	if line != "started\n" {
		return errors.Join(fmt.Errorf("%s start failed", script()), s.end())
	}
	return nil
}

func (s *Server) end() error {
	return errors.Join(s.guard.Close(), <-s.ended)
}

// Stop ends the server if it is ours, and removes its data.
func (s *Server) Stop() error {
	if s.run == "" {
		return nil
	}
	return errors.Join(s.end(), os.RemoveAll(s.run))
}

// Kill ends the server's process as a crash does; Restart brings it back with what it had on disk.
func (s *Server) Kill() error {
	text, err := os.ReadFile(filepath.Join(s.run, "pid"))
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return err
	}
	return syscall.Kill(pid, syscall.SIGKILL)
}

// Restart starts the server again after Kill.
func (s *Server) Restart() error {
	if err := s.end(); err != nil {
		return err
	}
	return s.start()
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, errors.Join(err, l.Close())
}

// script is the server's script, by this file's place.
func script() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "../../../../scripts/servers/elasticmq.sh")
}
