package search

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"auditlog/eventstore"
)

// Dump writes every document as one line, in the order in which their entries were recorded: tenant, kind, position,
// version, times, tokens. Two indexes of the same log, whatever came in between, dump the same bytes.
func (x *Index) Dump(ctx context.Context, w io.Writer) error {
	return x.use(ctx, func(f *file) error {
		out := bufio.NewWriter(w)
		err := f.each(ctx, everything, func(r *row) error {
			_, err := fmt.Fprintf(out, "%s %c %d %d %s %s %s\n", r.tenant, kindMarks[r.kind], r.position, r.version, r.occurredAt, r.recordedAt, r.tokens)
			return err
		})
		return errors.Join(err, out.Flush())
	})
}

// row is a document as it is stored. Its tokens are without their prefix, which differs between files.
type row struct {
	id         int64
	num        int64
	tenant     eventstore.TenantID
	kind       int64
	position   eventstore.Position
	version    eventstore.Position
	occurredAt eventstore.Micros
	recordedAt eventstore.Micros
	tokens     []byte
}

const (
	everything = int64(1)<<62 - 1 // above every document id
	rowPage    = 2000             // documents of one read transaction
)

// each visits all documents with ids up to last, ascending.
func (f *file) each(ctx context.Context, last int64, visit func(*row) error) error {
	tenants, err := f.tenantIDs(ctx)
	if err != nil {
		return err
	}
	for after, more := int64(-1), true; more; {
		page, err := f.page(ctx, after, last)
		if err != nil {
			return err
		}
		for i := range page {
			r := &page[i]
			after = r.id
			if r.tenant = tenants[r.num]; r.tenant.IsZero() { // one that came since
				if tenants, err = f.tenantIDs(ctx); err != nil {
					return err
				}
				r.tenant = tenants[r.num]
			}
			r.tokens = stripPrefix(r.tokens, r.num, r.kind)
			if err := visit(r); err != nil {
				return err
			}
		}
		more = len(page) == rowPage
	}
	return nil
}

func (f *file) tenantIDs(ctx context.Context) (map[int64]eventstore.TenantID, error) {
	rows, err := f.Read.QueryContext(ctx, `SELECT num, id FROM tenants`)
	if err != nil {
		return nil, err
	}
	out := map[int64]eventstore.TenantID{}
	for rows.Next() {
		var num int64
		var id []byte
		if err := rows.Scan(&num, &id); err != nil {
			return nil, errors.Join(err, rows.Close())
		}
		out[num] = eventstore.TenantID(id)
	}
	return out, rows.Err()
}

func (f *file) page(ctx context.Context, after, last int64) (out []row, err error) {
	rows, err := f.Read.QueryContext(ctx, `SELECT d.id, d.tenant, d.kind, d.position, d.version, d.occurred_at, d.recorded_at, c.c0
		FROM docs d CROSS JOIN tokens_content c ON c.id = d.id WHERE d.id > ? AND d.id <= ? ORDER BY d.id LIMIT ?`, after, last, rowPage)
	if err != nil {
		return nil, err
	}
	for rows.Next() {
		var r row
		if err := rows.Scan(&r.id, &r.num, &r.kind, &r.position, &r.version, &r.occurredAt, &r.recordedAt, &r.tokens); err != nil {
			return nil, errors.Join(err, rows.Close())
		}
		out = append(out, r)
	}
	return out, rows.Err()
}

// stripPrefix takes the tenant's number and the kind from the front of every token.
func stripPrefix(tokens []byte, num, kind int64) []byte {
	prefix := appendPrefix([]byte{' '}, num, kind)
	tokens = bytes.TrimPrefix(tokens, prefix[1:])
	return bytes.ReplaceAll(tokens, prefix, []byte{' '})
}
