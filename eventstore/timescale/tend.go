package timescale

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"auditlog/internal/pgdb"
)

// TendOptions of Tend. The zero value is what production uses.
type TendOptions struct {
	// ColumnsAfter is how long after its end a chunk is turned into columns, where the tier can do that. Default 7 days.
	ColumnsAfter time.Duration
}

// Tended is what Tend did, in chunks (or native partitions).
type Tended struct {
	Dropped int // they held no event any more
	Columns int // turned into columns, for the first time or again
	Busy    int // left for the next time, since others used them
}

// chunk is a chunk or native partition whose time is over.
type chunk struct {
	low, high time.Time
	rows      bool // at least in part, and may be turned into columns
}

// Both give the chunks that end at or before $1, oldest first, and whether they may be turned into columns.
const (
	hyperChunksSQL = `
		SELECT c.range_start, c.range_end, h.compression_enabled AND (NOT c.is_compressed OR k.status & 8 <> 0) -- 8: partly rows again
		FROM timescaledb_information.chunks c
		JOIN timescaledb_information.hypertables h ON h.hypertable_schema = c.hypertable_schema AND h.hypertable_name = c.hypertable_name
		JOIN _timescaledb_catalog.chunk k ON k.schema_name = c.chunk_schema AND k.table_name = c.chunk_name
		WHERE c.hypertable_schema = 'auditlog' AND c.hypertable_name = 'events' AND c.range_end <= $1
		ORDER BY c.range_start`
	plainChunksSQL = `
		SELECT b.bounds[1]::timestamptz AS low, b.bounds[2]::timestamptz AS high, false
		FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
		CROSS JOIN regexp_match(pg_get_expr(c.relpartbound, c.oid), $$FROM \('([^']+)'\) TO \('([^']+)'\)$$) AS b (bounds)
		WHERE i.inhparent = 'auditlog.events'::regclass AND b.bounds[2]::timestamptz <= $1
		ORDER BY low`
)

// Tend looks after the chunks whose time is over: it drops those in which purges left nothing, and on the Community tier
// turns old ones into columns, except where a purge is at work. Each chunk is a transaction of its own, so whatever ends
// Tend, what it did is whole, and the next call goes on. A worker calls it every hour or so; while another process tends,
// it does nothing. It needs no policy and no job of the server.
func (l *Lifecycle) Tend(ctx context.Context, o TendOptions) (t Tended, err error) {
	if o.ColumnsAfter <= 0 {
		o.ColumnsAfter = 7 * 24 * time.Hour
	}
	var now time.Time
	if err := l.pool.QueryRow(ctx, `SELECT coalesce($1, clock_timestamp())`, l.at()).Scan(&now); err != nil {
		return t, translate("tend chunks", err)
	}
	query := hyperChunksSQL
	if l.tier == Plain {
		query = plainChunksSQL
	}
	rows, err := l.pool.Query(ctx, query, now)
	if err != nil {
		return t, translate("list chunks", err)
	}
	chunks, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (c chunk, err error) {
		err = r.Scan(&c.low, &c.high, &c.rows)
		return c, err
	})
	if err != nil {
		return t, translate("list chunks", err)
	}
	for _, c := range chunks {
		old := l.tier == Community && c.rows && !c.high.Add(o.ColumnsAfter).After(now)
		if err := l.tendOne(ctx, c, old, &t); err != nil {
			return t, translate(fmt.Sprintf("tend the chunk of %s", c.low.UTC().Format(time.RFC3339)), err)
		}
	}
	return t, nil
}

// columnsTimeout bounds the conversion of one chunk, during which it can be read but not written.
const columnsTimeout = time.Hour

// lockNotAvailable is the SQLSTATE of a lock_timeout.
const lockNotAvailable = "55P03"

// tendOne drops a chunk if it is empty, else turns it into columns if it is old enough.
func (l *Lifecycle) tendOne(ctx context.Context, c chunk, old bool, t *Tended) error {
	var dropped, columns bool
	err := pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
		var mine bool
		if err := tx.QueryRow(ctx, `SELECT pg_try_advisory_xact_lock(7402, 6)`).Scan(&mine); err != nil || !mine {
			return err
		}
		if err := tx.QueryRow(ctx, `SELECT auditlog.drop_empty_chunk($1)`, c.low).Scan(&dropped); err != nil || dropped || !old {
			return err
		}
		var purged bool
		err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM auditlog.purges p WHERE p.status = 'running' AND p.before > $1)`, c.low).Scan(&purged)
		if err != nil || purged {
			return err
		}
		if _, err := tx.Exec(ctx, fmt.Sprintf(`SET LOCAL statement_timeout = %d`, columnsTimeout.Milliseconds())); err != nil {
			return err
		}
		columns = true
		_, err = tx.Exec(ctx, `SELECT auditlog.chunk_to_columns($1)`, c.low)
		return err
	})
	switch {
	case pgdb.State(err) == lockNotAvailable:
		t.Busy++
		return nil
	case err != nil:
		return err
	case dropped:
		t.Dropped++
	case columns:
		t.Columns++
	}
	return nil
}
