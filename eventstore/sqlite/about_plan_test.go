package sqlite

import (
	"path/filepath"
	"strings"
	"testing"
)

// The cost of About must not grow with the log: every page of every reader asks it.
func TestAboutReadsTheSideTableFirst(t *testing.T) {
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "events.db"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	rows, err := s.db.Read.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+aboutSQL(2), 1, make([]byte, 16), make([]byte, 16))
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var plan []string
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		plan = append(plan, detail)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	if len(plan) == 0 || !strings.HasPrefix(plan[0], "SEARCH a USING") {
		t.Fatalf("the plan does not start from the side table:\n%s", strings.Join(plan, "\n"))
	}
}
