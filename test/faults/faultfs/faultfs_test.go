package faultfs_test

import (
	"database/sql"
	"errors"
	"path/filepath"
	"testing"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"auditlog/test/faults/faultfs"
)

func TestFaults(t *testing.T) {
	disk, err := faultfs.Install()
	if err != nil {
		t.Fatal(err)
	}
	for kind, code := range map[faultfs.Kind]int{
		faultfs.NoSpace: sqlite3.SQLITE_FULL, faultfs.BrokenWrite: sqlite3.SQLITE_IOERR_WRITE, faultfs.BrokenSync: sqlite3.SQLITE_IOERR_FSYNC,
	} {
		t.Run(kind.String(), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "some.db")
			db, err := sql.Open("sqlite", "file:"+path+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			db.SetMaxOpenConns(1)
			run := func() error {
				_, err := db.ExecContext(t.Context(), `INSERT INTO x VALUES (1)`)
				return err
			}
			if _, err := db.ExecContext(t.Context(), `CREATE TABLE x (y)`); err != nil {
				t.Fatal(err)
			}
			disk.Arm(faultfs.Plan{Kind: kind, Files: "other.db", At: 1, Lasting: true})
			if err := run(); err != nil || disk.Heal() != 0 {
				t.Errorf("a fault of another file: %v", err)
			}
			disk.Arm(faultfs.Plan{Kind: kind, Files: "some.db", At: 1})
			var e *sqlite.Error
			if err := run(); !errors.As(err, &e) || e.Code() != code {
				t.Errorf("got %v, want code %d", err, code)
			}
			if err := run(); err != nil || disk.Heal() != 1 {
				t.Errorf("a fault that does not last: %v", err)
			}
			disk.Arm(faultfs.Plan{Kind: kind, At: 3, Lasting: true})
			failed := 0
			for range 5 {
				if run() != nil {
					failed++
				}
			}
			if raised := disk.Heal(); failed == 0 || failed == 5 || raised < failed {
				t.Errorf("%d of 5 failed, %d faults were raised", failed, raised)
			}
			var rows int
			if err := db.QueryRowContext(t.Context(), `SELECT count(*) FROM x`).Scan(&rows); err != nil || rows != 2+5-failed {
				t.Errorf("%d rows, %v", rows, err)
			}
		})
	}
}
