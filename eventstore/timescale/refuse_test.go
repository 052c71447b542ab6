package timescale_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"auditlog/eventstore/timescale"
	"auditlog/internal/fault"
	"auditlog/internal/pgdb"
	"auditlog/internal/pgdb/pgtest"
	"auditlog/migrations"
)

// A database that is not ready, or may lose what it acknowledges, is refused before anything is served.
func TestOpenRefuses(t *testing.T) {
	ctx := t.Context()
	empty := pgtest.Database(t)
	if _, err := timescale.Open(ctx, timescale.Config{Address: empty}); !errors.Is(err, pgdb.ErrOlder) {
		t.Errorf("a database that was not migrated: %v", err)
	}
	w := newWorld(t, timescale.Layout{})
	name := strings.TrimPrefix(must(url.Parse(w.owner)).Path, "/")
	owner := connect(t, w.owner)
	for _, scope := range []string{`DATABASE ` + name, `ROLE auditlog_service IN DATABASE ` + name} {
		if _, err := owner.Exec(ctx, `ALTER `+scope+` SET synchronous_commit = off`); err != nil {
			t.Fatal(err)
		}
		if _, err := timescale.Open(ctx, timescale.Config{Address: w.service}); !errors.Is(err, pgdb.ErrNotDurable) || !strings.Contains(err.Error(), "synchronous_commit") {
			t.Errorf("%s without synchronous commit: %v", scope, err)
		}
		if _, err := owner.Exec(ctx, `ALTER `+scope+` RESET synchronous_commit`); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := timescale.Open(ctx, timescale.Config{Address: w.service}); err != nil {
		t.Fatalf("with synchronous commit again: %v", err)
	}
	if _, err := owner.Exec(ctx, `INSERT INTO auditlog.schema_versions (version_id, is_applied) VALUES (999, true)`); err != nil {
		t.Fatal(err)
	}
	if _, err := timescale.Open(ctx, timescale.Config{Address: w.service}); !errors.Is(err, pgdb.ErrNewer) {
		t.Errorf("a newer schema: %v", err)
	}
	if _, err := timescale.Migrate(ctx, w.owner, timescale.Layout{}); !errors.Is(err, pgdb.ErrNewer) {
		t.Errorf("migration of a newer schema: %v", err)
	}
}

// A statement that takes too long fails as such, and what it held is free again.
func TestStatementTimeout(t *testing.T) {
	w := newWorld(t, timescale.Layout{})
	s := w.open(t, timescale.Config{StatementTimeout: 200 * time.Millisecond})
	tenant := newTenant(t, s)
	tx, err := connect(t, w.service).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `SELECT FROM auditlog.shards WHERE shard = $1 FOR UPDATE`, tenant.Shard); err != nil {
		t.Fatal(err)
	}
	f := flushOf(tenant, drafts(2, 40)...)
	if _, err := s.Append(t.Context(), f); !fault.Is(err, fault.Unavailable) {
		t.Errorf("an append behind a stuck one: %v", err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := mustAppend(t, s, f); got[1].Position != 3 {
		t.Errorf("the same flush again: %+v", got)
	}
}

func TestMigrateManyAtOnceDownAndUp(t *testing.T) {
	eachTier(t, func(t *testing.T, tier timescale.Tier) {
		address := pgtest.Database(t)
		failed := make(chan error, 4)
		for range cap(failed) {
			go func() {
				got, err := timescale.Migrate(t.Context(), address, timescale.Layout{Tier: tier, Shards: 4})
				if err == nil && got != tier {
					err = errors.New("tier " + string(got))
				}
				failed <- err
			}()
		}
		for range cap(failed) {
			if err := <-failed; err != nil {
				t.Error(err)
			}
		}
		rehearse(t, address)
		if _, err := timescale.Migrate(t.Context(), address, timescale.Layout{Tier: tier}); err != nil {
			t.Fatal(err)
		}
		s, err := timescale.Open(t.Context(), timescale.Config{Address: address})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if s.Shards() != 4 || s.Tier() != tier {
			t.Errorf("%d shards on tier %s", s.Shards(), s.Tier())
		}
	})
}

// rehearse takes the migrations down and up again, one by one.
func rehearse(t *testing.T, address string) {
	t.Helper()
	p, done := migrator(t, address)
	defer done()
	if _, err := p.DownTo(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	for range p.ListSources() {
		if _, err := p.UpByOne(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// migrator runs single migrations, as an owner whose search path is empty.
func migrator(t *testing.T, address string) (p *goose.Provider, done func()) {
	t.Helper()
	cfg := must(pgx.ParseConfig(address))
	cfg.RuntimeParams = map[string]string{"auditlog.shards": "4", "auditlog.span": "1 day", "search_path": ""}
	db := stdlib.OpenDB(*cfg)
	p = must(goose.NewProvider(goose.DialectPostgres, db, migrations.Postgres("events"), goose.WithTableName("auditlog.schema_versions")))
	return p, func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
