package sqlbulk_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"testing"

	"auditlog/internal/pgdb"
	"auditlog/internal/pgdb/pgtest"
	"auditlog/internal/sqlitedb"
	"auditlog/projection/sqlbulk"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

const (
	table = `CREATE TABLE counts (key INTEGER PRIMARY KEY, n INTEGER NOT NULL)`
	head  = `INSERT INTO counts (key, n)`
	tail  = `ON CONFLICT (key) DO UPDATE SET n = counts.n + excluded.n`
)

// Any number of rows comes in whole and once, and the tail of the statement holds for each of them.
func TestExec(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) {
		db, err := sqlitedb.Open(t.Context(), filepath.Join(t.TempDir(), "x.db"), sqlitedb.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if _, err := db.Write.Exec(table); err != nil {
			t.Fatal(err)
		}
		in, err := sqlbulk.Prepare(t.Context(), db.Write, head, 2, tail)
		if err != nil {
			t.Fatal(err)
		}
		testExec(t, db.Write, in, 150) // some rows meet those of the same statement
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		db, err := pgdb.OpenSQL(pgtest.Database(t), "public", pgdb.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if _, err := db.Exec(table); err != nil {
			t.Fatal(err)
		}
		testExec(t, db, sqlbulk.Arrays(head, 2, tail), 1000)
	})
}

func testExec(t *testing.T, db *sql.DB, in *sqlbulk.Insert, keys int64) {
	want := map[int64]int64{}
	for _, rows := range []int64{0, 1, 7, 8, 9, 63, 64, 65, 201} {
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		var values []any
		for i := range rows {
			values = append(values, i%keys, rows)
			want[i%keys] += rows
		}
		if err := in.Exec(t.Context(), tx, values); err != nil {
			t.Fatal(err)
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	rows, err := db.Query(`SELECT key, n FROM counts`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var key, n int64
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
