package pgdb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// Versions of a schema that do not fit.
var (
	ErrNewer = errors.New("the database's schema is newer than this program")
	ErrOlder = errors.New("the database's schema is not there or older than this program: run auditlog migrate")
)

// Schema is a part's place in a database: a schema of its own, in which goose keeps its list of migrations.
type Schema struct {
	Name  string // of the schema
	Files fs.FS  // numbered goose files
}

const versionTable = "schema_versions"

// migrationTimeout bounds one statement of a migration.
const migrationTimeout = 10 * time.Minute

// Migrate brings the schema up to date, as the role that is to own it. Several processes may call it at once: a lock of
// the session makes them wait for each other. params are settings of its connections, which migrations read by
// current_setting.
func (s Schema) Migrate(ctx context.Context, address string, params map[string]string) error {
	cfg, err := pgx.ParseConfig(address)
	if err != nil {
		return err
	}
	configure(cfg, Options{StatementTimeout: migrationTimeout, Params: params})
	db := stdlib.OpenDB(*cfg)
	defer db.Close()
	if err := s.create(ctx, cfg); err != nil {
		return err
	}
	locker, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectPostgres, db, s.Files, goose.WithTableName(s.Name+"."+versionTable), goose.WithSessionLocker(locker))
	if err != nil {
		return err
	}
	if have, want, err := p.GetVersions(ctx); err == nil && have > want {
		return newer(have, want)
	}
	_, err = p.Up(ctx)
	return err
}

// create makes the schema, one process after the other: CREATE SCHEMA IF NOT EXISTS races with itself.
func (s Schema) create(ctx context.Context, cfg *pgx.ConnConfig) error {
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return explain(cfg, err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_catalog.pg_advisory_xact_lock(7402, 2)`); err != nil {
			return err
		}
		var there bool // with it, the role needs no right to create one
		if err := tx.QueryRow(ctx, `SELECT to_regnamespace($1) IS NOT NULL`, pgx.Identifier{s.Name}.Sanitize()).Scan(&there); err != nil || there {
			return err
		}
		_, err := tx.Exec(ctx, `CREATE SCHEMA `+pgx.Identifier{s.Name}.Sanitize())
		if State(err) == Forbidden {
			err = fmt.Errorf("the role %q may not create the schema %s: give it the database's CREATE privilege, or make it the database's owner: %w", cfg.User, s.Name, err)
		}
		return err
	})
}

// Check refuses a schema that is not the one that this program was built with.
func (s Schema) Check(ctx context.Context, q interface {
	QueryRow(context.Context, string, ...any) pgx.Row
},
) error {
	want, err := s.newest()
	if err != nil {
		return err
	}
	var have int64
	err = q.QueryRow(ctx, `SELECT max(version_id) FROM `+pgx.Identifier{s.Name, versionTable}.Sanitize()).Scan(&have)
	switch state := State(err); {
	case state == "42P01" || state == "3F000" || state == Forbidden: // no such table or schema, or none for this role
		return fmt.Errorf("%w (schema %s: %w)", ErrOlder, s.Name, err)
	case err != nil:
		return err
	case have > want:
		return newer(have, want)
	case have < want:
		return fmt.Errorf("%w (it has version %d, the program %d)", ErrOlder, have, want)
	}
	return nil
}

func newer(have, want int64) error {
	return fmt.Errorf("%w: it has version %d, the program knows %d; run the newer program", ErrNewer, have, want)
}

// newest is the number of the last migration.
func (s Schema) newest() (last int64, err error) {
	names, err := fs.Glob(s.Files, "*.sql")
	for _, name := range names {
		n, err := goose.NumericComponent(name)
		if err != nil {
			return 0, err
		}
		last = max(last, n)
	}
	return last, err
}
