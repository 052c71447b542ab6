package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"auditlog/internal/bench"
)

type benchCmd struct {
	Entries  int           `default:"1000000" placeholder:"N" help:"Entries in the tenant for search, paging and export (${default})."`
	Bulks    int           `default:"100" placeholder:"N" help:"Bulks of 1,000 entries for each write measure (${default})."`
	Duration time.Duration `default:"5s" placeholder:"TIME" help:"Length of each measure that goes by time (${default})."`
	Samples  int           `default:"1000" placeholder:"N" help:"Samples of each latency (${default}; a p99 wants 10000)."`
	Quick    bool          `help:"A look in about half a minute: 20000 entries, fewer samples. Its figures are rough."`
	Dir      string        `placeholder:"DIR" help:"Folder for the data, which is removed afterwards (the system's for temporary files)."`
}

// Run measures this binary.
func (c *benchCmd) Run(ctx context.Context, s streams) (err error) {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if c.Quick {
		c.Entries, c.Bulks, c.Duration, c.Samples = 20_000, 20, 2*time.Second, 200
	}
	if c.Entries < 1 || c.Bulks < 1 || c.Samples < 1 || c.Duration <= 0 {
		return usagef("--entries, --bulks, --samples and --duration: must be above 0")
	}
	dir, err := os.MkdirTemp(c.Dir, "auditlog-bench-")
	if err != nil {
		return fmt.Errorf("--dir: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	return bench.Run(ctx, bench.Options{
		Binary: self, Dir: dir, Entries: c.Entries, Bulks: c.Bulks, Duration: c.Duration, Samples: c.Samples,
		Lines: s.out, Table: s.err, Say: func(what string) { fmt.Fprintln(s.err, "measuring", what) },
	})
}
