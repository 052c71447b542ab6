package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"

	"auditlog/eventstore"
	"auditlog/internal/sqlitedb"
	"auditlog/migrations"
)

// Baseline inserts events into the store's own tables and does nothing else: the limit against which Append is
// measured. It keeps no promise of a store, and its file is not one.
type Baseline struct {
	db   *sqlitedb.DB
	conn *sql.Conn
	in   *inserter
	nos  map[eventstore.TenantID]int64
}

// OpenBaseline creates a file as Open does, with the same settings.
func OpenBaseline(path string) (*Baseline, error) {
	ctx := context.Background()
	db, err := sqlitedb.Open(ctx, path, sqlitedb.Options{Durable: true, CacheKiB: cacheKiB, SecureDelete: true, Migrations: migrations.SQLite("events")})
	if err != nil {
		return nil, err
	}
	b := &Baseline{db: db, nos: map[eventstore.TenantID]int64{}}
	if b.conn, err = db.Write.Conn(ctx); err == nil {
		b.in, err = newInserter(b.conn)
	}
	if err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// Insert adds rows with the places that the events carry, in one transaction.
func (b *Baseline) Insert(ctx context.Context, events []eventstore.Event) error {
	if _, err := b.conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	err := b.conn.Raw(func(any) error { return b.rows(events) })
	if err == nil {
		_, err = b.conn.ExecContext(ctx, "COMMIT")
	}
	if err != nil {
		_, undo := b.conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
		return errors.Join(err, undo)
	}
	return nil
}

func (b *Baseline) rows(events []eventstore.Event) error {
	return b.in.insert(&b.in.events, len(events), func(i int, v []driver.NamedValue) {
		e := &events[i]
		no, ok := b.nos[e.Tenant]
		if !ok {
			no = int64(len(b.nos) + 1)
			b.nos[e.Tenant] = no
		}
		v[0].Value, v[1].Value, v[2].Value, v[3].Value = int64(e.Offset), no, int64(e.Position), int64(e.RecordedAt)
		v[4].Value, v[5].Value, v[6].Value = e.ID[:], typeValue(e.Type), nil
		if !e.EntryID.IsZero() {
			v[6].Value = e.EntryID[:]
		}
		v[7].Value, v[8].Value = int64(e.Key.Epoch), int64(e.Key.Index)
		v[9].Value, v[10].Value = notNull(e.Public), orNull(e.Private)
	})
}

// Close closes the file.
func (b *Baseline) Close() error {
	var err error
	if b.in != nil {
		err = b.in.close(false)
	}
	return errors.Join(err, b.db.Close())
}
