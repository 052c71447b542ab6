package sqlbulk_test

import (
	"path/filepath"
	"testing"

	"auditlog/internal/sqlitedb"
	"auditlog/projection/sqlbulk"
)

// Any number of rows comes in whole and once, and the tail of the statement holds for each of them.
func TestExec(t *testing.T) {
	db, err := sqlitedb.Open(t.Context(), filepath.Join(t.TempDir(), "x.db"), sqlitedb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Write.Exec(`CREATE TABLE counts (key INTEGER PRIMARY KEY, n INTEGER NOT NULL)`); err != nil {
		t.Fatal(err)
	}
	in, err := sqlbulk.Prepare(t.Context(), db.Write, `INSERT INTO counts (key, n)`, 2, `ON CONFLICT DO UPDATE SET n = n + excluded.n`)
	if err != nil {
		t.Fatal(err)
	}
	want := map[int]int{}
	for _, rows := range []int{0, 1, 7, 8, 9, 63, 64, 65, 201} {
		tx, err := db.Write.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		var values []any
		for i := range rows {
			values = append(values, i%150, rows) // some rows meet those of the same statement
			want[i%150] += rows
		}
		if err := in.Exec(t.Context(), tx, values); err != nil {
			t.Fatal(err)
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	rows, err := db.Read.Query(`SELECT key, n FROM counts`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var key, n int
		if err := rows.Scan(&key, &n); err != nil {
			t.Fatal(err)
		}
		if want[key] != n {
			t.Errorf("key %d: %d, want %d", key, n, want[key])
		}
		delete(want, key)
	}
	if err := rows.Err(); err != nil || len(want) > 0 {
		t.Errorf("%v; missing %v", err, want)
	}
}

func TestPrepareTellsMistakes(t *testing.T) {
	db, err := sqlitedb.Open(t.Context(), filepath.Join(t.TempDir(), "x.db"), sqlitedb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := sqlbulk.Prepare(t.Context(), db.Write, `INSERT INTO nothing (a)`, 1, ``); err == nil {
		t.Error("a statement on no table was prepared")
	}
}
