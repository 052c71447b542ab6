// Package sqlitedb opens the SQLite files of the embedded tier: one file per store and projection, in WAL mode, with
// one connection that writes and a pool that reads. ATTACH is never used: a commit over two WAL files is not atomic.
package sqlitedb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// Options of one file.
type Options struct {
	Durable      bool  // synchronous=FULL: a commit survives a power cut. Otherwise NORMAL: it survives a crash of the process
	ReadConns    int   // size of the read pool; default 4
	CacheKiB     int   // page cache per connection; default 8 MiB for the writer, a quarter of it for a reader
	SecureDelete bool  // overwrite what is deleted with zeros
	Checkpoint   int   // pages in the WAL at which a commit folds it back into the file; default 1,000, SQLite's own
	Migrations   fs.FS // numbered goose files; nil for none
}

// DB is one open file. Write has a single connection whose transactions begin IMMEDIATE, so writers queue in Go, not
// in SQLite; Read is a pool of connections that cannot write.
type DB struct {
	Write *sql.DB
	Read  *sql.DB
	path  string
}

// ErrCorrupt marks a file that is damaged or no SQLite database: a projection's is rebuilt, the store's is an operator's.
var ErrCorrupt = errors.New("damaged database file")

// Open opens or creates the file (0600) and brings its schema up to date.
func Open(ctx context.Context, path string, o Options) (*DB, error) {
	if o.ReadConns == 0 {
		o.ReadConns = 4
	}
	if o.CacheKiB == 0 {
		o.CacheKiB = 8 << 10
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) // SQLite would create it 0644
	if err != nil {
		return nil, fmt.Errorf("open: %w", err) // names the path
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	db := &DB{path: path}
	if db.Write, err = sql.Open("sqlite", o.dsn(path, true)); err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	db.Write.SetMaxOpenConns(1)
	if db.Read, err = sql.Open("sqlite", o.dsn(path, false)); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), db.Close())
	}
	db.Read.SetMaxOpenConns(o.ReadConns)
	db.Read.SetMaxIdleConns(o.ReadConns)
	if err := db.migrate(ctx, o.Migrations); err != nil {
		return nil, errors.Join(db.classifyOpen(ctx, fmt.Errorf("open %s: %w", path, err)), db.Close())
	}
	return db, nil
}

func (o Options) dsn(path string, write bool) string {
	q := url.Values{}
	pragma := func(s string) { q.Add("_pragma", s) }
	pragma("busy_timeout(10000)")
	pragma("journal_mode(WAL)")
	if o.Durable {
		pragma("synchronous(FULL)")
	} else {
		pragma("synchronous(NORMAL)")
	}
	cache := o.CacheKiB
	if !write {
		cache /= 4
	}
	pragma("cache_size(-" + strconv.Itoa(cache) + ")")
	pragma("temp_store(MEMORY)")
	pragma("foreign_keys(ON)")
	if o.SecureDelete {
		pragma("secure_delete(ON)")
	}
	if write {
		q.Set("_txlock", "immediate")
		if o.Checkpoint > 0 {
			pragma("wal_autocheckpoint(" + strconv.Itoa(o.Checkpoint) + ")")
		}
	} else {
		pragma("query_only(ON)")
	}
	return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: filepath.ToSlash(path)}).EscapedPath(), RawQuery: q.Encode()}).String()
}

func (db *DB) migrate(ctx context.Context, files fs.FS) error {
	if files == nil {
		return db.Write.PingContext(ctx)
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db.Write, files)
	if err != nil {
		return err
	}
	_, err = p.Up(ctx)
	return err
}

// classifyOpen tells a damaged file from one whose schema cannot be brought up to date: damage behind the first page makes
// a migration fail with errors that name only what it missed.
func (db *DB) classifyOpen(ctx context.Context, cause error) error {
	if free, err := freeBytes(db.path); err == nil && free < minFree {
		return fmt.Errorf("the disk has only %d bytes free: %w", free, cause)
	}
	if err := Classify(cause); errors.Is(err, ErrCorrupt) {
		return err
	}
	var verdict string
	if err := db.Write.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&verdict); err != nil {
		return errors.Join(cause, Classify(err))
	}
	if verdict != "ok" {
		return fmt.Errorf("%w: %s: %w", ErrCorrupt, verdict, cause)
	}
	return cause
}

// Path is the file's path, for messages.
func (db *DB) Path() string { return db.path }

// Close closes both pools. The last close of a file folds the WAL back into it.
func (db *DB) Close() error {
	var errs []error
	if db.Read != nil {
		errs = append(errs, db.Read.Close())
	}
	if db.Write != nil {
		errs = append(errs, db.Write.Close())
	}
	return errors.Join(errs...)
}

// Classify marks errors that say the file is damaged with ErrCorrupt.
func Classify(err error) error {
	var e *sqlite.Error
	if errors.As(err, &e) {
		switch e.Code() & 0xff {
		case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
			return fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
	}
	return err
}

// IsFull tells that the disk has no room.
func IsFull(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && e.Code()&0xff == sqlite3.SQLITE_FULL
}
