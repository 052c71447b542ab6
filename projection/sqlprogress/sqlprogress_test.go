package sqlprogress_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"auditlog/eventstore"
	"auditlog/internal/pgdb"
	"auditlog/internal/pgdb/pgtest"
	"auditlog/internal/sqlitedb"
	"auditlog/migrations"
	"auditlog/projection"
	"auditlog/projection/sqlprogress"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// The table holds what projection.Ranges would, for any history of two shards.
func TestAddAgreesWithRanges(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) {
		db, err := sqlitedb.Open(t.Context(), filepath.Join(t.TempDir(), "p.db"), sqlitedb.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if _, err := db.Write.Exec(sqlprogress.Create); err != nil {
			t.Fatal(err)
		}
		addAgreesWithRanges(t, db.Write)
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		address := pgtest.Database(t)
		if err := (pgdb.Schema{Name: "own", Files: migrations.Postgres("forget")}).Migrate(t.Context(), address, map[string]string{"search_path": "own"}); err != nil {
			t.Fatal(err)
		}
		db, err := pgdb.OpenSQL(address, "own", pgdb.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		addAgreesWithRanges(t, db)
	})
}

func addAgreesWithRanges(t *testing.T, db *sql.DB) {
	ctx := t.Context()
	rapid.Check(t, func(t *rapid.T) {
		if _, err := db.Exec(`DELETE FROM progress`); err != nil {
			t.Fatal(err)
		}
		want := map[eventstore.Shard]projection.Ranges{}
		for range rapid.IntRange(1, 12).Draw(t, "n") {
			shard := eventstore.Shard(rapid.IntRange(0, 1).Draw(t, "shard"))
			from := eventstore.Offset(rapid.IntRange(0, 30).Draw(t, "from"))
			r := projection.Range{From: from, To: from + eventstore.Offset(rapid.IntRange(0, 9).Draw(t, "len"))}
			tx, err := db.Begin()
			if err != nil {
				t.Fatal(err)
			}
			if err := sqlprogress.Add(ctx, tx, shard, r); err != nil {
				t.Fatal(err)
			}
			if err := tx.Commit(); err != nil {
				t.Fatal(err)
			}
			want[shard] = want[shard].Add(r)
		}
		for shard, w := range want {
			got, err := sqlprogress.Load(ctx, db, shard)
			if err != nil || !slices.Equal(got, w) {
				t.Fatalf("shard %d: %v, %v; want %v", shard, got, err, w)
			}
		}
	})
}
