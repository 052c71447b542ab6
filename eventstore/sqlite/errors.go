package sqlite

import (
	"context"
	"errors"
	"fmt"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"auditlog/eventstore"
	"auditlog/internal/fault"
	"auditlog/internal/sqlitedb"
)

var (
	errClosed      = fault.New(fault.Unavailable, "the event store is closed")
	errNoTenant    = fault.New(fault.NotFound, "there is no such tenant")
	errNoEvent     = fault.New(fault.NotFound, "there is no such event")
	errPurged      = fault.New(fault.Purged, "the event was removed by retention")
	errNoShard     = errors.New("this store has shard 0 only")
	errOtherDrafts = errors.New("the flush id was used for other drafts")
)

// translate gives a driver's error its kind. Errors that have one, and those of a context, pass.
func translate(doing string, err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if f, ok := errors.AsType[*fault.Error](err); ok && f.Kind != fault.Internal {
		return err
	}
	err = fmt.Errorf("%s: %w", doing, sqlitedb.Classify(err))
	if sqlitedb.IsFull(err) {
		return fault.Wrap(fault.Unavailable, err, "the disk is full; nothing was stored")
	}
	switch code(err) & 0xff {
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY:
		return fault.Wrap(fault.Unavailable, err, "the disk of the event store does not work")
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return fault.Wrap(fault.Unavailable, err, "the event store's file is held by another process")
	}
	return err
}

// code is the extended result code of SQLite; 0 for other errors.
func code(err error) int {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code()
	}
	return 0
}

func isDuplicate(err error) bool {
	c := code(err)
	return c == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY || c == sqlite3.SQLITE_CONSTRAINT_UNIQUE
}

func checkShard(s eventstore.Shard) error {
	if s != 0 {
		return errNoShard
	}
	return nil
}
