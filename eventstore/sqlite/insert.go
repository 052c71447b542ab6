package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
)

// A statement is prepared for each of these numbers of rows: many rows in one step cost less than many steps.
var chunks = [...]int{64, 8, 1}

const (
	eventCols = 11
	keyCols   = 4
	aboutCols = 4
	maxArgs   = 64 * eventCols
)

// table is a multi-row INSERT.
type table struct {
	cols  int
	stmts [len(chunks)]driver.StmtExecContext
}

// inserter fills the tables of the hot path through the driver itself: database/sql would look at each of the 11,000
// values of a flush on its own. Statements live as long as the connection. Owned by whoever holds the writer's lock.
type inserter struct {
	conn   *sql.Conn
	events table
	keys   table
	abouts table
	flush  driver.StmtExecContext
	prune  driver.StmtExecContext
	args   [maxArgs]driver.NamedValue
	opened []driver.Stmt
}

func newInserter(conn *sql.Conn) (*inserter, error) {
	in := &inserter{conn: conn}
	for i := range in.args {
		in.args[i].Ordinal = i + 1
	}
	err := conn.Raw(func(dc any) error {
		prep, ok := dc.(driver.ConnPrepareContext)
		if !ok {
			return fmt.Errorf("driver connection %T does not prepare statements", dc)
		}
		var err error
		if in.flush, err = in.prepare(prep, `INSERT INTO flushes (seq, id, statuses) VALUES (?, ?, ?)`); err != nil {
			return err
		}
		if in.prune, err = in.prepare(prep, `DELETE FROM flushes WHERE seq <= ?`); err != nil {
			return err
		}
		return cmp.Or(
			in.prepareTable(&in.events, prep, eventCols, `INSERT INTO events
				("offset", tenant, position, recorded_at, id, type, entry_id, key_epoch, key_index, public, private) VALUES `),
			in.prepareTable(&in.keys, prep, keyCols, `INSERT INTO idempotency (tenant, token, fingerprint, position) VALUES `),
			in.prepareTable(&in.abouts, prep, aboutCols, `INSERT INTO about (tenant, entry, position, erasure) VALUES `),
		)
	})
	return in, err
}

func (in *inserter) prepareTable(t *table, conn driver.ConnPrepareContext, cols int, head string) error {
	t.cols = cols
	row := "(?" + strings.Repeat(",?", cols-1) + ")"
	for i, n := range chunks {
		var err error
		if t.stmts[i], err = in.prepare(conn, head+row+strings.Repeat(","+row, n-1)); err != nil {
			return err
		}
	}
	return nil
}

// close ends the statements and the connection; broken: it must not go back to the pool.
func (in *inserter) close(broken bool) error {
	err := in.conn.Raw(func(any) error {
		var errs []error
		for _, st := range in.opened {
			errs = append(errs, st.Close())
		}
		if broken {
			return driver.ErrBadConn
		}
		return errors.Join(errs...)
	})
	if broken {
		return nil // the connection is closed, whatever it said
	}
	return errors.Join(err, in.conn.Close())
}

// insert adds n rows; row fills in the values of the i-th. It runs inside the open transaction, inside conn.Raw.
func (in *inserter) insert(t *table, n int, row func(i int, v []driver.NamedValue)) error {
	for i := 0; i < n; {
		c := 0
		for chunks[c] > n-i {
			c++
		}
		size := chunks[c]
		args := in.args[:size*t.cols]
		for j := range size {
			row(i+j, args[j*t.cols:(j+1)*t.cols])
		}
		if _, err := t.stmts[c].ExecContext(context.Background(), args); err != nil {
			return err
		}
		i += size
	}
	return nil
}

// one executes a statement of one row.
func (in *inserter) one(st driver.StmtExecContext, values ...any) error {
	args := in.args[:len(values)]
	for i, v := range values {
		args[i].Value = v
	}
	_, err := st.ExecContext(context.Background(), args)
	return err
}

func (in *inserter) prepare(conn driver.ConnPrepareContext, query string) (driver.StmtExecContext, error) {
	st, err := conn.PrepareContext(context.Background(), query)
	if err != nil {
		return nil, err
	}
	in.opened = append(in.opened, st)
	ex, ok := st.(driver.StmtExecContext)
	if !ok {
		return nil, fmt.Errorf("driver statement %T does not execute", st)
	}
	return ex, nil
}

// notNull is b with an empty blob in place of none.
func notNull(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// orNull is b, or NULL in place of an empty one.
func orNull(b []byte) any {
	if len(b) == 0 {
		return nil
	}
	return b
}
