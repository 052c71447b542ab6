package pgdb_test

import (
	"testing"

	"auditlog/internal/pgdb"
	"auditlog/internal/pgdb/pgtest"
)

// Statements with question marks work, prepared or not, in and out of transactions, with arrays, in their schema.
func TestQuestionMarks(t *testing.T) {
	db, err := pgdb.OpenSQL(pgtest.Database(t), "own", pgdb.Options{MaxConns: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, q := range []string{`CREATE SCHEMA own`, `CREATE TABLE x (a bigint, b text)`} {
		if _, err := db.ExecContext(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := db.ExecContext(t.Context(), `INSERT INTO own.x SELECT * FROM unnest(?::bigint[], ?::text[])`, []int64{1, 2, 3}, []string{"?", "b", "c"}); err != nil {
		t.Fatal(err)
	}
	stmt, err := db.PrepareContext(t.Context(), `SELECT a FROM x WHERE b = ? AND b <> 'it''s ?' AND "a" < ?`)
	if err != nil {
		t.Fatal(err)
	}
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var a int64
	if err := tx.StmtContext(t.Context(), stmt).QueryRowContext(t.Context(), "?", 3).Scan(&a); err != nil || a != 1 {
		t.Errorf("%d, %v", a, err)
	}
	if err := tx.QueryRowContext(t.Context(), `SELECT count(*) FROM x WHERE b = '?' AND a = ?`, 1).Scan(&a); err != nil || a != 1 {
		t.Errorf("%d, %v", a, err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
}
