package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What cannot be measured or compared is refused with 2 before any time is spent.
func TestBenchRefuses(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.json")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*benchCmd){
		"--entries, --bulks":           func(c *benchCmd) { c.Tenants = 0 },
		"--rows, --duration":           func(c *benchCmd) { c.Rows = -1 },
		"--duration and --sustain":     func(c *benchCmd) { c.Sustain = 0 },
		"--tolerance":                  func(c *benchCmd) { c.Tolerance = -1 },
		`no step "opened"`:             func(c *benchCmd) { c.Only = []string{"open", "opened"} },
		"import is a step of the":      func(c *benchCmd) { c.Only = []string{"import"} },
		"(--search): the distributed":  func(c *benchCmd) { c.Postgres = "postgres://" },
		"--compare: open":              func(c *benchCmd) { c.Compare = empty + ".gone" },
		"empty.json: holds no figures": func(c *benchCmd) { c.Compare = empty },
		"--profiles: mkdir " + empty:   func(c *benchCmd) { c.Profiles = filepath.Join(empty, "below") },
	} {
		c := &benchCmd{Entries: 1, Bulks: 1, Duration: time.Second, Sustain: time.Second, Samples: 1, Tenants: 1, Rows: 1, Dir: t.TempDir()}
		change(c)
		err := c.Run(t.Context(), streams{})
		if err == nil || !strings.Contains(err.Error(), want) || exitCode(err) != 2 {
			t.Errorf("%q: %v", want, err)
		}
		if left, err := os.ReadDir(c.Dir); err != nil || len(left) > 0 {
			t.Errorf("%q: left %v, %v", want, left, err)
		}
	}
}
