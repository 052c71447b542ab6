package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"auditlog/eventstore"
	"auditlog/internal/fault"
)

const purgeColumns = `p.id, t.id, p.position, p.before, p.first, p.last, p.removed, p.status, p.requested_at, p.completed_at`

// Matching counts the tenant's readable events before a time.
func (s *Store) Matching(ctx context.Context, tenant eventstore.TenantID, before eventstore.Micros) (int64, error) {
	head, err := s.Head(ctx, tenant)
	if err != nil {
		return 0, err
	}
	no, err := s.tenantNo(ctx, tenant)
	if err != nil {
		return 0, err
	}
	last, err := s.places().last(ctx, no, head.Position, func(m placed) bool { return m.at < before })
	return max(0, int64(last.position-head.Purged)), translate("count events", err)
}

// Purge raises the watermark. A purge that nothing matches is done at once.
func (s *Store) Purge(ctx context.Context, tenant eventstore.TenantID, before eventstore.Micros,
	build func(eventstore.Purge) (eventstore.Draft, error),
) (p eventstore.Purge, started bool, err error) {
	no, err := s.tenantNo(ctx, tenant)
	if err != nil {
		return eventstore.Purge{}, false, err
	}
	err = s.withWriter(ctx, func(w *writer) error {
		err := s.one(w, func(at eventstore.Micros) (int64, *eventstore.Draft, error) {
			var running bool
			if p, running, err = w.runningPurge(no); err != nil {
				return 0, nil, err
			}
			if running {
				return 0, nil, errNothing
			}
			p = eventstore.Purge{Tenant: tenant, Before: before, RequestedAt: at}
			d, err := w.startPurge(no, &p, build)
			return no, d, err
		})
		started = err == nil
		if !errors.Is(err, errNothing) {
			return err
		}
		if p.Before != before {
			return fault.New(fault.Conflict, "another purge of the tenant is running")
		}
		return nil
	})
	if err != nil {
		return eventstore.Purge{}, false, err
	}
	return p, started, nil
}

func (w *writer) runningPurge(no int64) (eventstore.Purge, bool, error) {
	p, err := scanPurge(w.conn.QueryRowContext(context.Background(), `
		SELECT `+purgeColumns+` FROM purges p JOIN tenants t ON t.no = p.tenant WHERE p.tenant = ? AND p.status = 'running'`, no))
	if errors.Is(err, sql.ErrNoRows) {
		return eventstore.Purge{}, false, nil
	}
	return p, err == nil, err
}

// startPurge finds the range, has the event built, and stores job and watermark.
func (w *writer) startPurge(no int64, p *eventstore.Purge, build func(eventstore.Purge) (eventstore.Draft, error)) (*eventstore.Draft, error) {
	ctx := context.Background()
	head, err := w.head(no)
	if err != nil {
		return nil, err
	}
	var purged eventstore.Position
	if err := w.conn.QueryRowContext(ctx, `SELECT purged FROM tenants WHERE no = ?`, no).Scan(&purged); err != nil {
		return nil, err
	}
	last, err := w.places().last(ctx, no, head.position, func(m placed) bool { return m.at < p.Before })
	if err != nil {
		return nil, err
	}
	p.Position, p.First, p.Last, p.Status = head.position+1, purged+1, max(purged, last.position), eventstore.PurgeRunning
	if p.Last < p.First {
		p.Status, p.CompletedAt = eventstore.PurgeDone, p.RequestedAt
	}
	d, err := build(*p)
	if err != nil {
		return nil, err
	}
	p.ID = d.ID
	_, err = w.conn.ExecContext(ctx, `
		INSERT INTO purges (id, tenant, position, before, first, last, status, requested_at, completed_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		p.ID[:], no, int64(p.Position), int64(p.Before), int64(p.First), int64(p.Last), p.Status, int64(p.RequestedAt), int64(p.CompletedAt))
	if err == nil {
		_, err = w.conn.ExecContext(ctx, `UPDATE tenants SET purged = ? WHERE no = ?`, int64(p.Last), no)
	}
	return &d, err
}

// Doomed is a page of the oldest running purge's events.
func (s *Store) Doomed(ctx context.Context, limit int) (eventstore.Purge, []eventstore.Event, error) {
	p, err := scanPurge(s.db.Read.QueryRowContext(ctx, `
		SELECT `+purgeColumns+` FROM purges p JOIN tenants t ON t.no = p.tenant WHERE p.status = 'running' ORDER BY p.no LIMIT 1`))
	if errors.Is(err, sql.ErrNoRows) {
		return eventstore.Purge{}, nil, nil
	}
	if err != nil {
		return eventstore.Purge{}, nil, translate("read the running purge", err)
	}
	no, err := s.tenantNo(ctx, p.Tenant)
	if err != nil || limit <= 0 {
		return p, nil, err
	}
	rows, err := s.db.Read.QueryContext(ctx, `
		SELECT `+eventColumns+` FROM events e WHERE e.tenant = ? AND e.position BETWEEN ? AND ? ORDER BY e.position LIMIT ?`,
		no, int64(p.First), int64(p.Last), limit)
	events, err := s.page(ctx, rows, err, eventstore.PageBytes)
	return p, events, err
}

// Purges are a tenant's purges, oldest first.
func (s *Store) Purges(ctx context.Context, tenant eventstore.TenantID) ([]eventstore.Purge, error) {
	no, err := s.tenantNo(ctx, tenant)
	if err != nil {
		return nil, err
	}
	rows, err := s.db.Read.QueryContext(ctx, `
		SELECT `+purgeColumns+` FROM purges p JOIN tenants t ON t.no = p.tenant WHERE p.tenant = ? ORDER BY p.no`, no)
	if err != nil {
		return nil, translate("read purges", err)
	}
	defer rows.Close()
	var out []eventstore.Purge
	for rows.Next() {
		p, err := scanPurge(rows)
		if err != nil {
			return nil, translate("read purges", err)
		}
		out = append(out, p)
	}
	return out, translate("read purges", rows.Err())
}

func scanPurge(row interface{ Scan(...any) error }) (p eventstore.Purge, err error) {
	var id, tenant raw
	err = row.Scan(&id, &tenant, &p.Position, &p.Before, &p.First, &p.Last, &p.Removed, &p.Status, &p.RequestedAt, &p.CompletedAt)
	copy(p.ID[:], id)
	copy(p.Tenant[:], tenant)
	return p, err
}

// RemovedLeaf is the kept leaf of a removed event.
func (s *Store) RemovedLeaf(ctx context.Context, tenant eventstore.TenantID, id eventstore.EventID) (eventstore.Leaf, error) {
	no, err := s.tenantNo(ctx, tenant)
	if err != nil {
		return eventstore.Leaf{}, err
	}
	return s.removedLeaf(ctx, no, id)
}

func (s *Store) removedLeaf(ctx context.Context, no int64, id eventstore.EventID) (eventstore.Leaf, error) {
	leaf := eventstore.Leaf{ID: id}
	var hash []byte
	err := s.read.removed.QueryRowContext(ctx, id[:], no).Scan(&leaf.Position, &hash)
	if errors.Is(err, sql.ErrNoRows) {
		return eventstore.Leaf{}, errNoEvent
	}
	if err == nil && copy(leaf.Hash[:], hash) != len(leaf.Hash) {
		err = fmt.Errorf("kept leaf hash has %d bytes", len(hash))
	}
	return leaf, translate("read a kept leaf", err)
}
