package timescale

import (
	"context"
	"encoding/binary"
	"errors"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"auditlog/eventstore"
	"auditlog/internal/fault"
	"auditlog/internal/pgdb"
)

// tenant is what never changes of one: its surrogate and its shard.
type tenant struct {
	no    int32
	shard eventstore.Shard
}

// tenantCache holds the tenants that were seen. None ever leaves the database.
type tenantCache struct {
	mu   sync.RWMutex
	byID map[eventstore.TenantID]tenant
	byNo map[int32]eventstore.TenantID
}

func (c *tenantCache) get(id eventstore.TenantID) (tenant, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	t, ok := c.byID[id]
	return t, ok
}

func (c *tenantCache) id(no int32) (eventstore.TenantID, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	id, ok := c.byNo[no]
	return id, ok
}

func (c *tenantCache) put(id eventstore.TenantID, t tenant) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byID == nil {
		c.byID, c.byNo = map[eventstore.TenantID]tenant{}, map[int32]eventstore.TenantID{}
	}
	c.byID[id], c.byNo[t.no] = t, id
}

// tenant looks one up; errNoTenant when there is none.
func (b *base) tenant(ctx context.Context, id eventstore.TenantID) (tenant, error) {
	if t, ok := b.tenants.get(id); ok {
		return t, nil
	}
	var t tenant
	err := b.pool.QueryRow(ctx, `SELECT no, shard FROM auditlog.tenants WHERE id = $1`, id).Scan(&t.no, &t.shard)
	if errors.Is(err, pgx.ErrNoRows) {
		return tenant{}, errNoTenant
	}
	if err != nil {
		return tenant{}, translate("look up a tenant", err)
	}
	b.tenants.put(id, t)
	return t, nil
}

// tenantIDs fills in the tenants of events by their surrogates.
func (b *base) tenantIDs(ctx context.Context, events []eventstore.Event, nos []int32) error {
	for i, no := range nos {
		if i > 0 && no == nos[i-1] {
			events[i].Tenant = events[i-1].Tenant
			continue
		}
		id, ok := b.tenants.id(no)
		if !ok {
			var shard eventstore.Shard
			if err := b.pool.QueryRow(ctx, `SELECT id, shard FROM auditlog.tenants WHERE no = $1`, no).Scan(&id, &shard); err != nil {
				return translate("look up an event's tenant", err)
			}
			b.tenants.put(id, tenant{no, shard})
		}
		events[i].Tenant = id
	}
	return nil
}

const tenantColumns = `id, slug, name, status, retention_days, shard, created_at`

func scanTenant(row pgx.Row) (t eventstore.Tenant, err error) {
	var created time.Time
	err = row.Scan(&t.ID, &t.Slug, &t.Name, &t.Status, &t.RetentionDays, &t.Shard, &created)
	t.CreatedAt = eventstore.MicrosOf(created)
	return t, err
}

// Tenant is one tenant by id.
func (s *Store) Tenant(ctx context.Context, id eventstore.TenantID) (eventstore.Tenant, error) {
	return s.oneTenant(ctx, `id = $1`, id)
}

// TenantBySlug is one tenant by its slug.
func (s *Store) TenantBySlug(ctx context.Context, slug string) (eventstore.Tenant, error) {
	return s.oneTenant(ctx, `slug = $1`, slug)
}

func (s *Store) oneTenant(ctx context.Context, where string, key any) (eventstore.Tenant, error) {
	t, err := scanTenant(s.pool.QueryRow(ctx, `SELECT `+tenantColumns+` FROM auditlog.tenants WHERE `+where, key))
	if errors.Is(err, pgx.ErrNoRows) {
		return eventstore.Tenant{}, errNoTenant
	}
	return t, s.failed("read a tenant", err)
}

// Tenants is a page of all tenants in order of creation.
func (s *Store) Tenants(ctx context.Context, after eventstore.TenantID, limit int) ([]eventstore.Tenant, error) {
	var from tenant
	var err error
	if !after.IsZero() {
		from, err = s.tenant(ctx, after)
	}
	if err != nil || limit <= 0 {
		return nil, err
	}
	rows, err := s.pool.Query(ctx, `SELECT `+tenantColumns+` FROM auditlog.tenants WHERE no > $1 ORDER BY no LIMIT $2`, from.no, limit)
	if err != nil {
		return nil, s.failed("read tenants", err)
	}
	list, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (eventstore.Tenant, error) { return scanTenant(r) })
	return list, s.failed("read tenants", err)
}

// shardOf spreads tenants over the shards by their ids, which are random at their end.
func (b *base) shardOf(id eventstore.TenantID) eventstore.Shard {
	return eventstore.Shard(binary.BigEndian.Uint64(id[8:]) % uint64(b.shards))
}

// CreateTenant stores a tenant and its first event. The draft's idempotency key is not looked at: the slug is the key.
// One tenant is created at a time, so that the order of surrogates is that of commits.
func (s *Store) CreateTenant(ctx context.Context, t eventstore.Tenant, created eventstore.Draft) (eventstore.Tenant, error) {
	if t.ID.IsZero() {
		return eventstore.Tenant{}, errors.New("a tenant needs an id")
	}
	t.Shard = s.shardOf(t.ID)
	created.Idempotency = nil
	var no int32
	err := s.withPartition(ctx, t.Shard, func() error {
		return s.inTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(7402, 5)`); err != nil {
				return err
			}
			return s.one(ctx, tx, t.Shard, func(p *plan) (int32, *eventstore.Draft, error) {
				t.CreatedAt = p.at
				err := tx.QueryRow(ctx, `
					WITH made AS (
						INSERT INTO auditlog.tenants (id, slug, name, status, retention_days, shard, created_at)
						VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING no
					)
					INSERT INTO auditlog.heads (tenant) SELECT no FROM made RETURNING tenant`,
					t.ID, t.Slug, t.Name, t.Status, t.RetentionDays, t.Shard, t.CreatedAt.Time()).Scan(&no)
				if pgdb.Constraint(err) == "tenants_slug" || pgdb.Constraint(err) == "tenants_id" {
					err = fault.New(fault.Conflict, "the tenant's slug is taken")
				}
				return no, &created, err
			})
		})
	})
	if err != nil {
		return eventstore.Tenant{}, s.failed("create a tenant", err)
	}
	s.tenants.put(t.ID, tenant{no, t.Shard})
	s.wake.committed(t.Shard)
	return t, nil
}
