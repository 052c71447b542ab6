package timescale_test

import (
	"fmt"
	"strings"
	"testing"

	"auditlog/eventstore/timescale"
	"auditlog/internal/pgdb"
)

// The service can add events and read them; whatever else it tries, the database refuses, on the table and on the
// chunk or partition beneath it.
func TestRoles(t *testing.T) {
	eachTier(t, func(t *testing.T, tier timescale.Tier) {
		w := newWorld(t, timescale.Layout{Tier: tier})
		s := w.open(t, timescale.Config{})
		tenant := newTenant(t, s)
		mustAppend(t, s, flushOf(tenant, drafts(3, 40)...))
		before := checkLog(t, s, tenant.Shard)
		var chunk string
		if err := connect(t, w.owner).QueryRow(t.Context(), `SELECT tableoid::regclass::text FROM auditlog.events LIMIT 1`).Scan(&chunk); err != nil {
			t.Fatal(err)
		}
		for _, role := range []struct {
			name, address string
			mayDelete     bool
		}{{"service", w.service, false}, {"lifecycle", w.lifecycle, true}} {
			conn := connect(t, role.address)
			for _, table := range []string{"auditlog.events", chunk} {
				refused := []string{
					`UPDATE %s SET public = 'x'`,
					`TRUNCATE %s`,
					`DROP TABLE %s`,
					`ALTER TABLE %s ADD COLUMN x integer`,
					`CREATE TRIGGER x BEFORE INSERT ON %s FOR EACH ROW EXECUTE FUNCTION pg_catalog.suppress_redundant_updates_trigger()`,
					`COPY %s FROM '/etc/passwd'`,
					`COPY %s FROM PROGRAM 'true'`,
				}
				if !role.mayDelete || table == chunk && tier == timescale.Plain {
					refused = append(refused, `DELETE FROM %s`)
				}
				for _, sql := range refused {
					sql = fmt.Sprintf(sql, table)
					if _, err := conn.Exec(t.Context(), sql); pgdb.State(err) != "42501" { // insufficient_privilege
						t.Errorf("%s: %s: %v", role.name, sql, err)
					}
				}
			}
			for _, sql := range []string{
				`DROP SCHEMA auditlog CASCADE`, `CREATE TABLE auditlog.x ()`, `GRANT UPDATE ON auditlog.events TO PUBLIC`, `ALTER SCHEMA auditlog RENAME TO x`,
				`UPDATE auditlog.idempotency SET position = 1`, `DELETE FROM auditlog.idempotency`, `DELETE FROM auditlog.removed`, `UPDATE auditlog.removed SET position = 1`,
				`DELETE FROM auditlog.tenants`, `DELETE FROM auditlog.heads`, `DELETE FROM auditlog.shards`, `DELETE FROM auditlog.purges`,
			} {
				if _, err := conn.Exec(t.Context(), sql); err == nil || pgdb.State(err) != "42501" {
					// A GRANT of what one does not hold is a warning, not an error.
					if !strings.HasPrefix(sql, "GRANT") || err != nil {
						t.Errorf("%s: %s: %v", role.name, sql, err)
					}
				}
			}
		}
		service := connect(t, w.service)
		for _, sql := range []string{`UPDATE auditlog.heads SET purged = 1`, `INSERT INTO auditlog.removed SELECT FROM auditlog.removed`, `DELETE FROM auditlog.about`} {
			if _, err := service.Exec(t.Context(), sql); pgdb.State(err) != "42501" {
				t.Errorf("service: %s: %v", sql, err)
			}
		}
		// COPY from the client is an insert: it cannot put a row in the place of one that is there.
		row := service.PgConn()
		out := new(strings.Builder)
		if _, err := row.CopyTo(t.Context(), out, `COPY (SELECT * FROM auditlog.events LIMIT 1) TO STDOUT`); err != nil {
			t.Fatal(err)
		}
		if _, err := row.CopyFrom(t.Context(), strings.NewReader(out.String()), `COPY auditlog.events FROM STDIN`); pgdb.State(err) != pgdb.UniqueViolation {
			t.Errorf("COPY of a row that is there: %v", err)
		}
		if after := checkLog(t, s, tenant.Shard); len(after) != len(before) {
			t.Errorf("%d events, there were %d", len(after), len(before))
		}
	})
}
