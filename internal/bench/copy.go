package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"auditlog/eventstore"
)

// eventColumns are those of the table of events, less entry_id, which entries leave empty.
var eventColumns = []string{"recorded_at", "offset", "position", "tenant", "key_epoch", "key_index", "shard", "id", "type", "public", "private"}

func columnList() string { return `"` + strings.Join(eventColumns, `", "`) + `"` }

// copier puts rows that the service stored into the same table of another database on the same server, which the same
// command migrated: by COPY over one connection, or by INSERT when it is one row. It is a limit.
type copier struct {
	db   *pgx.Conn
	one  string  // the INSERT
	rows [][]any // as stored
	next int64   // offset and position of the next row
}

// newCopier takes the newest rows of entries from the stack's database, for one of its own.
func (s *stack) newCopier(ctx context.Context, suffix string) (*copier, error) {
	owner, err := s.database(ctx, s.name+suffix, "")
	if err != nil {
		return nil, err
	}
	bare := map[string]string{"AUDITLOG_OWNER": owner, "AUDITLOG_KEYS": "", "AUDITLOG_PROJECTIONS": ""}
	for _, role := range []string{"AUDITLOG_STORE", "AUDITLOG_LIFECYCLE"} {
		if bare[role], err = in(s.settings[role], s.name+suffix); err != nil {
			return nil, err
		}
	}
	if err := s.doWith(ctx, bare, "migrate"); err != nil {
		return nil, err
	}
	rows, err := s.db.Query(ctx, `SELECT `+columnList()+` FROM auditlog.events WHERE type = 'entry.recorded' ORDER BY recorded_at DESC, "offset" DESC LIMIT 10000`)
	if err != nil {
		return nil, err
	}
	c := &copier{next: 1}
	c.rows, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) ([]any, error) { return row.Values() })
	if err == nil && len(c.rows) == 0 {
		err = errors.New("no rows are stored")
	}
	if err != nil {
		return nil, err
	}
	places := make([]string, len(eventColumns))
	for i := range places {
		places[i] = fmt.Sprintf("$%d", i+1)
	}
	c.one = `INSERT INTO auditlog.events (` + columnList() + `) VALUES (` + strings.Join(places, ", ") + `)`
	if c.db, err = pgx.Connect(ctx, owner); err != nil {
		return nil, err
	}
	_, err = c.insert(ctx, 1) // makes the chunk
	return c, err
}

// batch is n rows with ids and places of their own, recorded now.
func (c *copier) batch(n int) [][]any {
	batch, at := make([][]any, n), time.Now().UTC().Truncate(time.Microsecond)
	for i := range batch {
		row := append([]any(nil), c.rows[int(c.next)%len(c.rows)]...)
		row[0], row[1], row[2], row[7] = at, c.next, c.next, [16]byte(eventstore.NewEventID())
		c.next++
		batch[i] = row
	}
	return batch
}

func (c *copier) insert(ctx context.Context, n int) (time.Duration, error) {
	batch := c.batch(n)
	start := time.Now()
	var err error
	if n == 1 {
		_, err = c.db.Exec(ctx, c.one, batch[0]...)
	} else {
		_, err = c.db.CopyFrom(ctx, pgx.Identifier{"auditlog", "events"}, eventColumns, pgx.CopyFromRows(batch))
	}
	return time.Since(start), err
}

// keyColumns are those of the table of idempotency keys.
var keyColumns = []string{"slot", "rest", "fingerprint", "position"}

// keyed is insert of rows that have an idempotency key each, whose rows go along in the same transaction. The keys are
// hashes, so any numbers do; they are in the order of their index, as the service has those of a bulk.
func (c *copier) keyed(ctx context.Context, n int) (time.Duration, error) {
	batch, keys := c.batch(n), make([][]any, n)
	for i, row := range batch {
		keys[i] = []any{int64(rand.Uint64()), int64(rand.Uint64()), int64(rand.Uint64()), row[2]}
	}
	slices.SortFunc(keys, func(a, b []any) int { return cmp.Compare(a[0].(int64), b[0].(int64)) })
	start := time.Now()
	err := pgx.BeginFunc(ctx, c.db, func(tx pgx.Tx) error {
		_, err := tx.CopyFrom(ctx, pgx.Identifier{"auditlog", "events"}, eventColumns, pgx.CopyFromRows(batch))
		if err == nil {
			_, err = tx.CopyFrom(ctx, pgx.Identifier{"auditlog", "idempotency"}, keyColumns, pgx.CopyFromRows(keys))
		}
		return err
	})
	return time.Since(start), err
}

// whole states what COPY reaches when it commits once for ten thousand rows, where bulks are durable by the thousand.
func (s *stack) whole(ctx context.Context, c *copier) error {
	const rows = 10 * bulkEntries
	n := max(1, s.Bulks/10)
	var took time.Duration
	for range n {
		t, err := c.insert(ctx, rows)
		if err != nil {
			return err
		}
		took += t
	}
	return s.report(Line{
		Name: "plain COPY of 10,000 rows a statement", Value: float64(n*rows) / took.Seconds(), Unit: "entries/s", Least: true,
		Cache: "warm", Workers: "off", Connections: 1, Samples: n,
	})
}

func (c *copier) close(ctx context.Context) error { return c.db.Close(ctx) }
