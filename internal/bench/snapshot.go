package bench

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"
)

// snapshot compares writes while a reader holds a snapshot of the database with those before and after. What a snapshot
// keeps from being cleaned up grows with time, so entries are written all the while, and the side is taken at the end.
func (w *writer) snapshot(ctx context.Context) error {
	bodies, err := bulkBodies(10, bulkEntries, arrival)
	if err != nil {
		return err
	}
	measure := func(p *peak) error { return p.add(w.one, bodies, w.each(2), w.fanOut, w.Duration/2) }
	var free, fresh, held peak
	if err := errors.Join(measure(new(peak)), measure(&free)); err != nil { // the first warms up
		return err
	}
	release, err := w.hold(ctx)
	if err != nil {
		return err
	}
	start := time.Now()
	err = measure(&fresh)
	if err == nil {
		_, err = singles(w.one, pathLogs, w.fanOut, w.Sustain)
	}
	for range 2 { // as much as of the other side
		if err == nil {
			err = measure(&held)
		}
	}
	took := time.Since(start)
	grown := w.log()
	if err == nil {
		err = w.profiled(ctx, "snapshot", func(d time.Duration) error {
			_, err := singles(w.one, pathLogs, w.fanOut, d)
			return err
		})
	}
	if err := errors.Join(err, release()); err != nil {
		return err
	}
	if err := measure(&free); err != nil {
		return err
	}
	return w.peaks(held, free, "a snapshot held open / none", 0.6, 0.9, func(l *Line) {
		l.Sides["held_seconds"] = took.Seconds()
		l.Sides["at_first_per_s"] = fresh.posts.rate()
		if w.stack == nil {
			l.Sides["log_MiB"] = grown
		}
		if l.Connections == bulkConns {
			l.Sides["at_first_per_s"] = fresh.entries()
		}
	})
}

// log is the size of the embedded store's write-ahead log in MiB.
func (w *writer) log() float64 {
	info, err := os.Stat(filepath.Join(w.dir, "events.db-wal"))
	if err != nil {
		return 0 // the distributed tier has none
	}
	return float64(info.Size()) / mebibyte
}

// hold opens a transaction that sees the database as it is now until it is released.
func (w *writer) hold(ctx context.Context) (release func() error, err error) {
	if w.stack == nil {
		return holdFile(ctx, filepath.Join(w.dir, "events.db"))
	}
	db, err := pgx.Connect(ctx, w.stack.owner)
	if err != nil {
		return nil, err
	}
	release = func() error { return db.Close(context.WithoutCancel(ctx)) }
	tx, err := db.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err == nil {
		_, err = tx.Exec(ctx, `SELECT FROM auditlog.layout`) // takes the snapshot
	}
	if err != nil {
		return nil, errors.Join(err, release())
	}
	return release, nil
}

// holdFile is hold on a file of SQLite, whose log then grows: it can begin anew only when nobody reads it.
func holdFile(ctx context.Context, path string) (release func() error, err error) {
	db, err := sql.Open("sqlite", "file:"+path+"?mode=ro")
	if err != nil {
		return nil, err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	release = func() error { return errors.Join(tx.Rollback(), db.Close()) }
	var n int
	if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM tenants`).Scan(&n); err != nil {
		return nil, errors.Join(err, release())
	}
	return release, nil
}
