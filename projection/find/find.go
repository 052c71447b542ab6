// Package find tells at which positions of a tenant's log an actor or a data subject occurs. It gives stats
// the names behind its actor tokens; its rows of subjects are what an erasure by subject will be made from.
//
// The file find-<n>.db holds keyed tokens and positions, no plaintext. An erasure deletes the rows of its entry and a
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
	"auditlog/migrations"
	"auditlog/projection/readmodel"
	"auditlog/projection/sqlbulk"
)

// Labels of tokens: what a value is, as Ring.Token takes it.
const (
	Actor   = "actor"
	Subject = "subject"
)

// Projection is the projector "find" and answers Positions.
type Projection struct{ *readmodel.Live[*file] }

// Open opens the projection in its home.
func Open(ctx context.Context, home readmodel.Home, deps readmodel.Deps, log *slog.Logger) (*Projection, error) {
	live, err := readmodel.OpenLive(ctx, home, "find", log, func(ctx context.Context, path string) (*file, error) {
		return openFile(ctx, path, deps)
	})
	if err != nil {
		return nil, err
	}
	return &Projection{live}, nil
}

// Positions is the page of at most limit positions above after, ascending, of entries that carry the token.
func (p *Projection) Positions(ctx context.Context, tenant eventstore.TenantID, label string, token [32]byte, after eventstore.Position, limit int) (at []eventstore.Position, err error) {
	err = p.Use(func(live *file) (err error) {
		at, err = live.positions(ctx, tenant, label, token, after, limit)
		return err
	})
	return at, err
}

// Dump writes all rows in a canonical order.
func (p *Projection) Dump(ctx context.Context, w io.Writer) error {
	return p.Use(func(live *file) error { return live.Digest(ctx, w) })
}

// file is one generation.
type file struct {
	*readmodel.File
	opener  entry.Opener
	token   *sql.Stmt // prepared on the writing connection, like the next two
	hits    *sqlbulk.Insert
	entries *sqlbulk.Insert
	numbers readmodel.Numbers[tokenKey]
}

// tokenKey is a token of a tenant, by its number in the file.
type tokenKey struct {
	tenant int64
	label  string
	token  [32]byte
}

func openFile(ctx context.Context, path string, deps readmodel.Deps) (*file, error) {
	db, err := sqlitedb.Open(ctx, path, sqlitedb.Options{
		ReadConns: 2, CacheKiB: 16 << 10, Checkpoint: 4096, SecureDelete: true, Migrations: migrations.SQLite("find"),
	})
	if err != nil {
		return nil, err
	}
	f := &file{opener: deps.Opener}
	f.File = readmodel.NewFile(db, deps, f)
	if err := f.prepare(ctx); err != nil {
		return nil, errors.Join(sqlitedb.Classify(fmt.Errorf("prepare find: %w", err)), db.Close())
	}
	return f, nil
}

func (f *file) prepare(ctx context.Context) (err error) {
	f.token, err = f.DB.Write.PrepareContext(ctx, `
		INSERT INTO tokens (tenant, label, token) VALUES (?, ?, ?)
		ON CONFLICT DO UPDATE SET label = excluded.label RETURNING no`)
	if err != nil {
		return err
	}
	if f.hits, err = sqlbulk.Prepare(ctx, f.DB.Write, `INSERT OR IGNORE INTO hits (token, position)`, 2, ``); err != nil {
		return err
	}
	f.entries, err = sqlbulk.Prepare(ctx, f.DB.Write, `INSERT OR IGNORE INTO entries (tenant, position, token)`, 3, ``)
	return err
}

// Forget implements readmodel.Effect.
func (f *file) Forget() { f.numbers.Clear() }

// Record implements readmodel.Effect. Rows go in by the order of their keys.
func (f *file) Record(ctx context.Context, tx *sql.Tx, tenant int64, records []entry.Opened) error {
	rows, err := f.rows(ctx, tx, tenant, records)
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

// rows are a row for each actor and subject of the records.
func (f *file) rows(ctx context.Context, tx *sql.Tx, tenant int64, records []entry.Opened) ([]row, error) {
	rows := make([]row, 0, 2*len(records))
	known := map[labelled]int64{} // of this call, all of one tenant
	for _, r := range records {
		if r.Priv == nil {
			continue
		}
		values := make([]labelled, 0, 1+len(r.Priv.Subjects))
		if r.Priv.Actor.ID != "" {
			values = append(values, labelled{Actor, r.Priv.Actor.ID})
		}
		for _, s := range r.Priv.Subjects {
			values = append(values, labelled{Subject, s})
		}
		for _, v := range values {
			no, ok := known[v]
			if !ok {
				var err error
				if no, err = f.tokenNo(ctx, tx, tenant, r.Tenant, v); err != nil {
					return nil, err
				}
				known[v] = no
			}
			rows = append(rows, row{r.Position, no})
		}
	}
	return rows, nil
}

type labelled struct{ label, value string }

func (f *file) tokenNo(ctx context.Context, tx *sql.Tx, no int64, tenant eventstore.TenantID, v labelled) (int64, error) {
	token, err := f.opener.Ring.Token(ctx, tenant, v.label, []byte(v.value))
	if err != nil {
		return 0, fmt.Errorf("token of %s: %w", v.label, err)
	}
	key := tokenKey{no, v.label, token}
	if no, ok := f.numbers.Get(key); ok {
		return no, nil
	}
	if err := tx.StmtContext(ctx, f.token).QueryRowContext(ctx, no, v.label, token[:]).Scan(&no); err != nil {
		return 0, fmt.Errorf("number of token: %w", err)
	}
	f.numbers.Put(key, no)
	return no, nil
}
