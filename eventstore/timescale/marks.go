package timescale

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"auditlog/eventstore"
)

// mark is the first number, a position or an offset, of a chunk.
type mark struct {
	first int64
	at    time.Time
}

// maxMarks bounds what is asked for at once; the last of them stands for all that follow.
const maxMarks = 64

// forever is behind every recorded_at.
var forever = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)

// The marks from the one that covers a number on.
const (
	tenantMarksSQL = `
		SELECT m.first, m.recorded_at FROM auditlog.tenant_marks m
		WHERE m.tenant = $1 AND m.first >= coalesce((
			SELECT max(c.first) FROM auditlog.tenant_marks c WHERE c.tenant = $1 AND c.first <= $2), 0)
		ORDER BY m.first LIMIT $3`
	shardMarksSQL = `
		SELECT m.first, m.recorded_at FROM auditlog.shard_marks m
		WHERE m.shard = $1 AND m.first >= coalesce((
			SELECT max(c.first) FROM auditlog.shard_marks c WHERE c.shard = $1 AND c.first <= $2), 0)
		ORDER BY m.first LIMIT $3`
)

func (b *base) marks(ctx context.Context, query string, of any, from int64) ([]mark, error) {
	rows, err := b.pool.Query(ctx, query, of, from, maxMarks)
	if err != nil {
		return nil, err
	}
	return collectMarks(rows)
}

func collectMarks(rows pgx.Rows) ([]mark, error) {
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (m mark, err error) {
		err = r.Scan(&m.first, &m.at)
		return m, err
	})
}

// binEnd is the end of the chunk that holds a time; chunks are aligned to 1970.
func (b *base) binEnd(at time.Time) time.Time {
	span := b.span.Microseconds()
	return time.UnixMicro(at.UnixMicro() - at.UnixMicro()%span + span).UTC()
}

// end is the time before which the events of marks[i] lie. The last of a full page of marks stands for all that follow.
func (b *base) end(marks []mark, i int) time.Time {
	if i == maxMarks-1 {
		return forever
	}
	return b.binEnd(marks[i].at)
}

// below are the marks of chunks that hold a number up to the last one asked for.
func below(marks []mark, last int64) []mark {
	for len(marks) > 1 && marks[len(marks)-1].first > last {
		marks = marks[:len(marks)-1]
	}
	return marks
}

// walk fills a page with events of ascending numbers, chunk after chunk: the first alone, which is enough nearly always,
// then more and more at once, for a tenant that writes rarely. read is asked for events of a range of time.
func (b *base) walk(ctx context.Context, marks []mark, limit int, read func(from, to time.Time, limit int) (pgx.Rows, error)) ([]eventstore.Event, error) {
	var p page
	for i, n := 0, 1; i < len(marks) && len(p.events) < limit && p.bytes < eventstore.PageBytes; i, n = i+n, n*4 {
		rows, err := read(marks[i].at, b.end(marks, min(i+n, len(marks))-1), limit-len(p.events))
		if err := p.add(rows, err, eventstore.PageBytes); err != nil {
			return nil, translate("read events", err)
		}
	}
	return p.events, b.tenantIDs(ctx, p.events, p.nos)
}
