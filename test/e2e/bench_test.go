package e2e

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os/exec"
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
	r := bench(t, nil, "--entries", "6000", "--bulks", "2", "--duration", "200ms", "--sustain", "500ms", "--samples", "20", "--tenants", "20", "--rows", "2000")
	figures(t, r, "embedded", 21, 11)
}

// TestBenchRunsOnServers does so on servers, where nothing may stay behind.
func TestBenchRunsOnServers(t *testing.T) {
	s := servers(t)
	env := []string{
		"AUDITLOG_BENCH_POSTGRES=" + s.Postgres, "AUDITLOG_BENCH_SEARCH=" + s.Search,
		"AWS_ENDPOINT_URL_SQS=" + s.SQS, "AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=local", "AWS_SECRET_ACCESS_KEY=local",
	}
	r := bench(t, env, "--entries", "3000", "--bulks", "2", "--duration", "200ms", "--sustain", "2s", "--samples", "20", "--tenants", "20", "--rows", "2000")
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

// bench runs the command, which takes longer than others.
func bench(t *testing.T, env []string, args ...string) stack.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, slices.Concat([]string{"bench"}, args)...)
	var out, errs strings.Builder
	cmd.Env, cmd.Stdout, cmd.Stderr = stack.Environ(env...), &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, errs.String())
	}
	return stack.Result{Out: out.String(), Err: errs.String()}
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
