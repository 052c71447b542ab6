// Package sqlbulk inserts many rows with few statements: for small rows a statement's own cost outweighs the row's.
package sqlbulk

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
)

// sizes are the numbers of rows that one statement takes, the largest first.
var sizes = [...]int{64, 8, 1}

// Insert is an INSERT statement for any number of rows.
type Insert struct {
	width  int
	stmts  [len(sizes)]*sql.Stmt
	arrays string // in the place of stmts: one statement that takes an array for each column
}

// Prepare prepares "<head> VALUES (?, …), … <tail>" for rows of width values. The statements close with db.
func Prepare(ctx context.Context, db *sql.DB, head string, width int, tail string) (*Insert, error) {
	in := &Insert{width: width}
	row := "(" + strings.TrimSuffix(strings.Repeat("?, ", width), ", ") + ")"
	for i, n := range sizes {
		query := head + " VALUES " + strings.TrimSuffix(strings.Repeat(row+", ", n), ", ") + " " + tail
		var err error
		if in.stmts[i], err = db.PrepareContext(ctx, query); err != nil {
			return nil, fmt.Errorf("prepare %s: %w", head, err)
		}
	}
	return in, nil
}

// Arrays is the same for PostgreSQL, where one statement takes any number of rows as arrays. All values are
// int64, and no two rows of one Exec may have the same key.
func Arrays(head string, width int, tail string) *Insert {
	columns := strings.TrimSuffix(strings.Repeat("?::bigint[], ", width), ", ")
	return &Insert{width: width, arrays: head + " SELECT * FROM unnest(" + columns + ") " + tail}
}

// Exec inserts rows in their order; values holds them one after the other.
func (in *Insert) Exec(ctx context.Context, tx *sql.Tx, values []any) error {
	if in.arrays != "" {
		return in.execArrays(ctx, tx, values)
	}
	for i, n := range sizes {
		size := n * in.width
		if len(values) < size {
			continue
		}
		stmt := tx.StmtContext(ctx, in.stmts[i])
		for ; len(values) >= size; values = values[size:] {
			if _, err := stmt.ExecContext(ctx, values[:size]...); err != nil {
				return err
			}
		}
	}
	return nil
}

func (in *Insert) execArrays(ctx context.Context, tx *sql.Tx, values []any) error {
	rows := len(values) / in.width
	if rows == 0 {
		return nil
	}
	columns := make([]any, in.width)
	for c := range columns {
		column := make([]int64, rows)
		for r := range column {
			column[r] = values[r*in.width+c].(int64)
		}
		columns[c] = column
	}
	_, err := tx.ExecContext(ctx, in.arrays, columns...)
	return err
}
