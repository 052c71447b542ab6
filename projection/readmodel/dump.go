package readmodel

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
)

// DumpMarks selects for Dump what all tables share. Tenants without anything are left out: a rebuild may not meet them.
const DumpMarks = `SELECT 'purged', hex(id), purged FROM tenants WHERE purged > 0
	UNION ALL SELECT 'erased', hex(n.id), e.position FROM erased e JOIN tenants n ON n.no = e.tenant
	ORDER BY 1, 2, 3`

// Dump writes the rows of queries as lines of values separated by tabs, all read from one state of the tables.
func Dump(ctx context.Context, db *sql.DB, w io.Writer, queries ...string) (err error) {
	tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return fmt.Errorf("dump: %w", err)
	}
	defer func() { err = errors.Join(err, ignoreDone(tx.Rollback())) }()
	b := bufio.NewWriter(w)
	for _, q := range queries {
		if err := dump(ctx, tx, b, q); err != nil {
			return fmt.Errorf("dump: %w", err)
		}
	}
	return b.Flush()
}

func dump(ctx context.Context, tx *sql.Tx, w io.Writer, query string) (err error) {
	rows, err := tx.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	values, into := make([]any, len(columns)), make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		for i, v := range values {
			sep := "\t"
			if i == len(values)-1 {
				sep = "\n"
			}
			if _, err := fmt.Fprint(w, v, sep); err != nil {
				return err
			}
		}
	}
	return rows.Err()
}
