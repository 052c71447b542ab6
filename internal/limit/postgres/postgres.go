// Package postgres keeps the ledger of shared rates in a PostgreSQL database: a row per busy key and one per process.
//
// A settlement is one statement, however many keys it is about. It takes the rows in the order of their keys, so that two
// processes never wait for each other, and goes by the database's clock alone. Nothing waits for the disk: the tables are
// unlogged, and empty after a crash of the server.
package postgres

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"auditlog/internal/limit"
	"auditlog/internal/pgdb"
	"auditlog/migrations"
)

func schema() pgdb.Schema {
	return pgdb.Schema{Name: "auditlog_limits", Files: migrations.Postgres("limits")}
}

// Prepare brings the database's schema up to date as the role that is to own it, and lets the service's role, which is
// created without login where it is missing, do what Open's Ledger does. It may run beside a service of the same version.
func Prepare(ctx context.Context, owner, service string) error {
	if err := schema().Migrate(ctx, owner, nil); err != nil {
		return err
	}
	return schema().Grant(ctx, owner, service, `INSERT, UPDATE, DELETE ON auditlog_limits.buckets, auditlog_limits.processes`)
}

// life is how long a process counts after it was heard last.
const life = 7 * time.Second

// rested is how long a row is kept for a bucket that is full.
const rested = time.Minute

// Ledger implements limit.Ledger for one process.
type Ledger struct {
	pool *pgxpool.Pool
	id   uuid.UUID
	name string
	once sync.Once

	swept time.Time // when rows were removed last; of the goroutine that beats
}

var _ limit.Ledger = (*Ledger)(nil)

// Open connects to a database that Prepare has prepared.
func Open(ctx context.Context, address string) (*Ledger, error) {
	pool, err := pgdb.Open(ctx, address, pgdb.Options{MaxConns: 1, StatementTimeout: time.Second, AllowVolatile: true})
	if err != nil {
		return nil, err
	}
	if err := schema().Check(ctx, pool); err != nil {
		pool.Close()
		return nil, err
	}
	host, _ := os.Hostname()
	return &Ledger{pool: pool, id: uuid.New(), name: fmt.Sprintf("%s/%d", cmp.Or(host, "?"), os.Getpid())}, nil
}

// Close closes the connection. A second Close does nothing.
func (l *Ledger) Close() error {
	l.once.Do(l.pool.Close)
	return nil
}

// Beat implements limit.Ledger.
func (l *Ledger) Beat(ctx context.Context) (processes int, err error) {
	if time.Since(l.swept) > rested {
		if _, err := l.pool.Exec(ctx, sweep, rested.Nanoseconds()); err != nil {
			return 0, err
		}
		l.swept = time.Now()
	}
	err = l.pool.QueryRow(ctx, `
		WITH me AS (
			INSERT INTO auditlog_limits.processes (id, name, expires_at) VALUES ($1, $2, clock_timestamp() + $3::interval)
			ON CONFLICT (id) DO UPDATE SET expires_at = EXCLUDED.expires_at
		), dead AS (
			DELETE FROM auditlog_limits.processes WHERE id <> $1 AND expires_at < clock_timestamp() - $3::interval
		)
		SELECT 1 + count(*) FROM auditlog_limits.processes WHERE id <> $1 AND expires_at > clock_timestamp()`,
		l.id, l.name, life).Scan(&processes)
	return processes, err
}

// nanos is the database's clock in ns since 1970.
const nanos = `(extract(epoch FROM clock_timestamp()) * 1000000)::bigint * 1000`

const sweep = `DELETE FROM auditlog_limits.buckets WHERE claimed_at < ` + nanos + ` - $1 AND full_at < ` + nanos + ` - $1`

// Leave implements limit.Ledger.
func (l *Ledger) Leave(ctx context.Context) error {
	_, err := l.pool.Exec(ctx, `DELETE FROM auditlog_limits.processes WHERE id = $1`, l.id)
	return err
}

// settle charges and leases. A bucket is full at now, and empty when full_at is two periods ahead; debts of more than two
// further periods, as after a step of the clock, are forgiven.
var settle = strings.NewReplacer("$now", nanos).Replace(`
	WITH claims AS (
		SELECT rule COLLATE "C", key, events, per, spent, wanted, (SELECT $now) AS now
		FROM unnest($1::text[], $2::bytea[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[]) AS c (rule, key, events, per, spent, wanted)
	)
	INSERT INTO auditlog_limits.buckets AS b (rule, key, full_at, claimed_at, events, per, spent, wanted, granted)
	SELECT rule, key, now + (spent + lot) * per / events, now, events, per, spent, wanted, lot
	FROM claims, greatest(0, least(wanted, (2 * per - spent * per / events) * events / per)) AS lot
	ORDER BY rule, key
	ON CONFLICT (rule, key) DO UPDATE SET (full_at, claimed_at, events, per, spent, wanted, granted) = (
		SELECT charged + lot * c.per / c.events, c.claimed_at, c.events, c.per, c.spent, c.wanted, lot
		FROM (SELECT EXCLUDED.*) AS c,
			least(greatest(b.full_at, c.claimed_at) + c.spent * c.per / c.events, c.claimed_at + 4 * c.per) AS charged,
			greatest(0, least(c.wanted, (c.claimed_at + 2 * c.per - charged) * c.events / c.per)) AS lot
	)
	RETURNING b.rule, b.key, b.granted`)

// Settle implements limit.Ledger.
func (l *Ledger) Settle(ctx context.Context, claims []limit.Claim) ([]int64, error) {
	n := len(claims)
	rules, keys := make([]string, n), make([][]byte, n)
	events, per, spent, wanted := make([]int64, n), make([]int64, n), make([]int64, n), make([]int64, n)
	place := make(map[string]int, n)
	for i, c := range claims {
		rules[i], keys[i], events[i], per[i], spent[i], wanted[i] = c.Rule, c.Key[:], c.Rate.Events, int64(c.Rate.Per), c.Spent, c.Want
		place[c.Rule+string(c.Key[:])] = i
	}
	rows, err := l.pool.Query(ctx, settle, rules, keys, events, per, spent, wanted)
	if err != nil {
		return nil, err
	}
	answers, err := pgx.CollectRows(rows, pgx.RowToStructByPos[struct {
		Rule    string
		Key     []byte
		Granted int64
	}])
	if err != nil {
		return nil, err
	}
	granted := make([]int64, n)
	for _, a := range answers {
		granted[place[a.Rule+string(a.Key)]] = a.Granted
	}
	return granted, nil
}
