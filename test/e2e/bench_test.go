package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"auditlog/test/stack"
)

// TestBenchRuns takes a short look at every measure, so that they keep working; the figures are not judged.
func TestBenchRuns(t *testing.T) {
	r := bench(t, nil, "--entries", "6000", "--bulks", "2", "--duration", "100ms", "--sustain", "200ms", "--samples", "20", "--tenants", "20", "--rows", "2000")
	figures(t, r, "embedded", 21, 11)
}

// TestBenchRunsOnServers does so on servers, where nothing may stay behind.
func TestBenchRunsOnServers(t *testing.T) {
	s := servers(t)
	env := []string{
		"AUDITLOG_BENCH_POSTGRES=" + s.Postgres, "AUDITLOG_BENCH_SEARCH=" + s.Search,
		"AWS_ENDPOINT_URL_SQS=" + s.SQS, "AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=local", "AWS_SECRET_ACCESS_KEY=local",
	}
	r := bench(t, env, "--entries", "3000", "--bulks", "2", "--duration", "100ms", "--sustain", "2s", "--samples", "20", "--tenants", "20", "--rows", "2000")
	figures(t, r, "distributed", 26, 15)
	names := regexp.MustCompile(`called (bench[a-z0-9]+)`).FindAllStringSubmatch(r.Err, -1)
	if len(names) != 3 {
		t.Fatalf("it does not say what its things are called: %s", r.Err)
	}
	db, err := pgx.Connect(t.Context(), s.Postgres)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close(context.Background()) }()
	for _, name := range names {
		var left int
		err := db.QueryRow(t.Context(), `
			SELECT (SELECT count(*) FROM pg_database WHERE datname LIKE $1) + (SELECT count(*) FROM pg_roles WHERE rolname LIKE $1)`, name[1]+"%").Scan(&left)
		if err != nil || left > 0 {
			t.Errorf("%d databases and roles are left, %v", left, err)
		}
		for _, url := range []string{
			s.Search + "/_cat/indices/" + name[1] + "*", s.Search + "/_cat/templates/" + name[1] + "*", s.SQS + "/?Action=ListQueues",
		} {
			if found := get(t, url); strings.Contains(found, name[1]) {
				t.Errorf("left: %s", found)
			}
		}
	}
}

// TestBenchCompares sets a run beside one that was a thousand times as fast, then beside a slower one, and takes profiles.
func TestBenchCompares(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "before.json")
	for value, failed := range map[string]bool{"1000": true, "0.001": false} {
		line := `{"name":"bulk of 1,000 entries of 4 KiB / of 600 B, in bytes/s","value":` + value + `,"unit":"ratio","at_least":true,"workers":"off","connections":2,"tier":"embedded"}`
		if err := os.WriteFile(file, []byte(line), 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := tryBench(t, nil, "--only", "sizes", "--bulks", "2", "--duration", "1s", "--compare", file, "--profiles", filepath.Join(dir, "profiles"))
		var exit *exec.ExitError
		if failed != (errors.As(err, &exit) && exit.ExitCode() == 1 && strings.Contains(r.Err, "1 of 1 figures by more than 10 %")) || !failed && err != nil {
			t.Errorf("beside %s: %v: %s", value, err, r.Err)
		}
	}
	for _, kind := range []string{"cpu", "allocs"} {
		profile, err := os.ReadFile(filepath.Join(dir, "profiles", "embedded-bulk-4KiB-serve."+kind+".pprof"))
		if err != nil || !bytes.HasPrefix(profile, []byte{0x1f, 0x8b}) { // profiles are gzip
			t.Errorf("the %s profile: %v, %d bytes", kind, err, len(profile))
		}
	}
}

// bench runs the command.
func bench(t *testing.T, env []string, args ...string) stack.Result {
	t.Helper()
	r, err := tryBench(t, env, args...)
	if err != nil {
		t.Fatalf("%v: %s", err, r.Err)
	}
	return r
}

// tryBench runs the command, which takes longer than others, and may end with an error.
func tryBench(t *testing.T, env []string, args ...string) (stack.Result, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, slices.Concat([]string{"bench"}, args)...)
	var out, errs strings.Builder
	cmd.Env, cmd.Stdout, cmd.Stderr = stack.Environ(env...), &out, &errs
	err := cmd.Run()
	return stack.Result{Out: out.String(), Err: errs.String()}, err
}

func get(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %s %v", url, resp.Status, body, err)
	}
	return string(body)
}

// figures looks at the form of what a run printed.
func figures(t *testing.T, r stack.Result, tier string, lines, ratios int) {
	t.Helper()
	for text := range strings.Lines(r.Out) {
		var l struct {
			Name, Unit, Tier, Cache, Workers string
			Value                            float64
			Samples                          int
			Sides                            map[string]float64
		}
		if err := json.Unmarshal([]byte(text), &l); err != nil || l.Name == "" || l.Value < 0 || l.Tier != tier || l.Cache == "" || l.Workers == "" || l.Samples == 0 {
			t.Errorf("%v: %s", err, text)
		}
		lines--
		if l.Unit == "ratio" {
			ratios--
			if len(l.Sides) < 2 {
				t.Errorf("a ratio without both sides: %s", text)
			}
		}
	}
	if lines > 0 || ratios > 0 {
		t.Errorf("%d figures and %d ratios are missing: %s", lines, ratios, r.Out)
	}
	if !strings.Contains(r.Err, "reached") {
		t.Errorf("there is no table: %s", r.Err)
	}
}
