package timescale

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"auditlog/eventstore"
	"auditlog/internal/fault"
)

// Lifecycle removes events, as a role of its own.
type Lifecycle struct{ *base }

var _ eventstore.Lifecycle = (*Lifecycle)(nil)

// OpenLifecycle connects as the lifecycle role to a database that Migrate has prepared.
func OpenLifecycle(ctx context.Context, c Config) (*Lifecycle, error) {
	if c.ReadConns == 0 {
		c.ReadConns = 2
	}
	b, err := openBase(ctx, c)
	if err != nil {
		return nil, err
	}
	return &Lifecycle{b}, nil
}

// Close ends the connections.
func (l *Lifecycle) Close() error {
	l.pool.Close()
	return nil
}

const purgeColumns = `p.id, t.id, p.position, p.before, p.first, p.last, p.removed, p.status, p.requested_at, p.completed_at`

func scanPurge(row pgx.Row) (p eventstore.Purge, err error) {
	var before, requested time.Time
	var completed *time.Time
	err = row.Scan((*[16]byte)(&p.ID), (*[16]byte)(&p.Tenant), &p.Position, &before, &p.First, &p.Last, &p.Removed, &p.Status, &requested, &completed)
	p.Before, p.RequestedAt, p.CompletedAt = eventstore.MicrosOf(before), eventstore.MicrosOf(requested), microsOf(completed)
	return p, err
}

// Purges are a tenant's purges, oldest first.
func (s *Store) Purges(ctx context.Context, id eventstore.TenantID) ([]eventstore.Purge, error) {
	t, err := s.tenant(ctx, id)
	if err != nil {
		return nil, err
	}
	rows, err := s.pool.Query(ctx, `
		SELECT `+purgeColumns+` FROM auditlog.purges p JOIN auditlog.tenants t ON t.no = p.tenant WHERE p.tenant = $1 ORDER BY p.no`, t.no)
	if err != nil {
		return nil, s.failed("read purges", err)
	}
	list, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (eventstore.Purge, error) { return scanPurge(r) })
	return list, s.failed("read purges", err)
}

// Matching counts the tenant's readable events before a time.
func (l *Lifecycle) Matching(ctx context.Context, id eventstore.TenantID, at eventstore.Micros) (int64, error) {
	t, err := l.tenant(ctx, id)
	if err != nil {
		return 0, err
	}
	head, err := l.head(ctx, l.pool, t)
	if err != nil {
		return 0, err
	}
	last, err := l.last(ctx, l.pool, before, t, head.Position, at.Time())
	return max(0, int64(last.position-head.Purged)), translate("count events", err)
}

// errNothing ends a transaction that has nothing to store.
var errNothing = errors.New("nothing to store")

// Purge raises the watermark. A purge that nothing matches is done at once.
func (l *Lifecycle) Purge(ctx context.Context, id eventstore.TenantID, at eventstore.Micros,
	build func(eventstore.Purge) (eventstore.Draft, error),
) (p eventstore.Purge, started bool, err error) {
	t, err := l.tenant(ctx, id)
	if err != nil {
		return eventstore.Purge{}, false, err
	}
	err = l.withPartition(ctx, t.shard, func() error {
		return l.inTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
			return l.one(ctx, tx, t.shard, func(pl *plan) (int32, *eventstore.Draft, error) {
				var running bool
				if p, running, err = runningPurge(ctx, tx, t); err != nil {
					return 0, nil, err
				}
				if running {
					return 0, nil, errNothing
				}
				p = eventstore.Purge{Tenant: id, Before: at, RequestedAt: pl.at}
				d, err := l.startPurge(ctx, tx, t, &p, build)
				return t.no, d, err
			})
		})
	})
	switch {
	case errors.Is(err, errNothing) && p.Before != at:
		return eventstore.Purge{}, false, fault.New(fault.Conflict, "another purge of the tenant is running")
	case errors.Is(err, errNothing):
		return p, false, nil
	case err != nil:
		return eventstore.Purge{}, false, translate("purge", err)
	}
	return p, true, nil
}

func runningPurge(ctx context.Context, q querier, t tenant) (eventstore.Purge, bool, error) {
	p, err := scanPurge(q.QueryRow(ctx, `
		SELECT `+purgeColumns+` FROM auditlog.purges p JOIN auditlog.tenants t ON t.no = p.tenant
		WHERE p.tenant = $1 AND p.status = 'running'`, t.no))
	if errors.Is(err, pgx.ErrNoRows) {
		return eventstore.Purge{}, false, nil
	}
	return p, err == nil, err
}

// startPurge finds the range, has the event built, and stores job and watermark. The shard's head is locked.
func (l *Lifecycle) startPurge(ctx context.Context, tx pgx.Tx, t tenant, p *eventstore.Purge, build func(eventstore.Purge) (eventstore.Draft, error)) (*eventstore.Draft, error) {
	head, err := l.head(ctx, tx, t)
	if err != nil {
		return nil, err
	}
	last, err := l.last(ctx, tx, before, t, head.Position, p.Before.Time())
	if err != nil {
		return nil, err
	}
	p.Position, p.First, p.Last, p.Status = head.Position+1, head.Purged+1, max(head.Purged, last.position), eventstore.PurgeRunning
	var completed *time.Time
	if p.Last < p.First {
		p.Status, p.CompletedAt = eventstore.PurgeDone, p.RequestedAt
		at := p.CompletedAt.Time()
		completed = &at
	}
	d, err := build(*p)
	if err != nil {
		return nil, err
	}
	p.ID = d.ID
	_, err = tx.Exec(ctx, `
		WITH purge AS (
			INSERT INTO auditlog.purges (id, tenant, position, before, first, last, status, requested_at, completed_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
		)
		UPDATE auditlog.heads SET purged = $6 WHERE tenant = $2`,
		[16]byte(p.ID), t.no, p.Position, p.Before.Time(), p.First, p.Last, p.Status, p.RequestedAt.Time(), completed)
	if err == nil { // counts wait for projections to have taken the purge in
		_, err = tx.Exec(ctx, `SELECT pg_notify($1, $2)`, channel, strconv.Itoa(int(t.shard)))
	}
	return &d, err
}

// Doomed is a page of the oldest running purge's events.
func (l *Lifecycle) Doomed(ctx context.Context, limit int) (eventstore.Purge, []eventstore.Event, error) {
	p, err := scanPurge(l.pool.QueryRow(ctx, `
		SELECT `+purgeColumns+` FROM auditlog.purges p JOIN auditlog.tenants t ON t.no = p.tenant
		WHERE p.status = 'running' ORDER BY p.no LIMIT 1`))
	if errors.Is(err, pgx.ErrNoRows) {
		return eventstore.Purge{}, nil, nil
	}
	if err != nil {
		return eventstore.Purge{}, nil, translate("read the running purge", err)
	}
	t, err := l.tenant(ctx, p.Tenant)
	if err != nil || limit <= 0 {
		return p, nil, err
	}
	first, err := l.firstLeft(ctx, t, p)
	if err != nil {
		return p, nil, translate("read doomed events", err)
	}
	marks, err := l.marks(ctx, tenantMarksSQL, t.no, first)
	if err != nil {
		return p, nil, translate("read doomed events", err)
	}
	events, err := l.walk(ctx, below(marks, int64(p.Last)), limit, func(from, to time.Time, left int) (pgx.Rows, error) {
		return l.pool.Query(ctx, `
			SELECT `+eventColumns+` FROM auditlog.events e
			WHERE e.shard = $7 AND e.tenant = $1 AND e.position BETWEEN $2 AND $3 AND e.recorded_at >= $4 AND e.recorded_at < $5
			ORDER BY e.position LIMIT $6`, t.no, first, p.Last, from, to, left, t.shard)
	})
	return p, events, err
}

// firstLeft is the first position of a purge that may not have been removed: purges remove from the oldest on.
func (l *Lifecycle) firstLeft(ctx context.Context, t tenant, p eventstore.Purge) (first int64, err error) {
	err = l.pool.QueryRow(ctx, `
		SELECT coalesce(max(r.position) + 1, $2) FROM auditlog.removed r WHERE r.tenant = $1 AND r.position BETWEEN $2 AND $3`,
		t.no, int64(p.First), int64(p.Last)).Scan(&first)
	return first, err
}

// RemovedLeaf is the kept leaf of a removed event.
func (l *Lifecycle) RemovedLeaf(ctx context.Context, tenantID eventstore.TenantID, id eventstore.EventID) (eventstore.Leaf, error) {
	t, err := l.tenant(ctx, tenantID)
	if err != nil {
		return eventstore.Leaf{}, err
	}
	return l.removedLeaf(ctx, t, id)
}

func (b *base) removedLeaf(ctx context.Context, t tenant, id eventstore.EventID) (eventstore.Leaf, error) {
	leaf := eventstore.Leaf{ID: id}
	var hash []byte
	err := b.pool.QueryRow(ctx, `SELECT r.position, r.leaf FROM auditlog.removed r WHERE r.id = $1 AND r.tenant = $2`, [16]byte(id), t.no).
		Scan(&leaf.Position, &hash)
	if errors.Is(err, pgx.ErrNoRows) {
		return eventstore.Leaf{}, errNoEvent
	}
	copy(leaf.Hash[:], hash)
	return leaf, translate("read a kept leaf", err)
}
