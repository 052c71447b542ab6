package timescale

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"auditlog/eventstore"
)

// Statements are those that ran with a context of Watch.
type Statements struct {
	mu  sync.Mutex
	all []statement
}

type statement struct {
	sql  string
	args []any
}

type watchKey struct{}

// Watch is a context whose reads are noted.
func Watch(ctx context.Context) (context.Context, *Statements) {
	s := &Statements{}
	return context.WithValue(ctx, watchKey{}, s), s
}

// Reset forgets what ran.
func (s *Statements) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = nil
}

// Explain gives the plans of the noted statements that read events, as the service's pool makes them.
func (s *Statements) Explain(tb testing.TB, store *Store) []string {
	tb.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	var plans []string
	for _, st := range s.all {
		if !strings.Contains(st.sql, "auditlog.events") {
			continue
		}
		rows, err := store.pool.Query(context.Background(), "EXPLAIN (COSTS OFF) "+st.sql, st.args...)
		if err != nil {
			tb.Fatal(err)
		}
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			tb.Fatal(err)
		}
		plans = append(plans, strings.Join(lines, "\n"))
	}
	return plans
}

func note(ctx context.Context, sql string, args []any) {
	if s, ok := ctx.Value(watchKey{}).(*Statements); ok {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.all = append(s.all, statement{sql, args})
	}
}

// noting is a tracer of pgx.
type noting struct{}

func (noting) TraceQueryStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceQueryStartData) context.Context {
	note(ctx, d.SQL, d.Args)
	return ctx
}
func (noting) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}
func (noting) TraceBatchStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceBatchStartData) context.Context {
	for _, q := range d.Batch.QueuedQueries {
		note(ctx, q.SQL, q.Arguments)
	}
	return ctx
}
func (noting) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}
func (noting) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData)     {}

// init lets every pool of the tests note its statements.
func init() { tracer = noting{} }

// HeadSQL is what Head asks.
const HeadSQL = headSQL

// CopyFrom makes flushes of so many drafts, or more, go by COPY.
func (s *Store) CopyFrom(drafts int) { s.copyFrom = drafts }

// Gather lets so many transactions of small flushes be under way before others wait for their end, and so long.
func (s *Store) Gather(atOnce int, patience time.Duration) {
	s.together.atOnce, s.together.patience = atOnce, patience
}

// Waiting is how many small flushes wait for the end of transactions.
func (s *Store) Waiting() int {
	s.together.mu.Lock()
	defer s.together.mu.Unlock()
	return len(s.together.waiting)
}

// Prune removes all flushes but the newest so many, as appends do by and by.
func (s *Store) Prune(tb testing.TB, shard eventstore.Shard, keep int64) {
	tb.Helper()
	var seq int64
	if err := s.pool.QueryRow(tb.Context(), `SELECT flushes FROM auditlog.shards WHERE shard = $1`, shard).Scan(&seq); err != nil {
		tb.Fatal(err)
	}
	s.prune(tb.Context(), s.pool, shard, seq-keep)
}

// KeysOf are slots and rests of a tenant's tokens.
func KeysOf(tenant eventstore.TenantID, tokens [][32]byte) (slots, rests []int64) {
	for _, token := range tokens {
		k := keyOf(tenant, &eventstore.Idempotency{Token: token})
		slots, rests = append(slots, k.slot), append(rests, k.rest)
	}
	return slots, rests
}
