package timescale

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"auditlog/internal/pgdb"
)

// What the roles may do beyond reading. Neither owns anything; the list is whole: Migrate takes away all else.
var (
	serviceGrants = []string{
		`INSERT ON auditlog.events, auditlog.idempotency, auditlog.about, auditlog.shard_marks, auditlog.tenant_marks, auditlog.tenants, auditlog.heads`,
		`INSERT, DELETE ON auditlog.flushes`,
		`UPDATE ON auditlog.shards`,
		`UPDATE (position, "offset", recorded_at, previous_at) ON auditlog.heads`,
	}
	lifecycleGrants = []string{
		`INSERT, DELETE ON auditlog.events, auditlog.about, auditlog.flushes`,
		`INSERT ON auditlog.removed, auditlog.idempotency, auditlog.shard_marks, auditlog.tenant_marks`,
		`INSERT, UPDATE ON auditlog.purges`,
		`UPDATE ON auditlog.shards, auditlog.heads`,
		`EXECUTE ON FUNCTION auditlog.chunk_at(timestamptz), auditlog.drop_empty_chunk(timestamptz), auditlog.chunk_to_columns(timestamptz), auditlog.chunks_to_rows(timestamptz, timestamptz)`,
	}
)

// grant makes the privileges of the two roles exactly those listed above.
func (l Layout) grant(ctx context.Context, conn *pgx.Conn) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(7402, 4)`); err != nil {
			return err
		}
		for _, role := range []struct {
			name, password string
			grants         []string
		}{{l.Service, l.ServicePassword, serviceGrants}, {l.Lifecycle, l.LifecyclePassword, lifecycleGrants}} {
			if err := ensureRole(ctx, tx, role.name, role.password); err != nil {
				return err
			}
			to := pgx.Identifier{role.name}.Sanitize()
			statements := []string{
				`REVOKE ALL ON ALL TABLES IN SCHEMA auditlog FROM ` + to,
				`REVOKE ALL ON ALL FUNCTIONS IN SCHEMA auditlog FROM ` + to,
				`GRANT USAGE ON SCHEMA auditlog TO ` + to,
				`GRANT SELECT ON ALL TABLES IN SCHEMA auditlog TO ` + to,
				`GRANT EXECUTE ON FUNCTION auditlog.ensure_partition(timestamptz) TO ` + to,
			}
			for _, g := range role.grants {
				statements = append(statements, `GRANT `+g+` TO `+to)
			}
			if _, err := tx.Exec(ctx, strings.Join(statements, ";")); err != nil {
				return fmt.Errorf("grant to the role %s: %w", role.name, err)
			}
		}
		return nil
	})
}

// ensureRole creates a role that is missing. Roles belong to the whole server, so another database's migration may be
// creating the same one.
func ensureRole(ctx context.Context, tx pgx.Tx, role, password string) error {
	var there bool
	if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)`, role).Scan(&there); err != nil || there {
		return err
	}
	name := pgx.Identifier{role}.Sanitize()
	create := `CREATE ROLE ` + name + ` LOGIN`
	if password != "" {
		verifier, err := scramVerifier(password)
		if err != nil {
			return fmt.Errorf("the password of the role %s: %w", role, err)
		}
		create += ` PASSWORD '` + verifier + `'` // base64 and $: nothing to quote
	}
	err := pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error { // a savepoint
		_, err := tx.Exec(ctx, create)
		return err
	})
	if state := pgdb.State(err); err == nil || state == "42710" || state == pgdb.UniqueViolation { // it is there by now
		return nil
	}
	return fmt.Errorf("the role %s is missing and cannot be created here: have somebody who may run CREATE ROLE %s LOGIN PASSWORD '…': %w", role, name, err)
}
