// Package find tells at which positions of a tenant's log an actor or a data subject occurs. It gives stats
// the names behind its actor tokens; its rows of subjects are what an erasure by subject will be made from.
//
// Its tables hold keyed tokens and positions, no plaintext. An erasure deletes the rows of its entry and a
// purge those at or below its end, whatever order events come in; a token goes with its last row.
package find

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"

	"auditlog/eventstore"
	"auditlog/internal/entry"
	"auditlog/internal/sqlitedb"
	"auditlog/projection/readmodel"
	"auditlog/projection/sqlbulk"
)

// Labels of tokens: what a value is, as Ring.Token takes it.
const (
	Actor   = "actor"
	Subject = "subject"
)

// Projection is the projector "find" and answers Positions.
type Projection struct{ *readmodel.Live[*tables] }

// Open opens the projection in its home.
func Open(ctx context.Context, home readmodel.Home, deps readmodel.Deps, log *slog.Logger) (*Projection, error) {
	live, err := readmodel.OpenLive(ctx, home, "find", log, func(ctx context.Context, at readmodel.Place) (*tables, error) {
		return openTables(ctx, at, deps)
	})
	if err != nil {
		return nil, err
	}
	return &Projection{live}, nil
}

// Positions is the page of at most limit positions above after, ascending, of entries that carry the token.
func (p *Projection) Positions(ctx context.Context, tenant eventstore.TenantID, label string, token [32]byte, after eventstore.Position, limit int) (at []eventstore.Position, err error) {
	err = p.Use(ctx, func(live *tables) (err error) {
		at, err = live.positions(ctx, tenant, label, token, after, limit)
		return err
	})
	return at, err
}

// Dump writes all rows in a canonical order.
func (p *Projection) Dump(ctx context.Context, w io.Writer) error {
	return p.Print(ctx, w, func(live *tables, w io.Writer) error { return live.Digest(ctx, w) })
}

// tables are one generation.
type tables struct {
	*readmodel.Tables
	opener  entry.Opener
	rows    rows
	hits    *sqlbulk.Insert
	entries *sqlbulk.Insert
}

// rows is what differs between the homes: how tokens get their numbers, and how many rows go at once.
type rows interface {
	// number fills in the numbers of a tenant's tokens, which it makes when they are new.
	number(ctx context.Context, tx *sql.Tx, tenant int64, wanted []*token) error
	// remove deletes rows of a tenant from both tables, and the tokens that are left without any.
	remove(ctx context.Context, tx *sql.Tx, tenant int64, doomed []row) error
	// forget drops what is remembered of rows.
	forget()
}

// token is one of a tenant's.
type token struct {
	label string
	value [32]byte
	no    int64
}

func openTables(ctx context.Context, at readmodel.Place, deps readmodel.Deps) (*tables, error) {
	db, err := at.Open(ctx, sqlitedb.Options{ReadConns: 2, CacheKiB: 16 << 10, Checkpoint: 4096, SecureDelete: true})
	if err != nil {
		return nil, err
	}
	t := &tables{opener: deps.Opener}
	t.Tables = readmodel.NewTables(db, deps, t)
	if err := t.prepare(ctx); err != nil {
		return nil, errors.Join(sqlitedb.Classify(fmt.Errorf("prepare find: %w", err)), db.Close())
	}
	return t, nil
}

func (f *tables) prepare(ctx context.Context) (err error) {
	if f.hits, err = f.DB.Insert(ctx, `INSERT INTO hits (token, position)`, 2, `ON CONFLICT DO NOTHING`); err != nil {
		return err
	}
	if f.entries, err = f.DB.Insert(ctx, `INSERT INTO entries (tenant, position, token)`, 3, `ON CONFLICT DO NOTHING`); err != nil {
		return err
	}
	if f.DB.Shared() {
		f.rows = sharedRows{}
		return nil
	}
	f.rows, err = newFileRows(ctx, f.DB)
	return err
}

// Prepare implements readmodel.Effect: tokens are a tenant's, whose shard the transaction has for itself.
func (f *tables) Prepare(context.Context, []entry.Opened) error { return nil }

// Forget implements readmodel.Effect.
func (f *tables) Forget() { f.rows.forget() }

// Record implements readmodel.Effect. Rows go in by the order of their keys.
func (f *tables) Record(ctx context.Context, tx *sql.Tx, tenant int64, records []entry.Opened) error {
	rows, err := f.rowsOf(ctx, tx, tenant, records)
	if err != nil {
		return err
	}
	slices.SortFunc(rows, func(a, b row) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.token, b.token)) })
	values := make([]any, 0, 3*len(rows))
	for _, r := range rows {
		values = append(values, tenant, int64(r.at), r.token)
	}
	if err := f.entries.Exec(ctx, tx, values); err != nil {
		return fmt.Errorf("insert entries of hits: %w", err)
	}
	slices.SortFunc(rows, func(a, b row) int { return cmp.Or(cmp.Compare(a.token, b.token), cmp.Compare(a.at, b.at)) })
	values = values[:0]
	for _, r := range rows {
		values = append(values, r.token, int64(r.at))
	}
	if err := f.hits.Exec(ctx, tx, values); err != nil {
		return fmt.Errorf("insert hits: %w", err)
	}
	return nil
}

// rowsOf are a row for each actor and subject of the records, all of one tenant.
func (f *tables) rowsOf(ctx context.Context, tx *sql.Tx, tenant int64, records []entry.Opened) ([]row, error) {
	type use struct {
		at eventstore.Position
		of *token
	}
	var uses []use
	var all []*token
	known := map[labelled]*token{}
	for _, r := range records {
		for _, v := range values(r) {
			t := known[v]
			if t == nil {
				value, err := f.opener.Ring.Token(ctx, r.Tenant, v.label, []byte(v.value))
				if err != nil {
					return nil, fmt.Errorf("token of %s: %w", v.label, err)
				}
				t = &token{label: v.label, value: value}
				known[v] = t
				all = append(all, t)
			}
			uses = append(uses, use{r.Position, t})
		}
	}
	if err := f.rows.number(ctx, tx, tenant, all); err != nil {
		return nil, fmt.Errorf("numbers of tokens: %w", err)
	}
	rows := make([]row, len(uses))
	for i, u := range uses {
		rows[i] = row{u.at, u.of.no}
	}
	return rows, nil
}

type labelled struct{ label, value string }

// values are who and whom an entry is about; nothing when that was erased.
func values(r entry.Opened) []labelled {
	if r.Priv == nil {
		return nil
	}
	all := make([]labelled, 0, 1+len(r.Priv.Subjects))
	if r.Priv.Actor.ID != "" {
		all = append(all, labelled{Actor, r.Priv.Actor.ID})
	}
	for _, s := range r.Priv.Subjects {
		all = append(all, labelled{Subject, s})
	}
	return all
}
