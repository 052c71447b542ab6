// Package find tells at which positions of a tenant's log an actor or a data subject occurs. It serves erasure by
// subject, and gives stats its names.
//
// The file find-<n>.db holds keyed tokens and positions, no plaintext. An erasure deletes the rows of its entry and a
// purge those at or below its end, whatever order events come in; a token goes with its last row.
package find

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"log/slog"

	"auditlog/eventstore"
	"auditlog/internal/entry"
	"auditlog/internal/sqlitedb"
	"auditlog/migrations"
	"auditlog/projection/readmodel"
)

// Labels of tokens: what a value is, as Ring.Token takes it.
const (
	Actor   = "actor"
	Subject = "subject"
)

// Projection is the projector "find" and answers Positions.
type Projection struct{ *readmodel.Live[*file] }

// Open opens the projection in the folder dir.
func Open(ctx context.Context, dir string, deps readmodel.Deps, log *slog.Logger) (*Projection, error) {
	live, err := readmodel.OpenLive(ctx, dir, "find", log, func(ctx context.Context, path string) (*file, error) {
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
	opener entry.Opener
}

func openFile(ctx context.Context, path string, deps readmodel.Deps) (*file, error) {
	db, err := sqlitedb.Open(ctx, path, sqlitedb.Options{
		ReadConns: 2, CacheKiB: 4 << 10, SecureDelete: true, Migrations: migrations.SQLite("find"),
	})
	if err != nil {
		return nil, err
	}
	f := &file{opener: deps.Opener}
	f.File = readmodel.NewFile(db, deps, f)
	return f, nil
}

// Record implements readmodel.Effect.
func (f *file) Record(ctx context.Context, tx *sql.Tx, tenant int64, records []entry.Opened) error {
	known := map[labelled]int64{} // of this call
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
					return err
				}
				known[v] = no
			}
			if err := insert(ctx, tx, tenant, r.Position, no); err != nil {
				return err
			}
		}
	}
	return nil
}

type labelled struct{ label, value string }

func (f *file) tokenNo(ctx context.Context, tx *sql.Tx, no int64, tenant eventstore.TenantID, v labelled) (int64, error) {
	token, err := f.opener.Ring.Token(ctx, tenant, v.label, []byte(v.value))
	if err != nil {
		return 0, fmt.Errorf("token of %s: %w", v.label, err)
	}
	err = tx.QueryRowContext(ctx, `
		INSERT INTO tokens (tenant, label, token) VALUES (?, ?, ?)
		ON CONFLICT DO UPDATE SET label = excluded.label RETURNING no`, no, v.label, token[:]).Scan(&no)
	if err != nil {
		return 0, fmt.Errorf("number of token: %w", err)
	}
	return no, nil
}

func insert(ctx context.Context, tx *sql.Tx, tenant int64, at eventstore.Position, token int64) error {
	if _, err := tx.ExecContext(ctx, `INSERT OR IGNORE INTO hits (token, position) VALUES (?, ?)`, token, at); err != nil {
		return fmt.Errorf("insert hit: %w", err)
	}
	if _, err := tx.ExecContext(ctx, `INSERT OR IGNORE INTO entries (tenant, position, token) VALUES (?, ?, ?)`, tenant, at, token); err != nil {
		return fmt.Errorf("insert entry of hit: %w", err)
	}
	return nil
}
