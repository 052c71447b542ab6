// Package pgdb opens PostgreSQL for the parts that keep data there: pools whose every connection is known to be durable
// and bounded in time, migrations that several processes may run at once, and errors with the kinds of package fault.
package pgdb

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Options of a pool. The zero value is what production uses.
type Options struct {
	MaxConns         int               // default 8
	StatementTimeout time.Duration     // a statement that takes longer fails; default 5 s
	Params           map[string]string // further settings of each connection
	AllowVolatile    bool              // no check of durability, for what can be made again
	Tracer           pgx.QueryTracer   // sees each statement; default none
}

// defaults of a connection: nothing waits for ever, and names are found only by their schema.
const (
	defaultConns     = 8
	defaultStatement = 5 * time.Second
	idleInTx         = 10 * time.Second
	connectTimeout   = 5 * time.Second
)

// Open makes a pool and one connection of it, so that a wrong address, password or setting shows now. The address is a
// URL or a keyword string as libpq takes it; what the environment says (PGPASSWORD, PGSSLROOTCERT, …) counts too.
func Open(ctx context.Context, address string, o Options) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(address)
	if err != nil {
		return nil, err // pgx leaves the password out
	}
	cfg.MaxConns = int32(o.MaxConns)
	if o.MaxConns == 0 {
		cfg.MaxConns = defaultConns
	}
	configure(cfg.ConnConfig, o)
	cfg.ConnConfig.Tracer = o.Tracer
	if !o.AllowVolatile {
		cfg.AfterConnect = checkDurable
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, explain(cfg.ConnConfig, err)
	}
	return pool, nil
}

// Connect is one connection outside of any pool, with the same settings.
func Connect(ctx context.Context, address string, o Options) (*pgx.Conn, error) {
	cfg, err := pgx.ParseConfig(address)
	if err != nil {
		return nil, err
	}
	configure(cfg, o)
	conn, err := pgx.ConnectConfig(ctx, cfg)
	return conn, explain(cfg, err)
}

func configure(cfg *pgx.ConnConfig, o Options) {
	if o.StatementTimeout == 0 {
		o.StatementTimeout = defaultStatement
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = connectTimeout
	}
	p := cfg.RuntimeParams
	p["statement_timeout"] = millis(o.StatementTimeout)
	p["idle_in_transaction_session_timeout"] = millis(idleInTx)
	maps.Copy(p, vanished)
	p["search_path"] = ""
	p["timezone"] = "UTC"
	p["jit"] = "off" // every statement is short: compiling it takes longer
	if p["application_name"] == "" {
		p["application_name"] = "auditlog"
	}
	maps.Copy(p, o.Params)
}

// vanished has the server end a connection, and its locks, within half a minute when its client is gone without a word. Its
// own setting is mostly that of its system, which is two hours.
var vanished = map[string]string{"tcp_keepalives_idle": "10", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "3"}

func millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// ErrNotDurable says that the server may lose what it acknowledged.
var ErrNotDurable = errors.New("the PostgreSQL server does not keep what it acknowledges")

// checkDurable refuses a connection whose commits a crash could take back.
func checkDurable(ctx context.Context, conn *pgx.Conn) error {
	return checkSettings(ctx, conn, "pg_catalog.pg_settings")
}

func checkSettings(ctx context.Context, conn *pgx.Conn, view string) error {
	rows, err := conn.Query(ctx, `
		SELECT name, setting FROM `+view+`
		WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit') AND setting = 'off' ORDER BY name`)
	if err != nil {
		return err
	}
	off, err := pgx.CollectRows(rows, pgx.RowToStructByPos[struct{ Name, Setting string }])
	if err != nil {
		return err
	}
	if len(off) > 0 {
		return fmt.Errorf("%w: %s is off; turn it on for this server, database and role", ErrNotDurable, off[0].Name)
	}
	return nil
}
