package readmodel_test

import (
	"context"
	"database/sql"
	"io"
	"testing"

	"auditlog/eventstore"
	"auditlog/internal/sqlitedb"
	"auditlog/projection"
	"auditlog/projection/projtest"
	"auditlog/projection/readmodel"
)

// bare is a generation of nothing but its tables.
type bare struct{ *readmodel.DB }

func (bare) Apply(context.Context, projection.Envelope) error { return nil }

func (bare) Reapply(context.Context, projection.Envelope) error { return nil }

func (bare) Digest(context.Context, io.Writer) error { return nil }

func (bare) Progress(context.Context, eventstore.Shard) (projection.Ranges, error) { return nil, nil }

// A reader's transaction sees one state, whatever is committed meanwhile, and can write nothing.
func TestReadersSeeOneState(t *testing.T) {
	projtest.Homes(t, func(t *testing.T, homes projtest.Maker) {
		live, err := readmodel.OpenLive(t.Context(), homes.New(t), "forget", nil, func(ctx context.Context, at readmodel.Place) (bare, error) {
			db, err := at.Open(ctx, sqlitedb.Options{})
			return bare{db}, err
		})
		if err != nil {
			t.Fatal(err)
		}
		defer live.Close()
		if err := live.Use(t.Context(), func(db bare) error { return readTwice(t, db.DB) }); err != nil {
			t.Error(err)
		}
	})
}

func readTwice(t *testing.T, db *readmodel.DB) error {
	tx, err := db.Read.BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	defer tx.Rollback()
	const insert = `INSERT INTO progress (shard, from_offset, to_offset) VALUES (?, ?, ?)`
	for range 2 {
		var n int
		if err := tx.QueryRowContext(t.Context(), `SELECT count(*) FROM progress`).Scan(&n); err != nil || n != 0 {
			t.Errorf("%d rows, %v", n, err)
		}
		if err := db.Tx(t.Context(), 0, func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, `DELETE FROM progress`)
			if err == nil {
				_, err = tx.ExecContext(ctx, insert, 0, 0, 1)
			}
			return err
		}); err != nil {
			return err
		}
	}
	if _, err := db.Read.ExecContext(t.Context(), insert, 0, 1, 2); err == nil {
		t.Error("a reader wrote")
	}
	return nil
}
