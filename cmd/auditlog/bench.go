package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"auditlog/internal/bench"
)

type benchCmd struct {
	Postgres string        `env:"AUDITLOG_BENCH_POSTGRES" placeholder:"ADDRESS" help:"Measure the distributed tier: a PostgreSQL server as its superuser, postgres://…; SQS is where the AWS SDK's settings say. Databases, queues and indices of the run's own are made and removed."`
	Search   string        `env:"AUDITLOG_BENCH_SEARCH" placeholder:"ADDRESS" help:"OpenSearch of the distributed tier, http://…"`
	Only     []string      `placeholder:"STEP" help:"Steps to take: start (of the embedded tier); writes, open, sizes, import (of the distributed tier), tenants, snapshot, rows; line, or of the distributed tier one of line's: rebuild, sustained, scale, latency, calls, search, replay, export (all)."`
	Entries  int           `default:"1000000" placeholder:"N" help:"Entries in the tenant for search, paging, replay and export (${default})."`
	Bulks    int           `default:"100" placeholder:"N" help:"Bulks of 1,000 entries for each write measure (${default})."`
	Duration time.Duration `default:"5s" placeholder:"TIME" help:"Length of each measure that goes by time (${default})."`
	Sustain  time.Duration `default:"1m" placeholder:"TIME" help:"How long the distributed tier is to hold its rate, and a snapshot is held open (${default}; the bar says 10m)."`
	Samples  int           `default:"1000" placeholder:"N" help:"Samples of each latency (${default}; a p99 wants 10000)."`
	Tenants  int           `default:"10000" placeholder:"N" help:"Tenants that write beside one (${default})."`
	Rows     int           `default:"1000000" placeholder:"N" help:"Rows of the table that is compared with a fresh one, or above 1000000 with one of 1000000 (${default}; the bar says 50000000)."`
	Quick    bool          `help:"A look in about half a minute, two for the distributed tier: 20000 entries, 500 tenants, 50000 rows, fewer samples; without the steps tenants, snapshot and rows unless --only names them. Its figures are rough."`
	Dir      string        `placeholder:"DIR" help:"Folder for the data, which is removed afterwards (the system's for temporary files)."`

	Compare   string  `placeholder:"FILE" help:"JSON lines of an earlier run: prints what changed, and ends with 1 when a figure is worse by more than --tolerance."`
	Tolerance float64 `default:"10" placeholder:"PERCENT" help:"By how much a figure may be worse than in --compare (${default})."`
	Profiles  string  `placeholder:"DIR" help:"Folder that takes CPU and allocation profiles of the service under each step of writing, which then takes --duration longer."`
}

// Run measures this binary.
func (c *benchCmd) Run(ctx context.Context, s streams) (err error) {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	for _, name := range c.Only {
		if !slices.Contains(bench.Steps, name) {
			return usagef("--only: there is no step %q but %s", name, strings.Join(bench.Steps, ", "))
		}
		if name == bench.ServerStep && c.Postgres == "" {
			return usagef("--only: %s is a step of the distributed tier, which AUDITLOG_BENCH_POSTGRES (--postgres) names", name)
		}
	}
	if c.Quick {
		c.Entries, c.Bulks, c.Duration, c.Sustain, c.Samples, c.Tenants, c.Rows = 20_000, 20, 2*time.Second, 10*time.Second, 200, 500, 50_000
		if len(c.Only) == 0 {
			c.Only = bench.QuickSteps
		}
	}
	if min(c.Entries, c.Bulks, c.Samples, c.Tenants, c.Rows) < 1 || min(c.Duration, c.Sustain) <= 0 {
		return usagef("--entries, --bulks, --samples, --tenants, --rows, --duration and --sustain: must be above 0")
	}
	if c.Tolerance < 0 {
		return usagef("--tolerance: must not be negative")
	}
	if (c.Postgres == "") != (c.Search == "") {
		return usagef("AUDITLOG_BENCH_POSTGRES (--postgres) and AUDITLOG_BENCH_SEARCH (--search): the distributed tier needs both")
	}
	earlier, err := c.earlier()
	if err != nil {
		return err
	}
	if c.Profiles != "" {
		if err := os.MkdirAll(c.Profiles, 0o755); err != nil {
			return usagef("--profiles: %w", err)
		}
	}
	dir, err := os.MkdirTemp(c.Dir, "auditlog-bench-")
	if err != nil {
		return fmt.Errorf("--dir: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	return bench.Run(ctx, bench.Options{
		Binary: self, Dir: dir, Servers: bench.Servers{Postgres: c.Postgres, Search: strings.TrimSuffix(c.Search, "/")}, Only: c.Only,
		Entries: c.Entries, Bulks: c.Bulks, Duration: c.Duration, Sustain: c.Sustain, Samples: c.Samples, Tenants: c.Tenants, Rows: c.Rows,
		Profiles: c.Profiles, Earlier: earlier, Tolerance: c.Tolerance,
		Lines: s.out, Table: s.err, Say: func(what string) { fmt.Fprintln(s.err, "measuring", what) },
	})
}

// earlier reads the run to compare with, before the time of this one is spent.
func (c *benchCmd) earlier() ([]bench.Line, error) {
	if c.Compare == "" {
		return nil, nil
	}
	f, err := os.Open(c.Compare)
	if err != nil {
		return nil, usagef("--compare: %w", err)
	}
	defer func() { _ = f.Close() }() // it was only read
	lines, err := bench.ReadLines(f)
	if err != nil {
		return nil, usagef("--compare: %s: %w", c.Compare, err)
	}
	return lines, nil
}
