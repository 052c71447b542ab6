package timescale_test

import (
	"context"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"auditlog/eventstore/timescale"
	"auditlog/internal/pgdb/pgtest"
)

// Roles that are missing are made with the passwords that their addresses have, and log in with these alone.
func TestMigrateMakesRolesWithPasswords(t *testing.T) {
	own := pgtest.NewOwn(t)
	admin := connect(t, own.URL)
	var hba string
	if err := admin.QueryRow(t.Context(), `SHOW hba_file`).Scan(&hba); err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{
		`COPY (VALUES ('host all postgres all trust'), ('host all all all scram-sha-256')) TO '` + hba + `'`,
		`SELECT pg_reload_conf()`,
		`CREATE DATABASE audit`,
	} {
		if _, err := admin.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	as := func(role, password string) string {
		u := must(url.Parse(own.URL))
		u.User, u.Path = url.UserPassword(role, password), "/audit"
		return u.String()
	}
	const odd = `it's "odd" $1 \ ünïcode`
	l := timescale.Layout{Service: "app", Lifecycle: "Reaper", ServicePassword: "right", LifecyclePassword: odd}
	if _, err := timescale.Migrate(t.Context(), as("postgres", ""), l); err != nil {
		t.Fatal(err)
	}
	l.ServicePassword = "another" // the role is there: it keeps the first
	if _, err := timescale.Migrate(t.Context(), as("postgres", ""), l); err != nil {
		t.Fatal(err)
	}
	s, err := timescale.Open(t.Context(), timescale.Config{Address: as("app", "right")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	mustAppend(t, s, flushOf(newTenant(t, s), drafts(2, 40)...))
	life, err := timescale.OpenLifecycle(t.Context(), timescale.Config{Address: as("Reaper", odd)})
	if err != nil {
		t.Fatal(err)
	}
	defer life.Close()
	for _, password := range []string{"another", "", "hunter2"} {
		_, err := timescale.Open(t.Context(), timescale.Config{Address: as("app", password)})
		wantLine(t, "the password "+password, err, `refuses the password of the role "app"`)
	}
}

// wantLine wants an error that says something in one line, without a password.
func wantLine(t *testing.T, what string, err error, text string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) || strings.ContainsAny(err.Error(), "\n\r") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%s: %v; want a line with %q", what, err, text)
	}
}

// Whatever a deployment gets wrong is one line that says what and what to do.
func TestMigrateAndOpenSayWhatIsWrong(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t, timescale.Layout{})
	admin := connect(t, w.owner)
	service := must(url.Parse(w.service))
	database := strings.TrimPrefix(service.Path, "/")
	without := "auditlog_test_" + strings.TrimPrefix(database, "test_")
	exec := func(sql string) {
		t.Helper()
		if _, err := admin.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	exec(`CREATE ROLE ` + without)
	t.Cleanup(func() { dropRole(t, without) })

	for _, c := range []struct {
		what, text string
		change     func(*url.URL)
	}{
		{"a wrong port", "no connection to PostgreSQL at 127.0.0.1:1: ", func(u *url.URL) { u.Host = "127.0.0.1:1" }},
		{"two wrong hosts", "no connection to PostgreSQL at ", func(u *url.URL) { u.Host = "127.0.0.1:1,127.0.0.2:1" }},
		{"a wrong host", "no connection to PostgreSQL at no.invalid:5432: ", func(u *url.URL) { u.Host = "no.invalid:5432" }},
		{"no such role", `role "nobody_of_that_name" does not exist`, func(u *url.URL) { u.User = url.UserPassword("nobody_of_that_name", "hunter2") }},
		{"a role without login", `run ALTER ROLE "` + without + `" LOGIN PASSWORD`, func(u *url.URL) { u.User = url.UserPassword(without, "hunter2") }},
		{"a wrong database", `has no database "nothing_of_that_name": create it`, func(u *url.URL) { u.Path = "/nothing_of_that_name" }},
		{"TLS that the server lacks", "no connection to PostgreSQL", func(u *url.URL) { u.RawQuery = "sslmode=require" }},
		{"a wrong CA file", "/no/ca.pem", func(u *url.URL) { u.RawQuery = "sslmode=verify-full&sslrootcert=/no/ca.pem" }},
		{"a wrong address", "sslmode is invalid", func(u *url.URL) { u.User, u.RawQuery = url.UserPassword("a", "hunter2"), "sslmode=perhaps" }},
	} {
		u := must(url.Parse(w.service))
		c.change(u)
		_, err := timescale.Open(ctx, timescale.Config{Address: u.String()})
		wantLine(t, c.what, err, c.text)
		_, err = timescale.Migrate(ctx, u.String(), timescale.Layout{})
		wantLine(t, "migrate: "+c.what, err, c.text)
	}

	_, err := timescale.Open(ctx, timescale.Config{Address: pgtest.As(t, pgtest.Database(t), "auditlog_service")})
	wantLine(t, "no schema", err, "run auditlog migrate")

	owner := pgtest.As(t, pgtest.Database(t), without)
	_, err = timescale.Migrate(ctx, owner, timescale.Layout{Tier: timescale.Plain})
	wantLine(t, "an owner that may not create", err, "may not create the schema auditlog: give it the database's CREATE privilege")
	_, err = timescale.Migrate(ctx, owner, timescale.Layout{})
	wantLine(t, "an owner that may not extend", err, "may not create the extension: give it")
	exec(`ALTER DATABASE ` + strings.TrimPrefix(must(url.Parse(owner)).Path, "/") + ` OWNER TO ` + without)
	_, err = timescale.Migrate(ctx, owner, timescale.Layout{Tier: timescale.Plain, Service: "nobody_of_that_name"})
	wantLine(t, "an owner that may not create roles", err, "the role nobody_of_that_name is missing and cannot be created here")
	// With the roles there the database's owner needs no more.
	if tier, err := timescale.Migrate(ctx, owner, timescale.Layout{Tier: timescale.Plain}); err != nil || tier != timescale.Plain {
		t.Errorf("%s, %v", tier, err)
	}
	_, err = timescale.Migrate(ctx, owner, timescale.Layout{Tier: timescale.Apache})
	wantLine(t, "another tier than the first", err, "the database is of tier plain, not apache")
	_, err = timescale.Migrate(ctx, w.owner, timescale.Layout{Tier: timescale.Community})
	wantLine(t, "an edition that the server is not", err, "of tier apache, not community")

	extended := pgtest.As(t, pgtest.Database(t), without)
	exec(`ALTER DATABASE ` + strings.TrimPrefix(must(url.Parse(extended)).Path, "/") + ` OWNER TO ` + without)
	if tier, err := timescale.Migrate(ctx, extended, timescale.Layout{}); err != nil || tier != timescale.Apache {
		t.Errorf("%s, %v", tier, err)
	}
	life, err := timescale.OpenLifecycle(ctx, timescale.Config{Address: strings.Replace(extended, without, "auditlog_lifecycle", 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer life.Close()
	tend(t, life, timescale.Tended{})
}

func dropRole(t *testing.T, role string) {
	t.Helper()
	ctx := context.Background() // the test's has ended
	conn, err := pgx.Connect(ctx, pgtest.Server(t))
	if err == nil {
		defer conn.Close(ctx)
		_, err = conn.Exec(ctx, `DROP ROLE `+role)
	}
	if err != nil {
		t.Error(err)
	}
}
