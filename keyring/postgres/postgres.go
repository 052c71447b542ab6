package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"auditlog/internal/pgdb"
	"auditlog/keyring"
	"auditlog/migrations"
)

func schema() pgdb.Schema {
	return pgdb.Schema{Name: "auditlog_keys", Files: migrations.Postgres("keys")}
}

// Migrate brings the database's schema up to date. The role that does so owns the keys; Open connects as the same one.
func Migrate(ctx context.Context, address string) error { return schema().Migrate(ctx, address, nil) }

// Driver keeps a keyring's items in a database. Make it with Open.
type Driver struct {
	keyring.Wrapper
	items *pgxpool.Pool // reads, and vacuums
	locks *pgxpool.Pool // a connection for each lock that is held or waited for

	mu   sync.Mutex // guards held
	held map[lockKey]*session

	scrubber scrubber
	once     sync.Once
}

var _ keyring.Driver = (*Driver)(nil)

// ErrOtherWrapper says that the wrapper does not open what the database holds.
var ErrOtherWrapper = errors.New("the tenants' keys in the database do not open: they were wrapped by another secret than the one given")

// Open connects to a database that Migrate has prepared. wrapper wraps the tenants' secrets, for each process the same:
// keyring.WrapBySecret makes one of a secret that the operator keeps. One that does not open what is there is refused
// now, rather than at the first entry.
func Open(ctx context.Context, address string, wrapper keyring.Wrapper) (*Driver, error) {
	items, err := pgdb.Open(ctx, address, pgdb.Options{})
	if err != nil {
		return nil, fmt.Errorf("key database: %w", err)
	}
	if err := schema().Check(ctx, items); err != nil {
		items.Close()
		return nil, fmt.Errorf("key database: %w", err)
	}
	locks, err := pgdb.Open(ctx, address, pgdb.Options{MaxConns: lockConns, StatementTimeout: lockWait})
	if err != nil {
		items.Close()
		return nil, fmt.Errorf("key database: %w", err)
	}
	d := &Driver{Wrapper: wrapper, items: items, locks: locks, held: map[lockKey]*session{}}
	d.scrubber.start(items)
	if err := d.tryWrapper(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("key database: %w", err), d.Close())
	}
	return d, nil
}

// tryWrapper opens one tenant's secrets, if there are any.
func (d *Driver) tryWrapper(ctx context.Context) error {
	var tenant [16]byte
	var wrapped []byte
	err := d.items.QueryRow(ctx, `SELECT tenant, data FROM auditlog_keys.items WHERE kind = $1 ORDER BY tenant LIMIT 1`, int16(keyring.Secrets)).
		Scan(&tenant, &wrapped)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return pgdb.Translate("read keys", err)
	}
	secret, err := d.Unwrap(ctx, tenant, wrapped)
	clear(secret)
	if err != nil {
		return fmt.Errorf("%w (%s: %w)", ErrOtherWrapper, d.Place(tenant, keyring.Item{Kind: keyring.Secrets}), err)
	}
	return nil
}

// Ping tells whether the database answers.
func (d *Driver) Ping(ctx context.Context) error {
	return pgdb.Translate("reach the key database", d.items.Ping(ctx))
}

// Close ends the connections, and with them the locks.
func (d *Driver) Close() error {
	d.once.Do(func() {
		d.scrubber.stop()
		d.locks.Close()
		d.items.Close()
	})
	return nil
}

// Place names the item's row.
func (d *Driver) Place(tenant [16]byte, i keyring.Item) string {
	id := uuid.UUID(tenant)
	switch i.Kind {
	case keyring.Secrets:
		return fmt.Sprintf("secrets of tenant %v in auditlog_keys.items", id)
	case keyring.Lease:
		return fmt.Sprintf("lease of tenant %v in auditlog_keys.items", id)
	default:
		return fmt.Sprintf("seeds %d-%d of epoch %d of tenant %v in auditlog_keys.items", i.Level, i.Index, i.Epoch, id)
	}
}

// Get reads the item's row, again when a connection turns out to be broken: after a restart of the server all are.
func (d *Driver) Get(ctx context.Context, tenant [16]byte, i keyring.Item) (data []byte, err error) {
	for range 2 {
		err = d.items.QueryRow(ctx, `
			SELECT data FROM auditlog_keys.items WHERE tenant = $1 AND kind = $2 AND epoch = $3 AND level = $4 AND index = $5`,
			tenant, int16(i.Kind), int64(i.Epoch), int16(i.Level), int64(i.Index)).Scan(&data)
		if !pgdb.Lost(err) {
			break
		}
		d.items.Reset()
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, keyring.ErrAbsent
	}
	return data, pgdb.Translate("read keys", err)
}

// Put writes the item's row anew, on the connection that holds its lock.
func (d *Driver) Put(ctx context.Context, tenant [16]byte, i keyring.Item, data []byte) error {
	scopes := []keyring.Scope{{}}
	if i.Kind == keyring.Chunk { // a new epoch's first chunk is put under the tenant's lock
		scopes = []keyring.Scope{{Chunks: true, Epoch: i.Epoch}, {}}
	}
	err := d.under(tenant, scopes, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, `
			INSERT INTO auditlog_keys.items (tenant, kind, epoch, level, index, data) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (tenant, kind, epoch, level, index) DO UPDATE SET data = excluded.data`,
			tenant, int16(i.Kind), int64(i.Epoch), int16(i.Level), int64(i.Index), data)
		return err
	})
	if err == nil && i.Kind == keyring.Chunk {
		d.scrubber.due()
	}
	return pgdb.Translate("write keys", err)
}

// Remove deletes the rows of a range of chunks.
func (d *Driver) Remove(ctx context.Context, tenant [16]byte, epoch uint32, level uint8, first, last uint32) error {
	err := d.under(tenant, []keyring.Scope{{Chunks: true, Epoch: epoch}}, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, `
			DELETE FROM auditlog_keys.items WHERE tenant = $1 AND kind = $2 AND epoch = $3 AND level = $4 AND index BETWEEN $5 AND $6`,
			tenant, int16(keyring.Chunk), int64(epoch), int16(level), int64(first), int64(last))
		return err
	})
	if err == nil {
		d.scrubber.due()
	}
	return pgdb.Translate("remove keys", err)
}

// scrubber vacuums the items a moment after some were replaced, many at once. A failure is left to the next time and to
// the server's own vacuum.
type scrubber struct {
	wanted chan struct{}
	end    context.CancelFunc
	done   sync.WaitGroup
}

const scrubAfter = time.Second

func (s *scrubber) start(items *pgxpool.Pool) {
	ctx, cancel := context.WithCancel(context.Background())
	s.wanted, s.end = make(chan struct{}, 1), cancel
	s.done.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-s.wanted:
			}
			select { // what is replaced meanwhile goes with it
			case <-ctx.Done():
				return
			case <-time.After(scrubAfter):
			}
			_, _ = items.Exec(ctx, `VACUUM (TRUNCATE false) auditlog_keys.items`)
		}
	})
}

func (s *scrubber) due() {
	select {
	case s.wanted <- struct{}{}:
	default: // it is due already
	}
}

func (s *scrubber) stop() {
	s.end()
	s.done.Wait()
}
