package pgdb

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Grant lets a role use and read the schema and gives it the privileges, each as GRANT takes it without TO, e.g. "INSERT
// ON schema.table"; all else it loses. It runs as the schema's owner, any number of times. A role that is missing is
// created without login.
func (s Schema) Grant(ctx context.Context, address, role string, privileges ...string) error {
	conn, err := Connect(ctx, address, Options{StatementTimeout: migrationTimeout})
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_catalog.pg_advisory_xact_lock(7402, 4)`); err != nil {
			return err
		}
		if err := ensureRole(ctx, tx, role); err != nil {
			return err
		}
		name, to := pgx.Identifier{s.Name}.Sanitize(), pgx.Identifier{role}.Sanitize()
		statements := []string{
			`REVOKE ALL ON ALL TABLES IN SCHEMA ` + name + ` FROM ` + to,
			`GRANT USAGE ON SCHEMA ` + name + ` TO ` + to,
			`GRANT SELECT ON ALL TABLES IN SCHEMA ` + name + ` TO ` + to,
		}
		for _, p := range privileges {
			statements = append(statements, `GRANT `+p+` TO `+to)
		}
		if _, err := tx.Exec(ctx, strings.Join(statements, ";")); err != nil {
			return fmt.Errorf("grant to the role %s: %w", role, err)
		}
		return nil
	})
}

// ensureRole creates a role that is missing. Roles belong to the whole server, so another database's migration may be
// creating the same one.
func ensureRole(ctx context.Context, tx pgx.Tx, role string) error {
	var there bool
	err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = $1)`, role).Scan(&there)
	if err != nil || there {
		return err
	}
	err = pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error { // a savepoint
		_, err := tx.Exec(ctx, `CREATE ROLE `+pgx.Identifier{role}.Sanitize())
		return err
	})
	if state := State(err); err == nil || state == "42710" || state == UniqueViolation { // it is there by now
		return nil
	}
	return fmt.Errorf("the role %s is missing and cannot be created: %w", role, err)
}
