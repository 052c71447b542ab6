package search

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"

	"auditlog/eventstore"
	"auditlog/internal/sqlitedb"
	"auditlog/migrations"
	"auditlog/projection"
	"auditlog/projection/sqlprogress"
)

// rules numbers the rules by which documents and tokens are made. Raise it when they change: files of other rules are
// built anew.
const rules = 1

// file is one generation of the index.
type file struct {
	*sqlitedb.DB
	store  Store
	opener Opener
	shards int64

	inserts inserts

	scrubbing sync.Mutex // held while the log is emptied

	mu      sync.Mutex
	dirty   bool                                   // something was deleted whose bytes may still be in the write-ahead log
	ranges  map[eventstore.Shard]projection.Ranges // as committed
	tenants map[eventstore.TenantID]int64          // numbers as committed
}

func openFile(ctx context.Context, path string, store Store, opener Opener) (*file, error) {
	db, err := sqlitedb.Open(ctx, path, sqlitedb.Options{SecureDelete: true, CacheKiB: 64 << 10, Checkpoint: 8192, Migrations: migrations.SQLite("search")})
	if err != nil {
		return nil, err
	}
	f := &file{DB: db, store: store, opener: opener, shards: int64(store.Shards()),
		ranges: map[eventstore.Shard]projection.Ranges{}, tenants: map[eventstore.TenantID]int64{}}
	if err := f.ready(ctx); err != nil {
		return nil, errors.Join(sqlitedb.Classify(fmt.Errorf("open %s: %w", path, err)), db.Close())
	}
	return f, nil
}

// prepare checks what the file was made for and finishes a scrub that a crash cut off.
func (f *file) prepare(ctx context.Context) error {
	var shards, made int64
	err := f.Write.QueryRowContext(ctx, `SELECT shards, rules FROM made_for`).Scan(&shards, &made)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		_, err = f.Write.ExecContext(ctx, `INSERT INTO made_for (shards, rules) VALUES (?, ?)`, f.shards, rules)
		return err
	case err != nil:
		return err
	case shards != f.shards || made != rules:
		return fmt.Errorf("%w: made for %d shards by rules %d, now %d shards and rules %d", sqlitedb.ErrCorrupt, shards, made, f.shards, rules)
	}
	f.dirty = true
	return f.scrub(ctx)
}

// ready prepares statements.
func (f *file) ready(ctx context.Context) (err error) {
	if err := f.prepare(ctx); err != nil {
		return err
	}
	f.inserts, err = prepareInserts(ctx, f.Write)
	return err
}

// progress is the set of applied ranges of a shard.
func (f *file) progress(ctx context.Context, shard eventstore.Shard) (projection.Ranges, error) {
	f.mu.Lock()
	r, ok := f.ranges[shard]
	f.mu.Unlock()
	if ok {
		return r, nil
	}
	r, err := sqlprogress.Load(ctx, f.Read, shard)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if newer, ok := f.ranges[shard]; ok { // an Apply was faster
		return newer, nil
	}
	f.ranges[shard] = r
	return r, nil
}

// scrub empties the write-ahead log when something was deleted, so that no file holds it any more. Whoever comes while
// another scrubs waits for it.
func (f *file) scrub(ctx context.Context) error {
	f.scrubbing.Lock()
	defer f.scrubbing.Unlock()
	f.mu.Lock()
	dirty := f.dirty
	f.dirty = false
	f.mu.Unlock()
	if !dirty {
		return nil
	}
	var busy, frames, done int
	err := f.Write.QueryRowContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`).Scan(&busy, &frames, &done)
	if err == nil && busy != 0 {
		err = errors.New("a reader held the file for too long")
	}
	if err != nil {
		f.mu.Lock()
		f.dirty = true
		f.mu.Unlock()
		return fmt.Errorf("scrub search index: %w", err)
	}
	return nil
}

// id is the document id of the event that recorded an entry.
func (f *file) id(shard eventstore.Shard, o eventstore.Offset) int64 {
	return int64(o)*f.shards + int64(shard)
}

// tenant is the tenant's number in this file; 0 when it has no document.
func (f *file) tenant(ctx context.Context, q interface {
	QueryRowContext(context.Context, string, ...any) *sql.Row
}, id eventstore.TenantID) (num int64, err error) {
	f.mu.Lock()
	num, ok := f.tenants[id]
	f.mu.Unlock()
	if ok {
		return num, nil
	}
	err = q.QueryRowContext(ctx, `SELECT num FROM tenants WHERE id = ?`, id[:]).Scan(&num)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return num, err
}
