package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/alecthomas/kong"
)

// Operators find every setting and every metric in docs/operations.md, and none that does not exist anywhere.
func TestDocumentedNames(t *testing.T) {
	settings := map[string]bool{}
	parser, err := kong.New(&commands{}, kong.Vars{})
	if err != nil {
		t.Fatal(err)
	}
	var collect func(n *kong.Node)
	collect = func(n *kong.Node) {
		for _, f := range n.Flags {
			for _, env := range f.Envs {
				settings[env] = true
			}
		}
		for _, child := range n.Children {
			collect(child)
		}
	}
	collect(parser.Model.Node)
	metrics := map[string]bool{}
	for _, glob := range []string{"internal/app/*.go", "transport/httpapi/*.go"} {
		for _, name := range found(t, glob, `Name: "(auditlog_[a-z_]+)"|counter\("(auditlog_[a-z_]+)"`) {
			metrics[name] = true
		}
	}
	if len(settings) < 20 || len(metrics) < 10 {
		t.Fatalf("found %d settings and %d metrics", len(settings), len(metrics))
	}

	documented := found(t, "docs/operations.md", `\b(AUDITLOG_[A-Z0-9_]+)`)
	for name := range settings {
		if !slices.Contains(documented, name) {
			t.Errorf("docs/operations.md lacks %s", name)
		}
	}
	known := []string{ // of tests and of deploy/postgres/databases.sql
		"AUDITLOG_SAMPLE", "AUDITLOG_TEST_POSTGRES", "AUDITLOG_TEST_OPENSEARCH", "AUDITLOG_FAULT_CYCLES", "AUDITLOG_FAULT_ENTRIES", "AUDITLOG_FAULT_SEED",
		"AUDITLOG_OWNER_PASSWORD", "AUDITLOG_SERVICE_PASSWORD", "AUDITLOG_LIFECYCLE_PASSWORD", "AUDITLOG_KEYS_PASSWORD",
	}
	for _, glob := range []string{"docs/*.md", "README.md", "CHANGELOG.md", "compose*.yaml", "deploy/*.yaml"} {
		for _, name := range found(t, glob, `\b(AUDITLOG_[A-Z0-9_]*[A-Z0-9])`) {
			if !settings[name] && !slices.Contains(known, name) {
				t.Errorf("%s: there is no setting %s", glob, name)
			}
		}
	}

	documented = found(t, "docs/operations.md", `\b(auditlog_[a-z_]+?)(?:_bucket|_count)?\b`)
	for name := range metrics {
		if !slices.Contains(documented, name) {
			t.Errorf("docs/operations.md lacks %s", name)
		}
	}
	schemas := []string{"auditlog_relay", "auditlog_search"} // of PostgreSQL
	for _, name := range documented {
		if !metrics[name] && !slices.Contains(schemas, name) {
			t.Errorf("docs/operations.md: there is no metric %s", name)
		}
	}
}

// found is what a pattern's groups match in files of the project.
func found(t *testing.T, glob, pattern string) (names []string) {
	t.Helper()
	files, err := filepath.Glob(project(glob))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %d files, %v", glob, len(files), err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(pattern).FindAllSubmatch(raw, -1) {
			for _, group := range m[1:] {
				if len(group) > 0 {
					names = append(names, string(group))
				}
			}
		}
	}
	return names
}
