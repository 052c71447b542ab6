package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"auditlog/internal/pgdb"
	"auditlog/keyring"
)

const (
	lockConns  = 16
	lockWait   = time.Hour // a context bounds the wait
	unlockWait = 5 * time.Second
)

type lockKey struct {
	tenant [16]byte
	scope  keyring.Scope
}

// number is the key of the advisory lock. Two scopes with the same number would only wait for each other.
func (k lockKey) number() int64 {
	b := append([]byte("auditlog/keys/v1"), k.tenant[:]...)
	if k.scope.Chunks {
		b = binary.BigEndian.AppendUint32(append(b, 1), k.scope.Epoch)
	}
	h := sha256.Sum256(b)
	return int64(binary.BigEndian.Uint64(h[:]))
}

// session is the connection that holds a lock. Its holder's goroutine owns it.
type session struct{ conn *pgxpool.Conn }

// Lock takes the scope's advisory lock on a connection of its own.
func (d *Driver) Lock(ctx context.Context, tenant [16]byte, s keyring.Scope) (unlock func(), err error) {
	conn, err := d.locks.Acquire(ctx)
	if err != nil {
		return nil, pgdb.Translate("lock keys", err)
	}
	key := lockKey{tenant, s}
	if _, err := conn.Exec(ctx, `SELECT pg_catalog.pg_advisory_lock($1)`, key.number()); err != nil {
		d.drop(conn) // whether the lock was taken is unknown
		return nil, pgdb.Translate("lock keys", errors.Join(err, ctx.Err()))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.held[key] = &session{conn}
	return func() { d.unlock(key) }, nil
}

func (d *Driver) unlock(key lockKey) {
	d.mu.Lock()
	s := d.held[key]
	delete(d.held, key)
	d.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), unlockWait)
	defer cancel()
	if _, err := s.conn.Exec(ctx, `SELECT pg_catalog.pg_advisory_unlock($1)`, key.number()); err != nil {
		d.drop(s.conn) // the lock ends with its session
		return
	}
	s.conn.Release()
}

// drop ends a connection that must not serve again.
func (d *Driver) drop(conn *pgxpool.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), unlockWait)
	defer cancel()
	_ = conn.Hijack().Close(ctx) // it is given up, whatever it says
}

var errNotLocked = errors.New("the item's lock is not held")

// under runs f on the connection that holds the first of the scopes that is held.
func (d *Driver) under(tenant [16]byte, scopes []keyring.Scope, f func(*pgx.Conn) error) error {
	d.mu.Lock()
	var s *session
	for i := 0; s == nil && i < len(scopes); i++ {
		s = d.held[lockKey{tenant, scopes[i]}]
	}
	d.mu.Unlock()
	if s == nil {
		return errNotLocked
	}
	return f(s.conn.Conn())
}
