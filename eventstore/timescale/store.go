package timescale

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"auditlog/eventstore"
	"auditlog/internal/pgdb"
)

// Config of a Store or a Lifecycle. Address is required; the rest has defaults.
type Config struct {
	// Address of the database as libpq takes it, a URL or keywords, with the role's name.
	Address string
	// AppendConns and ReadConns bound the connections for appends (default: one for each shard) and for everything else
	// (default 8). One more listens.
	AppendConns, ReadConns int
	// StatementTimeout bounds each statement. Default 5 s.
	StatementTimeout time.Duration
	// Now replaces the database's clock, for tests.
	Now func() time.Time
}

// base is what a Store and a Lifecycle share: connections as one role, and what never changes of the database.
type base struct {
	pool    *pgxpool.Pool // plans each statement for its values, so that chunks are left out by them
	now     func() time.Time
	tier    Tier
	shards  int
	span    time.Duration
	tenants tenantCache
}

// tracer sees the statements of pools; tests set it.
var tracer pgx.QueryTracer

func openBase(ctx context.Context, c Config) (*base, error) {
	reads := c.ReadConns
	if reads == 0 {
		reads = 8
	}
	pool, err := pgdb.Open(ctx, c.Address, pgdb.Options{
		MaxConns: reads, StatementTimeout: c.StatementTimeout, Params: map[string]string{"plan_cache_mode": "force_custom_plan"},
		Tracer: tracer,
	})
	if err != nil {
		return nil, err
	}
	b := &base{pool: pool, now: c.Now}
	if err := b.load(ctx); err != nil {
		pool.Close()
		return nil, err
	}
	return b, nil
}

// load looks at the database: its schema must be the one that this program knows.
func (b *base) load(ctx context.Context) (err error) {
	if err := schema().Check(ctx, b.pool); err != nil {
		return err
	}
	if b.tier, err = findTier(ctx, b.pool); err != nil {
		return fmt.Errorf("find what the database can do: %w", err)
	}
	return b.pool.QueryRow(ctx, `SELECT shards, span FROM auditlog.layout`).Scan(&b.shards, &b.span)
}

// at is the value of a statement's clock parameter: none, so that the database looks at its own.
func (b *base) at() *time.Time {
	if b.now == nil {
		return nil
	}
	t := b.now()
	return &t
}

// Tier tells what the database can do with old events.
func (b *base) Tier() Tier { return b.tier }

func (b *base) checkShard(s eventstore.Shard) error {
	if int(s) >= b.shards {
		return errNoShard
	}
	return nil
}

// ensurePartition makes the native partition for a time, where partitions are native.
func (b *base) ensurePartition(ctx context.Context, at time.Time) error {
	if b.tier != Plain {
		return nil
	}
	_, err := b.pool.Exec(ctx, `SELECT auditlog.ensure_partition($1)`, at)
	return err
}

// Store is the event store on one database, as the service's role.
type Store struct {
	*base
	hot  *pgxpool.Pool // for appends alone, whose statements' plans are kept
	wake *wakes
	once sync.Once

	copyFrom int // number of drafts

	together *together
}

var _ eventstore.Store = (*Store)(nil)

// Open connects to a database that Migrate has prepared. The error of a database that is not, or that may lose what it
// acknowledges, says so: pgdb.ErrOlder, pgdb.ErrNewer, pgdb.ErrNotDurable.
func Open(ctx context.Context, c Config) (*Store, error) {
	b, err := openBase(ctx, c)
	if err != nil {
		return nil, err
	}
	appends := c.AppendConns
	if appends == 0 {
		appends = b.shards
	}
	hot, err := pgdb.Open(ctx, c.Address, pgdb.Options{MaxConns: appends, StatementTimeout: c.StatementTimeout})
	if err == nil {
		s := &Store{base: b, hot: hot, copyFrom: copyFrom, together: newTogether(b.shards)}
		if err = s.prepareAhead(ctx); err == nil {
			s.wake = startWakes(s, c.Address)
			return s, nil
		}
		hot.Close()
	}
	b.pool.Close()
	return nil, err
}

// prepareAhead makes the partitions of now and of the next span.
func (s *Store) prepareAhead(ctx context.Context) error {
	now := time.Now()
	if s.now != nil {
		now = s.now()
	}
	return errors.Join(s.ensurePartition(ctx, now), s.ensurePartition(ctx, now.Add(s.span)))
}

// Close ends the store once what it does has finished. A second Close does nothing.
func (s *Store) Close() error {
	s.once.Do(func() {
		s.wake.stop()
		s.hot.Close()
		s.pool.Close()
	})
	return nil
}

// Shards is the number fixed by the first migration.
func (s *Store) Shards() int { return s.shards }

// Appended is closed at the next commit to the shard by any process, and when the store closes.
func (s *Store) Appended(shard eventstore.Shard) <-chan struct{} { return s.wake.next(shard) }

// Ping tells whether an append could work now: the database answers, takes writes, and its clock is not behind.
func (s *Store) Ping(ctx context.Context) error {
	var lead float64
	var readOnly bool
	err := s.hot.QueryRow(ctx, `
		SELECT coalesce(extract(epoch FROM max(recorded_at) - coalesce($1, clock_timestamp()))::float8, 0),
			current_setting('transaction_read_only')::boolean
		FROM auditlog.shards`, s.at()).Scan(&lead, &readOnly)
	if err != nil {
		return s.failed("ping", err)
	}
	if readOnly {
		return errReadOnly
	}
	if ahead := time.Duration(math.Round(lead*1e6)) * time.Microsecond; ahead > eventstore.MaxClockLead {
		return clockFault(ahead)
	}
	return nil
}

// failed is translate for a store that may have been closed.
func (s *Store) failed(doing string, err error) error {
	if s.wake.ended() {
		return errClosed
	}
	return translate(doing, err)
}

// inTx runs f in one transaction, which commits when f returns nil. The pool plans each statement for its values.
func (b *base) inTx(ctx context.Context, f func(context.Context, pgx.Tx) error) error {
	conn, err := b.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	ctx, cancel := begun(ctx)
	defer cancel()
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return f(ctx, tx) })
}

// begun is the context of what must not end half-way because a caller left.
func begun(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), beginTimeout)
}

// beginTimeout is above any statement_timeout that makes sense: it is for a server that does not answer at all.
const beginTimeout = 30 * time.Second
