package httpapi_test

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"auditlog/command"
	"auditlog/eventstore/timescale"
	"auditlog/internal/pgdb/pgtest"
	"auditlog/keyring"
	keyfile "auditlog/keyring/file"
	"auditlog/transport/httpapi"
)

// TestDatabaseDiesMidBulk is row I6: a bulk whose statement is under way when the database dies is answered 503 with
// Retry-After; the same bulk again, when it is back, stores each entry once. The row's "overloaded" stands for its kind of
// answer: here it is unavailable, since overloaded promises that nothing was stored, and a commit that was cut leaves
// that unknown.
func TestDatabaseDiesMidBulk(t *testing.T) {
	w := newWorld(t, httpapi.Config{})
	ctx := t.Context()
	address := pgtest.Database(t)
	must(timescale.Migrate(ctx, address, timescale.Layout{Shards: 2, Tier: timescale.Plain}))(t)
	store := must(timescale.Open(ctx, timescale.Config{Address: address}))(t)
	life := must(timescale.OpenLifecycle(ctx, timescale.Config{Address: address}))(t)
	ring := keyring.New(must(keyfile.Open(t.TempDir()+"/keys"))(t), keyring.Options{})
	appender := command.NewAppender(store, store.Shards(), command.AppenderOptions{})
	commands := command.New(store, life, ring, appender, command.Options{})
	tenant := must(commands.CreateTenant(ctx, command.Caller{Sub: "test"}, command.NewTenant{Slug: "t", Name: "T", RetentionDays: 396}))(t)
	t.Cleanup(func() {
		down, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		if err := appender.Close(down); err != nil {
			t.Error(err)
		}
		_ = life.Close()
		_ = store.Close()
		_ = ring.Close()
	})
	w.over(commands, w.queries, httpapi.Config{HandlerTimeout: 5 * time.Second})
	body := `{"entries":[` + strings.Join(keyed(100), ",") + `]}`
	bulk := call{method: "POST", path: "/api/v1/logs/bulk", token: w.tokenOf(tenant.ID.String(), "writer"), body: body}

	db := killer(t, address)
	release := db.hold()
	answer := make(chan reply, 1)
	go func() { answer <- w.do(bulk) }()
	eventually(t, "the statement is under way", db.waits)
	db.die()
	release()
	got := <-answer
	if got.status != 503 || got.slug() != "unavailable" || got.header.Get("Retry-After") == "" {
		t.Errorf("while the database is down: %d %v %s", got.status, got.header, got.body)
	}
	checkProblem(t, "mid-bulk", got)

	db.back()
	eventually(t, "the bulk is taken", func() bool {
		got = w.do(bulk)
		return got.status == 201
	})
	again := w.do(bulk)
	if again.status != 201 || strings.Count(again.body, `"replayed":true`) != 100 {
		t.Errorf("once more: %d %.300s", again.status, again.body)
	}
	if head := must(store.Head(ctx, tenant.ID))(t); head.Position != 101 {
		t.Errorf("position %d after a tenant's creation and 100 entries", head.Position)
	}
}

// keyed are entries with idempotency keys.
func keyed(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf(`{"idempotency_key":"k%d",`, i) + goodEntry[1:]
	}
	return all
}

// victim is a database that a test takes down, from beside it.
type victim struct {
	t       *testing.T
	address string
	name    string
	beside  *pgx.Conn
}

func killer(t *testing.T, address string) *victim {
	u := must(url.Parse(address))(t)
	v := &victim{t: t, address: address, name: strings.TrimPrefix(u.Path, "/")}
	v.beside = must(pgx.Connect(t.Context(), pgtest.Server(t)))(t)
	t.Cleanup(func() { _ = v.beside.Close(context.WithoutCancel(t.Context())) })
	return v
}

func (v *victim) exec(sql string) {
	v.t.Helper()
	if _, err := v.beside.Exec(v.t.Context(), sql); err != nil {
		v.t.Fatal(err)
	}
}

// hold keeps appends waiting until it is called off or dies.
func (v *victim) hold() (release func()) {
	v.t.Helper()
	conn := must(pgx.Connect(v.t.Context(), v.address))(v.t)
	if _, err := conn.Exec(v.t.Context(), `BEGIN; LOCK TABLE auditlog.shards IN ACCESS EXCLUSIVE MODE`); err != nil {
		v.t.Fatal(err)
	}
	return func() { _ = conn.Close(context.WithoutCancel(v.t.Context())) }
}

// waits tells whether a statement waits for the hold.
func (v *victim) waits() (yes bool) {
	v.t.Helper()
	err := v.beside.QueryRow(v.t.Context(), `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = $1 AND wait_event_type = 'Lock')`, v.name).Scan(&yes)
	if err != nil {
		v.t.Fatal(err)
	}
	return yes
}

func (v *victim) die() {
	v.t.Helper()
	v.exec(`ALTER DATABASE ` + v.name + ` WITH ALLOW_CONNECTIONS false`)
	v.exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '` + v.name + `'`)
}

func (v *victim) back() {
	v.t.Helper()
	v.exec(`ALTER DATABASE ` + v.name + ` WITH ALLOW_CONNECTIONS true`)
}
