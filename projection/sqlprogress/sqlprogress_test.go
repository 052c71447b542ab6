package sqlprogress_test

import (
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"auditlog/eventstore"
	"auditlog/internal/sqlitedb"
	"auditlog/projection"
	"auditlog/projection/sqlprogress"
)

// The table holds what projection.Ranges would, for any history of two shards.
func TestAddAgreesWithRanges(t *testing.T) {
	ctx := t.Context()
	db, err := sqlitedb.Open(ctx, filepath.Join(t.TempDir(), "p.db"), sqlitedb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	if _, err := db.Write.Exec(sqlprogress.Create); err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		if _, err := db.Write.Exec(`DELETE FROM progress`); err != nil {
			t.Fatal(err)
		}
		want := map[eventstore.Shard]projection.Ranges{}
		for range rapid.IntRange(1, 12).Draw(t, "n") {
			shard := eventstore.Shard(rapid.IntRange(0, 1).Draw(t, "shard"))
			from := eventstore.Offset(rapid.IntRange(0, 30).Draw(t, "from"))
			r := projection.Range{From: from, To: from + eventstore.Offset(rapid.IntRange(0, 9).Draw(t, "len"))}
			tx, err := db.Write.Begin()
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
			got, err := sqlprogress.Load(ctx, db.Read, shard)
			if err != nil || !slices.Equal(got, w) {
				t.Fatalf("shard %d: %v, %v; want %v", shard, got, err, w)
			}
		}
	})
}
