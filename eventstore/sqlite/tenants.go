package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"auditlog/eventstore"
	"auditlog/internal/fault"
)

const tenantColumns = `no, id, slug, name, status, retention_days, created_at`

// CreateTenant stores a tenant and its first event. The draft's idempotency key is not looked at: the slug is the key.
func (s *Store) CreateTenant(ctx context.Context, t eventstore.Tenant, created eventstore.Draft) (eventstore.Tenant, error) {
	if t.ID.IsZero() {
		return eventstore.Tenant{}, errors.New("a tenant needs an id")
	}
	var no int64
	err := s.withWriter(ctx, func(w *writer) error {
		return s.one(w, func(at eventstore.Micros) (int64, *eventstore.Draft, error) {
			t.Shard, t.CreatedAt = 0, at
			res, err := w.conn.ExecContext(context.Background(), `
				INSERT INTO tenants (id, slug, name, status, retention_days, created_at) VALUES (?, ?, ?, ?, ?, ?)`,
				t.ID[:], t.Slug, t.Name, t.Status, t.RetentionDays, int64(at))
			if isDuplicate(err) {
				return 0, nil, fault.New(fault.Conflict, "the tenant's slug is taken")
			}
			if err != nil {
				return 0, nil, err
			}
			no, err = res.LastInsertId()
			created.Idempotency = nil
			return no, &created, err
		})
	})
	if err != nil {
		return eventstore.Tenant{}, err
	}
	s.tenants.put(t.ID, no)
	return t, nil
}

// one appends a single event that the store itself is asked for, in a transaction with what build does. build is told
// the event's time and answers with its tenant.
func (s *Store) one(w *writer, build func(at eventstore.Micros) (int64, *eventstore.Draft, error)) error {
	if err := w.load(); err != nil {
		return err
	}
	at, err := w.clock(s.now())
	if err != nil {
		return err
	}
	p := &w.plan
	defer p.reset()
	p.at, p.shard = at, w.shard.Offset
	err = w.inTx(func() error {
		no, d, err := build(at)
		if err != nil {
			return err
		}
		if p.heads[no], err = w.head(no); err != nil {
			return err
		}
		p.store(no, d)
		return w.conn.Raw(func(any) error { return w.insertEvents() })
	})
	if err != nil {
		return err
	}
	s.committed(w)
	return nil
}

// Tenant is one tenant by id.
func (s *Store) Tenant(ctx context.Context, id eventstore.TenantID) (eventstore.Tenant, error) {
	return s.oneTenant(s.read.tenant.QueryRowContext(ctx, id[:]))
}

// TenantBySlug is one tenant by its slug.
func (s *Store) TenantBySlug(ctx context.Context, slug string) (eventstore.Tenant, error) {
	return s.oneTenant(s.db.Read.QueryRowContext(ctx, `SELECT `+tenantColumns+` FROM tenants WHERE slug = ?`, slug))
}

func (s *Store) oneTenant(row *sql.Row) (eventstore.Tenant, error) {
	t, no, err := scanTenant(row)
	if errors.Is(err, sql.ErrNoRows) {
		return eventstore.Tenant{}, errNoTenant
	}
	if err != nil {
		return eventstore.Tenant{}, translate("read a tenant", err)
	}
	s.tenants.put(t.ID, no)
	return t, nil
}

// Tenants is a page of all tenants in order of creation.
func (s *Store) Tenants(ctx context.Context, after eventstore.TenantID, limit int) ([]eventstore.Tenant, error) {
	var no int64
	var err error
	if !after.IsZero() {
		no, err = s.tenantNo(ctx, after)
	}
	if err != nil || limit <= 0 {
		return nil, err
	}
	rows, err := s.db.Read.QueryContext(ctx, `SELECT `+tenantColumns+` FROM tenants WHERE no > ? ORDER BY no LIMIT ?`, no, limit)
	if err != nil {
		return nil, translate("read tenants", err)
	}
	defer rows.Close()
	var out []eventstore.Tenant
	for rows.Next() {
		t, _, err := scanTenant(rows)
		if err != nil {
			return nil, translate("read tenants", err)
		}
		out = append(out, t)
	}
	return out, translate("read tenants", rows.Err())
}

func scanTenant(row interface{ Scan(...any) error }) (t eventstore.Tenant, no int64, err error) {
	var id raw
	err = row.Scan(&no, &id, &t.Slug, &t.Name, &t.Status, &t.RetentionDays, &t.CreatedAt)
	copy(t.ID[:], id)
	return t, no, err
}
