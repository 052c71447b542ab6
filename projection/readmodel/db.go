package readmodel

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"auditlog/eventstore"
	"auditlog/internal/pgdb"
	"auditlog/internal/sqlitedb"
	"auditlog/migrations"
	"auditlog/projection/generation"
	"auditlog/projection/sqlbulk"
)

// Place is where one generation's tables are: a file, or a schema on PostgreSQL.
type Place struct {
	name  string // of the projection
	path  string // of the file
	at    generation.At
	conns int // on PostgreSQL; 0: a file
}

// DB is the open tables of a generation. Write takes transactions; Read is for readers, whose transactions each see one
// state. Statements have question marks for parameters in both homes.
type DB struct {
	Write, Read *sql.DB

	at *generation.At // nil: a file
}

// Limits of statements on PostgreSQL, waiting for locks included.
const (
	writing = 30 * time.Second
	reading = 10 * time.Second
	alone   = 10 * time.Minute // what rebuilds do
)

// writerParams: whatever writers read they find by an index, few rows at a time. A plan that was made while a table was small
// would scan it for as long as the connection lives.
var writerParams = map[string]string{
	"synchronous_commit": "off", "idle_in_transaction_session_timeout": "60000",
	"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off",
}

// Open opens the tables; o is for files. On PostgreSQL a commit is not waited for until it is on disk: effect and range
// are lost together in a crash of the server, and the sweeper brings both back.
func (p Place) Open(ctx context.Context, o sqlitedb.Options) (*DB, error) {
	if p.conns == 0 {
		o.Migrations = migrations.SQLite(p.name)
		db, err := sqlitedb.Open(ctx, p.path, o)
		if err != nil {
			return nil, err
		}
		return &DB{Write: db.Write, Read: db.Read}, nil
	}
	limit := func(d time.Duration) time.Duration {
		if p.at.Alone {
			return alone
		}
		return d
	}
	write, err := pgdb.OpenSQL(p.at.Address, p.at.Schema, pgdb.Options{
		MaxConns: p.conns, StatementTimeout: limit(writing), AllowVolatile: true,
		Params: writerParams,
	})
	if err != nil {
		return nil, err
	}
	read, err := pgdb.OpenSQL(p.at.Address, p.at.Schema, pgdb.Options{
		MaxConns: p.conns, StatementTimeout: limit(reading), AllowVolatile: true,
		Params: map[string]string{"default_transaction_isolation": "repeatable read", "default_transaction_read_only": "on"},
	})
	if err != nil {
		return nil, errors.Join(err, write.Close())
	}
	return &DB{Write: write, Read: read, at: &p.at}, nil
}

// Shared tells whether other processes may write the tables, too: they are on PostgreSQL.
func (db *DB) Shared() bool { return db.at != nil }

// Close closes all connections.
func (db *DB) Close() error { return errors.Join(db.Read.Close(), db.Write.Close()) }

// Insert is a statement for any number of rows of integers (sqlbulk).
func (db *DB) Insert(ctx context.Context, head string, width int, tail string) (*sqlbulk.Insert, error) {
	if db.Shared() {
		return sqlbulk.Arrays(head, width, tail), nil
	}
	return sqlbulk.Prepare(ctx, db.Write, head, width, tail)
}

// Tx runs a transaction that writes events of a shard, alone among all processes. On a file the end of ctx rolls it back
// and fails its next statement; statements are not watched one by one, which would cost each a goroutine. An error of do
// is Tx's.
func (db *DB) Tx(ctx context.Context, shard eventstore.Shard, do func(ctx context.Context, tx *sql.Tx) error) error {
	tx, err := db.Write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	within := ctx
	if db.Shared() {
		err = db.at.Enter(ctx, tx, shard)
	} else {
		within = context.WithoutCancel(ctx)
	}
	if err == nil {
		err = do(within, tx)
	}
	if err != nil {
		return errors.Join(err, ctx.Err(), ignoreDone(tx.Rollback()))
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// ignoreDone: a context that ended, or a connection that was lost, has ended the transaction already.
func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}
