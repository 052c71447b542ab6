package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	sqlite3 "modernc.org/sqlite/lib"

	"auditlog/eventstore"
	"auditlog/internal/fault"
	"auditlog/internal/mutant"
)

// keepFlushes is how many flushes can be answered again: far more than are ever in flight.
const (
	keepFlushes = 1000
	pruneEvery  = 64
)

// writer is the one connection that writes, with what it knows of the log. Owned by whoever holds Store.lock.
type writer struct {
	conn   *sql.Conn
	in     *inserter
	plan   plan
	keyed  []*row // memory of insertKeys
	broken bool   // the connection is in an unknown state: close it
	failed bool   // the last append found the disk not working

	loaded bool // the fields below are those of the file
	shard  eventstore.ShardHead
	heads  map[int64]place
	seq    int64 // of the newest flush
	recent map[eventstore.FlushID]int64
}

func openWriter(ctx context.Context, db *sql.DB) (*writer, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	in, err := newInserter(conn)
	if err == nil {
		// The keeper moves the log into the file; this is for when it cannot keep up.
		_, err = conn.ExecContext(ctx, fmt.Sprintf("PRAGMA wal_autocheckpoint = %d", backstopPages))
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	w := &writer{conn: conn, in: in}
	w.plan.reset()
	return w, nil
}

// load reads the heads of the log unless they are known.
func (w *writer) load() error {
	if w.loaded {
		return nil
	}
	ctx := context.Background()
	w.shard, w.heads, w.recent, w.seq = eventstore.ShardHead{}, map[int64]place{}, map[eventstore.FlushID]int64{}, 0
	err := w.conn.QueryRowContext(ctx, shardHeadSQL).Scan(&w.shard.Offset, &w.shard.RecordedAt)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	rows, err := w.conn.QueryContext(ctx, `SELECT seq, id FROM flushes ORDER BY seq`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id []byte
		if err := rows.Scan(&w.seq, &id); err != nil {
			return err
		}
		w.recent[eventstore.FlushID(id)] = w.seq
	}
	w.loaded = rows.Err() == nil
	return rows.Err()
}

// head is the newest place of a tenant's log.
func (w *writer) head(tenant int64) (place, error) {
	if h, ok := w.heads[tenant]; ok {
		return h, nil
	}
	var h place
	err := w.conn.QueryRowContext(context.Background(),
		`SELECT position, "offset" FROM events WHERE tenant = ? ORDER BY position DESC LIMIT 1`, tenant).Scan(&h.position, &h.offset)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return place{}, err
	}
	w.heads[tenant] = h
	return h, nil
}

// clock is the time that the next events get: never before that of the newest event.
func (w *writer) clock(now time.Time) (eventstore.Micros, error) {
	at := eventstore.MicrosOf(now)
	lead := time.Duration(w.shard.RecordedAt-at) * time.Microsecond
	if lead > eventstore.MaxClockLead {
		e := fault.New(fault.Clock, "the newest event is ahead of the server's clock; appends wait until the clock has caught up")
		e.RetryAfter = max(lead-eventstore.MaxClockLead, time.Second).Round(time.Second)
		return 0, e
	}
	return max(at, w.shard.RecordedAt), nil
}

// inTx runs f in one transaction that no context can end half-way. After an error nothing of it is stored, and what
// the writer knew of the log is forgotten, since after a failed commit it may differ.
func (w *writer) inTx(f func() error) error {
	ctx := context.Background()
	if mutant.On == mutant.AckBeforeCommit {
		_, _ = w.conn.ExecContext(ctx, "COMMIT") // of the append before
	}
	_, err := w.conn.ExecContext(ctx, "BEGIN IMMEDIATE")
	if err != nil {
		w.loaded, w.broken = false, true
		return err
	}
	if err = f(); err == nil && (mutant.On != mutant.AckBeforeCommit || w.plan.outcomes == nil) {
		_, err = w.conn.ExecContext(ctx, "COMMIT")
	}
	if err != nil {
		w.loaded = errors.Is(err, errNothing) || errors.Is(err, errKnownKey)
		w.rollback(ctx)
	}
	return err
}

// rollback ends the transaction. SQLite may have done so itself after a full disk or an I/O error, and says then that
// none is active; only a transaction that is still open makes the connection unusable, and the next BEGIN tells.
func (w *writer) rollback(ctx context.Context) {
	_, err := w.conn.ExecContext(ctx, "ROLLBACK")
	if err != nil && code(err)&0xff != sqlite3.SQLITE_ERROR { // which is: no transaction is active
		w.broken = true
	}
}
