package mutants

import (
	"bytes"
	"context"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"auditlog/internal/mutant"
)

var runs = flag.Int("runs", 1, "how often each mutant is run; nine of ten runs must catch it")

// caught is a seeded bug with the test that catches it: in which package, and which arguments it takes.
type caught struct {
	mutant, dir, test string
	args              []string
}

var all = []caught{
	{mutant.AckBeforeCommit, "eventstore/sqlite", "TestAppendIsDurable", nil},
	{mutant.Bigserial, "eventstore/sqlite", "TestPromises/ReadersMissNothing", nil},
	{mutant.NoDedup, "eventstore/sqlite", "TestPromises/KeysReplay", nil},
	{mutant.RangeBeforeEffect, "projection/search/opensearch", "TestRangeIsRecordedAfterItsEffect", nil},
	{mutant.StaleSave, "projection/relay/postgres", "TestSaveIsFenced", nil},
	{mutant.CursorBeforePublish, "test/sim", "TestSchedules", few},
	{mutant.FenceIgnored, "test/sim", "TestSchedules", few},
	{mutant.WithdrawnStored, "test/sim", "TestSchedules", few},
	{mutant.BulkSplit, "test/sim", "TestSchedules", few},
	{mutant.DoubtRefused, "test/sim", "TestSchedules", []string{"-seeds", "400", "-once"}},
}

// few are enough schedules of the simulation.
var few = []string{"-seeds", "40", "-once"}

// Each mutant is caught by its test, and every mutant has one.
func TestMutantsAreCaught(t *testing.T) {
	if mutant.On != "" {
		t.Fatalf("this build has the seeded bug %s", mutant.On)
	}
	missing := names(t)
	for _, m := range all {
		delete(missing, m.mutant)
		t.Run(m.mutant, func(t *testing.T) { m.hunt(t) })
	}
	for name := range missing {
		t.Errorf("no test is named that catches %s", name)
	}
}

// hunt builds the package's tests with the mutant and runs the one that must fail.
func (m caught) hunt(t *testing.T) {
	dir := filepath.Join("..", "..", m.dir)
	binary := filepath.Join(t.TempDir(), "mutant.test")
	build := exec.Command("go", "test", "-c", "-tags", "mutant_"+m.mutant, "-o", binary, ".")
	build.Dir = dir
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", m.dir, err, out)
	}
	seen, why := 0, ""
	for range *runs {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		run := exec.CommandContext(ctx, binary, append([]string{"-test.v", "-test.run", anchored(m.test)}, m.args...)...)
		run.Dir = dir
		out, err := run.CombinedOutput()
		cancel()
		switch {
		case !bytes.Contains(out, []byte("=== RUN   "+m.test+"\n")):
			t.Fatalf("%s ran no %s: %v\n%s", m.dir, m.test, err, out)
		case err != nil && bytes.Contains(out, []byte("--- FAIL: "+m.test+" ")):
			seen++
			if why == "" {
				why = complaint(out)
			}
		}
	}
	t.Logf("%-22s %2d of %d  %s %s: %s", m.mutant, seen, *runs, m.dir, m.test, why)
	if seen*10 < *runs*9 {
		t.Errorf("%s survives: %s of %s caught it in %d of %d runs", m.mutant, m.test, m.dir, seen, *runs)
	}
}

// anchored is the pattern of one test or subtest.
func anchored(test string) string {
	return "^" + strings.ReplaceAll(test, "/", "$/^") + "$"
}

var said = regexp.MustCompile(`(?m)^ +[a-z_]+\.go:\d+: (.+)$`)

// complaint is the first thing that a test said.
func complaint(out []byte) string {
	if m := said.FindSubmatch(out); m != nil {
		return string(m[1])
	}
	return "?"
}

// names are the seeded bugs that package mutant names, with a file for each.
func names(t *testing.T) map[string]bool {
	dir := filepath.Join("..", "..", "internal", "mutant")
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, "mutant.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			name, err := strconv.Unquote(lit.Value)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(filepath.Join(dir, name+".go")); err != nil {
				t.Error(err)
			}
			out[name] = true
		}
		return true
	})
	if len(out) == 0 {
		t.Fatal("no mutant is named")
	}
	return out
}
