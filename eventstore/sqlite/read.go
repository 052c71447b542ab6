package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"auditlog/eventstore"
	"auditlog/internal/mutant"
)

const (
	tenantNoSQL  = `SELECT no FROM tenants WHERE id = ?`
	shardHeadSQL = `SELECT "offset", recorded_at FROM events ORDER BY "offset" DESC LIMIT 1`

	eventColumns = `e."offset", e.tenant, e.position, e.recorded_at, e.id, e.type, e.entry_id, e.key_epoch, e.key_index, e.public, e.private`
)

// statements of the read pool.
type statements struct {
	tenantNo, tenantID, tenant, head, shardHead, get, removed, readTenant, readShard, eventBelow, removedBelow *sql.Stmt
}

func (st *statements) prepare(ctx context.Context, db *sql.DB) error {
	for _, p := range []struct {
		st  **sql.Stmt
		sql string
	}{
		{&st.tenantNo, tenantNoSQL},
		{&st.tenantID, `SELECT id FROM tenants WHERE no = ?`},
		{&st.tenant, `SELECT ` + tenantColumns + ` FROM tenants WHERE id = ?`},
		{&st.head, `
			SELECT t.purged, e.position, e."offset", e.recorded_at,
				max(coalesce((SELECT max(position) FROM about WHERE tenant = t.no AND erasure = 1), 0),
					coalesce((SELECT max(position) FROM purges WHERE tenant = t.no), 0))
			FROM tenants t
			LEFT JOIN events e ON e.tenant = t.no AND e.position = (SELECT max(position) FROM events WHERE tenant = t.no)
			WHERE t.no = ?`},
		{&st.shardHead, shardHeadSQL},
		{&st.get, `SELECT ` + eventColumns + `, t.purged FROM events e JOIN tenants t ON t.no = e.tenant WHERE e.id = ? AND e.tenant = ?`},
		{&st.removed, `SELECT position, leaf FROM removed WHERE id = ? AND tenant = ?`},
		{&st.readTenant, `
			SELECT ` + eventColumns + ` FROM events e
			WHERE e.tenant = ?1 AND e.position > max(?2, (SELECT purged FROM tenants WHERE no = ?1))
			ORDER BY e.position LIMIT ?3`},
		{&st.readShard, `SELECT ` + eventColumns + ` FROM events e WHERE e."offset" > ? ORDER BY e."offset" LIMIT ?`},
		{&st.eventBelow, eventBelowSQL},
		{&st.removedBelow, removedBelowSQL},
	} {
		var err error
		if *p.st, err = db.PrepareContext(ctx, p.sql); err != nil {
			return err
		}
	}
	return nil
}

// Get is one event by id.
func (s *Store) Get(ctx context.Context, tenant eventstore.TenantID, id eventstore.EventID) (eventstore.Event, error) {
	no, err := s.tenantNo(ctx, tenant)
	if err != nil {
		return eventstore.Event{}, err
	}
	rows, err := s.read.get.QueryContext(ctx, id[:], no)
	if err != nil {
		return eventstore.Event{}, translate("get an event", err)
	}
	defer rows.Close()
	if !rows.Next() {
		if err := rows.Err(); err != nil {
			return eventstore.Event{}, translate("get an event", err)
		}
		_ = rows.Close() // frees the connection for the next statement; there was nothing to read
		return eventstore.Event{}, s.whyAbsent(ctx, no, id)
	}
	var purged integer
	var sc scanner
	if err := rows.Scan(append(sc.into(), &purged)...); err != nil {
		return eventstore.Event{}, translate("get an event", err)
	}
	if int64(sc.position) <= int64(purged) {
		return eventstore.Event{}, errPurged
	}
	return sc.event(tenant), nil
}

// whyAbsent is errPurged for an event that was removed, else errNoEvent.
func (s *Store) whyAbsent(ctx context.Context, no int64, id eventstore.EventID) error {
	if _, err := s.removedLeaf(ctx, no, id); err != nil {
		return err
	}
	return errPurged
}

// statementTime bounds one page: what takes longer is a disk that does not answer, and holds a snapshot that stops the
// write-ahead log from being folded back.
const statementTime = 5 * time.Second

// ReadTenant is a page of a tenant's log.
func (s *Store) ReadTenant(ctx context.Context, tenant eventstore.TenantID, after eventstore.Position, limit int) ([]eventstore.Event, error) {
	ctx, cancel := context.WithTimeout(ctx, statementTime)
	defer cancel()
	no, err := s.tenantNo(ctx, tenant)
	if err != nil || limit <= 0 {
		return nil, err
	}
	rows, err := s.read.readTenant.QueryContext(ctx, no, int64(after), limit)
	return s.page(ctx, rows, err, eventstore.PageBytes)
}

// ReadShard is a page of the shard's log.
func (s *Store) ReadShard(ctx context.Context, shard eventstore.Shard, after eventstore.Offset, limit int) ([]eventstore.Event, error) {
	ctx, cancel := context.WithTimeout(ctx, statementTime)
	defer cancel()
	if err := checkShard(shard); err != nil || limit <= 0 {
		return nil, err
	}
	rows, err := s.read.readShard.QueryContext(ctx, int64(after), limit)
	return s.page(ctx, rows, err, eventstore.PageBytes)
}

// maxIn is the number of values in one IN list.
const maxIn = 256

// ReadPositions are events by position. Their bytes are not bounded by a page: the caller chose their number.
func (s *Store) ReadPositions(ctx context.Context, tenant eventstore.TenantID, at []eventstore.Position) ([]eventstore.Event, error) {
	ctx, cancel := context.WithTimeout(ctx, statementTime)
	defer cancel()
	no, err := s.tenantNo(ctx, tenant)
	if err != nil {
		return nil, err
	}
	found := make(map[eventstore.Position]eventstore.Event, len(at))
	for rest := at; len(rest) > 0; rest = rest[min(maxIn, len(rest)):] {
		args := []any{no}
		for _, p := range rest[:min(maxIn, len(rest))] {
			args = append(args, int64(p))
		}
		rows, err := s.db.Read.QueryContext(ctx, `
			SELECT `+eventColumns+` FROM events e
			WHERE e.tenant = ?1 AND e.position > (SELECT purged FROM tenants WHERE no = ?1) AND e.position IN `+placeholders(len(args)-1), args...)
		events, err := s.page(ctx, rows, err, 0)
		if err != nil {
			return nil, err
		}
		for _, e := range events {
			found[e.Position] = e
		}
	}
	out := make([]eventstore.Event, 0, len(found))
	for _, p := range at {
		if e, ok := found[p]; ok {
			out = append(out, e)
		}
	}
	return out, nil
}

// aboutSQL asks for the events about n entries. CROSS JOIN keeps SQLite from walking the tenant's events and asking for
// each whether it is wanted: the few rows of the side table come first.
func aboutSQL(n int) string {
	return `
		SELECT ` + eventColumns + ` FROM about a
		CROSS JOIN events e ON e.tenant = a.tenant AND e.position = a.position
		WHERE a.tenant = ?1 AND a.position > (SELECT purged FROM tenants WHERE no = ?1) AND a.entry IN ` + placeholders(n)
}

// About are amendments and erasures of the given entries.
func (s *Store) About(ctx context.Context, tenant eventstore.TenantID, entries []eventstore.EventID) ([]eventstore.Event, error) {
	ctx, cancel := context.WithTimeout(ctx, statementTime)
	defer cancel()
	no, err := s.tenantNo(ctx, tenant)
	if err != nil {
		return nil, err
	}
	var out []eventstore.Event
	for rest := entries; len(rest) > 0; rest = rest[min(maxIn, len(rest)):] {
		args := []any{no}
		for _, id := range rest[:min(maxIn, len(rest))] {
			args = append(args, id[:])
		}
		rows, err := s.db.Read.QueryContext(ctx, aboutSQL(len(args)-1), args...)
		events, err := s.page(ctx, rows, err, 0)
		if err != nil {
			return nil, err
		}
		out = append(out, events...)
	}
	return inOrder(out), nil
}

// ShardHead is the newest place of the shard.
func (s *Store) ShardHead(ctx context.Context, shard eventstore.Shard) (eventstore.ShardHead, error) {
	if err := checkShard(shard); err != nil {
		return eventstore.ShardHead{}, err
	}
	var h eventstore.ShardHead
	err := s.read.shardHead.QueryRowContext(ctx).Scan(&h.Offset, &h.RecordedAt)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	if mutant.On == mutant.Bigserial {
		h.Offset = max(h.Offset, eventstore.Offset(s.given.Load()))
	}
	return h, translate("read the shard's head", err)
}

// Head is the newest place of a tenant's log.
func (s *Store) Head(ctx context.Context, tenant eventstore.TenantID) (eventstore.Head, error) {
	no, err := s.tenantNo(ctx, tenant)
	if err != nil {
		return eventstore.Head{}, err
	}
	var purged, hidden int64
	var position, offset, at sql.NullInt64
	if err := s.read.head.QueryRowContext(ctx, no).Scan(&purged, &position, &offset, &at, &hidden); err != nil {
		return eventstore.Head{}, translate("read a head", err)
	}
	return eventstore.Head{
		Position: eventstore.Position(position.Int64), Offset: eventstore.Offset(offset.Int64),
		RecordedAt: eventstore.Micros(at.Int64), Purged: eventstore.Position(purged), Hidden: eventstore.Position(hidden),
	}, nil
}
