package postgres

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"auditlog/internal/pgdb"
	"auditlog/migrations"
	"auditlog/projection"
	"auditlog/projection/relay"
)

func schema() pgdb.Schema {
	return pgdb.Schema{Name: "auditlog_relay", Files: migrations.Postgres("relay")}
}

// Prepare brings the database's schema up to date as the role that is to own it, and lets the service's role, which is
// created without login where it is missing, do what Open's DB does. It may run beside a service of the same version.
func Prepare(ctx context.Context, owner, service string) error {
	if err := schema().Migrate(ctx, owner, nil); err != nil {
		return err
	}
	return schema().Grant(ctx, owner, service,
		`INSERT, UPDATE ON auditlog_relay.leases, auditlog_relay.cursors`,
		`INSERT, UPDATE, DELETE ON auditlog_relay.members, auditlog_relay.parked`)
}

// Options of a DB. Zero values take the defaults.
type Options struct {
	Life time.Duration // of a lease that is not renewed; default 10 s
	Name string        // of this process in the table of members, for people; default host and process id
	Log  *slog.Logger
}

// DB is a process's part in the relaying: relay.Cursors, relay.Lease and projection.Parking. One relay uses it at a time.
// A process that acquires no lease is no member.
type DB struct {
	pool  *pgxpool.Pool
	saves *saver
	lease *keeper
	once  sync.Once
}

var (
	_ relay.Cursors      = (*DB)(nil)
	_ relay.Lease        = (*DB)(nil)
	_ projection.Parking = (*DB)(nil)
)

// Open connects to a database that Prepare has prepared.
func Open(ctx context.Context, address string, o Options) (*DB, error) {
	if o.Name == "" {
		host, _ := os.Hostname()
		o.Name = fmt.Sprintf("%s/%d", cmp.Or(host, "?"), os.Getpid())
	}
	o.Life = cmp.Or(o.Life, 10*time.Second)
	if o.Log == nil {
		o.Log = slog.Default()
	}
	pool, err := pgdb.Open(ctx, address, pgdb.Options{MaxConns: 4})
	if err != nil {
		return nil, err
	}
	if err := schema().Check(ctx, pool); err != nil {
		pool.Close()
		return nil, err
	}
	saves, err := pgdb.Open(ctx, address, pgdb.Options{ // nobody waits for the disk: an old cursor is safe
		MaxConns: 1, AllowVolatile: true, Params: map[string]string{"synchronous_commit": "off"},
	})
	if err != nil {
		pool.Close()
		return nil, err
	}
	lease := newKeeper(address, o)
	return &DB{pool: pool, saves: &saver{pool: saves, holder: lease.id}, lease: lease}, nil
}

// Close ends every hold, gives all leases back and closes the connections. The relay should have stopped before. A
// second Close does nothing.
func (d *DB) Close() error {
	d.once.Do(func() {
		d.lease.close()
		d.saves.done.Wait()
		d.saves.pool.Close()
		d.pool.Close()
	})
	return nil
}
