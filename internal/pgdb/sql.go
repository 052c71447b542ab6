package pgdb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// idleConn is how long a connection of OpenSQL waits for more work before it is closed.
const idleConn = time.Minute

// OpenSQL is Open for code that is written for package database/sql with a question mark for each parameter, as SQLite
// takes them, and so runs on both. Slices go in as arrays. Its connections look for names in the schema only, and are
// made when they are needed: nothing is tried now.
func OpenSQL(address, schema string, o Options) (*sql.DB, error) {
	cfg, err := pgx.ParseConfig(address)
	if err != nil {
		return nil, err
	}
	configure(cfg, o)
	cfg.RuntimeParams["search_path"] = pgx.Identifier{schema}.Sanitize()
	cfg.Tracer = o.Tracer
	var opts []stdlib.OptionOpenDB
	if !o.AllowVolatile {
		opts = append(opts, stdlib.OptionAfterConnect(checkDurable))
	}
	db := sql.OpenDB(questions{stdlib.GetConnector(*cfg, opts...)})
	conns := o.MaxConns
	if conns == 0 {
		conns = defaultConns
	}
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	db.SetConnMaxIdleTime(idleConn)
	return db, nil
}

// questions makes connections that take question marks.
type questions struct{ driver.Connector }

func (q questions) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := q.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return questionConn{c.(*stdlib.Conn)}, nil
}

type questionConn struct{ *stdlib.Conn }

// Prepare implements driver.Conn.
func (c questionConn) Prepare(query string) (driver.Stmt, error) {
	return c.Conn.Prepare(numbered(query))
}

// PrepareContext implements driver.ConnPrepareContext.
func (c questionConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	return c.Conn.PrepareContext(ctx, numbered(query))
}

// ExecContext implements driver.ExecerContext.
func (c questionConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	return c.Conn.ExecContext(ctx, numbered(query), args)
}

// QueryContext implements driver.QueryerContext.
func (c questionConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	return c.Conn.QueryContext(ctx, numbered(query), args)
}

// numbered writes the question marks outside of quotes as $1, $2, …
func numbered(query string) string {
	if !strings.Contains(query, "?") {
		return query
	}
	var b strings.Builder
	b.Grow(len(query) + 16)
	n, quote := 0, byte(0)
	for i := range len(query) {
		c := query[i]
		switch {
		case quote != 0:
			if c == quote { // a doubled one opens again at once
				quote = 0
			}
		case c == '\'' || c == '"':
			quote = c
		case c == '?':
			n++
			b.WriteByte('$')
			b.WriteString(strconv.Itoa(n))
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}
