package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"auditlog/eventstore"
)

// placeholders is "(?,?,…)" for n values.
func placeholders(n int) string { return "(?" + strings.Repeat(",?", n-1) + ")" }

// lookKeys puts what is known of the drafts' idempotency keys into the plan.
func (w *writer) lookKeys(tenant int64, drafts []eventstore.Draft) error {
	args := []any{tenant}
	for i := range drafts {
		if k := drafts[i].Idempotency; k != nil {
			args = append(args, k.Token[:])
		}
		if len(args) > 1 && (len(args) == 257 || i == len(drafts)-1) {
			if err := w.lookTokens(tenant, args); err != nil {
				return err
			}
			args = args[:1]
		}
	}
	return nil
}

func (w *writer) lookTokens(tenant int64, args []any) error {
	rows, err := w.conn.QueryContext(context.Background(), `
		SELECT k.token, k.fingerprint, k.position, coalesce(e.id, r.id), coalesce(e.recorded_at, r.recorded_at)
		FROM idempotency k
		LEFT JOIN events  e ON e.tenant = k.tenant AND e.position = k.position
		LEFT JOIN removed r ON r.tenant = k.tenant AND r.position = k.position
		WHERE k.tenant = ? AND k.token IN `+placeholders(len(args)-1), args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var token, fingerprint, id []byte
		k := known{answer: eventstore.Outcome{Status: eventstore.Replayed}}
		if err := rows.Scan(&token, &fingerprint, &k.answer.Position, &id, &k.answer.RecordedAt); err != nil {
			return err
		}
		copy(k.fingerprint[:], fingerprint)
		copy(k.answer.ID[:], id)
		w.plan.keys[tokenKey{tenant, [32]byte(token)}] = k
	}
	return rows.Err()
}

// lookTargets puts what is known of the entries that drafts are about into the plan; missing ones are left out.
func (w *writer) lookTargets(tenant int64, drafts []eventstore.Draft) error {
	for i := range drafts {
		d := &drafts[i]
		if !isAbout(d) {
			continue
		}
		w.plan.hasTargets = true
		k := entryKey{tenant, d.EntryID}
		if _, ok := w.plan.targets[k]; ok {
			continue
		}
		t, found, err := w.lookTarget(k)
		if err != nil {
			return err
		}
		if found {
			w.plan.targets[k] = t
		}
	}
	return nil
}

func (w *writer) lookTarget(k entryKey) (target, bool, error) {
	ctx := context.Background()
	var typ kind
	var purged bool
	var by []byte
	var position, at sql.NullInt64
	rows, err := w.conn.QueryContext(ctx, `
		SELECT e.type, e.position <= t.purged, x.id, x.position, x.recorded_at
		FROM events e
		JOIN tenants t ON t.no = e.tenant
		LEFT JOIN about  a ON a.tenant = e.tenant AND a.entry = e.id AND a.erasure = 1
		LEFT JOIN events x ON x.tenant = a.tenant AND x.position = a.position
		WHERE e.id = ? AND e.tenant = ?`, k.entry[:], k.tenant)
	if err != nil {
		return target{}, false, err
	}
	defer rows.Close()
	if !rows.Next() {
		if err := rows.Err(); err != nil {
			return target{}, false, err
		}
		gone, err := w.isRemoved(k)
		return purgedTarget(), gone, err
	}
	if err := rows.Scan(&typ, &purged, &by, &position, &at); err != nil {
		return target{}, false, err
	}
	switch {
	case eventstore.Type(typ) != eventstore.EntryRecorded:
		return target{}, false, nil
	case purged:
		return purgedTarget(), true, nil
	case by != nil:
		return target{eventstore.TargetErased, eventstore.Outcome{
			Status: eventstore.TargetErased, ID: eventstore.EventID(by),
			Position: eventstore.Position(position.Int64), RecordedAt: eventstore.Micros(at.Int64),
		}}, true, nil
	}
	return target{}, true, nil
}

func purgedTarget() target {
	return target{eventstore.TargetPurged, eventstore.Outcome{Status: eventstore.TargetPurged}}
}

func (w *writer) isRemoved(k entryKey) (bool, error) {
	var one int
	err := w.conn.QueryRowContext(context.Background(), `SELECT 1 FROM removed WHERE id = ? AND tenant = ?`, k.entry[:], k.tenant).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// replay answers a flush that was stored before: each draft by the status it had then, its place by its id or key.
func (s *Store) replay(w *writer, seq int64, f eventstore.Flush) ([]eventstore.Outcome, error) {
	var statuses []byte
	if err := w.conn.QueryRowContext(context.Background(), `SELECT statuses FROM flushes WHERE seq = ?`, seq).Scan(&statuses); err != nil {
		return nil, err
	}
	defer w.plan.reset()
	var outcomes []eventstore.Outcome
	for i := range f.Units {
		u := &f.Units[i]
		no, err := s.noForWrite(w, u.Tenant)
		if err != nil {
			return nil, err
		}
		if err := w.lookKeys(no, u.Drafts); err != nil {
			return nil, err
		}
		for j := range u.Drafts {
			status := eventstore.Stored
			if statuses != nil {
				if len(outcomes) >= len(statuses) {
					return nil, errOtherDrafts
				}
				status = eventstore.Status(statuses[len(outcomes)])
			}
			o, err := w.again(no, &u.Drafts[j], status)
			if err != nil {
				return nil, err
			}
			outcomes = append(outcomes, o)
		}
	}
	return outcomes, nil
}

// again is the outcome of a draft that had this status.
func (w *writer) again(tenant int64, d *eventstore.Draft, status eventstore.Status) (eventstore.Outcome, error) {
	o := eventstore.Outcome{Status: status}
	switch status {
	case eventstore.Stored:
		o.ID = d.ID
		err := w.conn.QueryRowContext(context.Background(), `
			SELECT position, recorded_at FROM events WHERE id = ?1 AND tenant = ?2
			UNION ALL SELECT position, recorded_at FROM removed WHERE id = ?1 AND tenant = ?2`, d.ID[:], tenant).Scan(&o.Position, &o.RecordedAt)
		if errors.Is(err, sql.ErrNoRows) {
			err = errOtherDrafts
		}
		return o, err
	case eventstore.Replayed:
		if d.Idempotency == nil {
			return o, errOtherDrafts
		}
		k, ok := w.plan.keys[tokenKey{tenant, d.Idempotency.Token}]
		if !ok {
			return o, errOtherDrafts
		}
		return k.answer, nil
	case eventstore.TargetErased:
		t, found, err := w.lookTarget(entryKey{tenant, d.EntryID})
		if err == nil && (!found || t.refusal == 0) {
			err = fmt.Errorf("the erasure of an entry is gone: %w", errOtherDrafts)
		}
		if t.refusal == eventstore.TargetErased {
			o = t.by
		}
		return o, err
	}
	return o, nil
}
