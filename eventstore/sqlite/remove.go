package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"auditlog/eventstore"
	"auditlog/internal/fault"
)

// Remove removes a page of a purge. Sending a page again changes nothing. It fails, and removes nothing, when an event
// in the range has no leaf, or when done is said of a purge that still has events.
func (s *Store) Remove(ctx context.Context, p eventstore.Purge, last eventstore.Position, leaves []eventstore.Leaf, done bool) error {
	no, err := s.tenantNo(ctx, p.Tenant)
	if err != nil {
		return err
	}
	return s.withWriter(ctx, func(w *writer) error {
		at, err := w.timeNow(s)
		if err != nil {
			return err
		}
		err = w.inTx(func() error { return w.remove(no, p.ID, last, leaves, done, at) })
		if errors.Is(err, errNothing) {
			return nil
		}
		if err == nil && done {
			// What was overwritten is still in the log; this moves the log into the file and empties it. With a reader
			// in the way it is left to the next checkpoint.
			_, err = walCheckpoint(context.Background(), w.conn, "TRUNCATE")
		}
		return err
	})
}

func (w *writer) timeNow(s *Store) (eventstore.Micros, error) {
	if err := w.load(); err != nil {
		return 0, err
	}
	return max(eventstore.MicrosOf(s.now()), w.shard.RecordedAt), nil
}

func (w *writer) remove(no int64, id eventstore.EventID, last eventstore.Position, leaves []eventstore.Leaf, done bool, at eventstore.Micros) error {
	ctx := context.Background()
	var first, end eventstore.Position
	var status string
	err := w.conn.QueryRowContext(ctx, `SELECT first, last, status FROM purges WHERE id = ? AND tenant = ?`, id[:], no).Scan(&first, &end, &status)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return fault.New(fault.NotFound, "there is no such purge")
	case err != nil:
		return err
	case status == eventstore.PurgeDone:
		return errNothing
	}
	last = min(last, end)
	if err := w.keepLeaves(no, first, last, leaves); err != nil {
		return err
	}
	removed, err := w.deleteEvents(no, first, last)
	if err != nil {
		return err
	}
	if !done {
		_, err = w.conn.ExecContext(ctx, `UPDATE purges SET removed = removed + ? WHERE id = ?`, removed, id[:])
		return err
	}
	var left int64
	err = w.conn.QueryRowContext(ctx, `SELECT count(*) FROM events WHERE tenant = ? AND position BETWEEN ? AND ?`, no, int64(first), int64(end)).Scan(&left)
	if err == nil && left > 0 {
		return fmt.Errorf("purge %v is not done: %d events are left", id, left)
	}
	if err == nil {
		_, err = w.conn.ExecContext(ctx, `UPDATE purges SET removed = removed + ?, status = ?, completed_at = ? WHERE id = ?`,
			removed, eventstore.PurgeDone, int64(at), id[:])
	}
	return err
}

// keepLeaves stores the leaves of the events in a range, and fails unless each has one.
func (w *writer) keepLeaves(no int64, first, last eventstore.Position, leaves []eventstore.Leaf) error {
	ctx := context.Background()
	st, err := w.conn.PrepareContext(ctx, `
		INSERT INTO removed (tenant, position, "offset", recorded_at, id, leaf)
		SELECT tenant, position, "offset", recorded_at, id, ? FROM events WHERE tenant = ? AND position = ? AND id = ?
		ON CONFLICT DO NOTHING`)
	if err != nil {
		return err
	}
	defer st.Close()
	for i := range leaves {
		l := &leaves[i]
		if l.Position < first || l.Position > last {
			continue
		}
		if _, err := st.ExecContext(ctx, l.Hash[:], no, int64(l.Position), l.ID[:]); err != nil {
			return err
		}
	}
	var bare int64
	err = w.conn.QueryRowContext(ctx, `
		SELECT count(*) FROM events e WHERE e.tenant = ? AND e.position BETWEEN ? AND ?
		AND NOT EXISTS (SELECT 1 FROM removed r WHERE r.tenant = e.tenant AND r.position = e.position)`,
		no, int64(first), int64(last)).Scan(&bare)
	if err == nil && bare > 0 {
		err = fmt.Errorf("%d events to be removed have no leaf", bare)
	}
	return err
}

func (w *writer) deleteEvents(no int64, first, last eventstore.Position) (int64, error) {
	ctx := context.Background()
	_, err := w.conn.ExecContext(ctx, `
		DELETE FROM about WHERE (tenant, entry, position) IN (
			SELECT tenant, entry_id, position FROM events WHERE tenant = ? AND position BETWEEN ? AND ? AND entry_id IS NOT NULL)`,
		no, int64(first), int64(last))
	if err != nil {
		return 0, err
	}
	res, err := w.conn.ExecContext(ctx, `DELETE FROM events WHERE tenant = ? AND position BETWEEN ? AND ?`, no, int64(first), int64(last))
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}
