package timescale

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"auditlog/eventstore"
)

// copyFrom is the number of drafts from which on COPY takes less time than one statement, though it needs a second round
// trip: rows go into the table together rather than one by one, and through no plan.
const copyFrom = 40

// copySQL ends the transaction, in the same round trip.
const copySQL = `COPY auditlog.events (recorded_at, "offset", position, tenant, key_epoch, key_index, shard, id, type, public, private)
	FROM STDIN (FORMAT binary); COMMIT`

const copyFields = 11

var copyBuffers = sync.Pool{New: func() any { return new([]byte) }}

// keepCopy bounds a pooled buffer: about that of a full bulk of large entries.
const keepCopy = 4 << 20

// sendCopy sends a flush as a transaction of two round trips: places, then events.
func (s *Store) sendCopy(ctx context.Context, p *simple) (got places, err error) {
	conn, err := s.hot.Acquire(ctx)
	if err != nil {
		return got, err
	}
	defer conn.Release() // which closes one that is still in a transaction
	ctx, cancel := begun(ctx)
	defer cancel()
	if got, err = p.begin(ctx, conn, s.args(p, 0)); err != nil || len(got.bases) == 0 {
		return got, errors.Join(err, rollback(ctx, conn))
	}
	err = copyEvents(ctx, conn, func(rows []byte) []byte { return p.appendRows(rows, &got) })
	if err != nil {
		return got, errors.Join(err, rollback(ctx, conn))
	}
	return got, nil
}

// copyEvents sends rows and ends the transaction.
func copyEvents(ctx context.Context, conn *pgxpool.Conn, fill func([]byte) []byte) error {
	buf := copyBuffers.Get().(*[]byte)
	rows := append(fill(append((*buf)[:0], copyHead...)), copyTail...)
	_, err := conn.Conn().PgConn().CopyFrom(ctx, bytes.NewReader(rows), copySQL)
	if err == nil && cap(rows) <= keepCopy { // else pgx may still be reading the rows, of a connection that broke: they are not for others
		*buf = rows
		copyBuffers.Put(buf)
	}
	return err
}

// begin begins the transaction and takes the places, in one round trip.
func (p *simple) begin(ctx context.Context, conn *pgxpool.Conn, args []any) (got places, err error) {
	var b pgx.Batch
	b.Queue(`BEGIN`)
	b.Queue(placesSQL, args...)
	sent := conn.SendBatch(ctx, &b)
	if _, err = sent.Exec(); err == nil {
		var rows pgx.Rows
		if rows, err = sent.Query(); err == nil {
			got, err = p.scan(rows)
		}
	}
	return got, errors.Join(err, sent.Close())
}

// rollback ends a transaction that failed, so that its connection can be used again. One that broke has ended by itself.
func rollback(ctx context.Context, conn *pgxpool.Conn) error {
	if conn.Conn().IsClosed() || conn.Conn().PgConn().TxStatus() == 'I' {
		return nil
	}
	_, err := conn.Exec(ctx, `ROLLBACK`)
	return err
}

// copyHead is the signature, flags and extension length of the binary format (PostgreSQL's manual, COPY, Binary Format).
const copyHead = "PGCOPY\n\xff\r\n\x00" + "\x00\x00\x00\x00" + "\x00\x00\x00\x00"

// epoch of PostgreSQL's timestamps, which are microseconds.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()

const copyTail = "\xff\xff"

// appendRows appends the events in the binary format of COPY.
func (p *simple) appendRows(b []byte, got *places) []byte {
	at, offset, shard := got.at.UnixMicro()-epoch, got.offset, p.flush.Shard
	p.each(func(no int32, rank int64, d *eventstore.Draft) {
		offset++
		b = binary.BigEndian.AppendUint16(b, copyFields)
		b = appendInt8(b, at)
		b = appendInt8(b, offset)
		b = appendInt8(b, got.bases[no]+rank)
		b = appendInt4(b, uint32(no))
		b = appendInt4(b, d.Key.Epoch)
		b = appendInt4(b, d.Key.Index)
		b = binary.BigEndian.AppendUint16(append(b, 0, 0, 0, 2), uint16(shard))
		b = append(append(b, 0, 0, 0, 16), d.ID[:]...)
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(d.Type))), d.Type...)
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(d.Public))), d.Public...)
		if len(d.Private) == 0 {
			b = append(b, 0xff, 0xff, 0xff, 0xff) // NULL
			return
		}
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(d.Private))), d.Private...)
	})
	return b
}

func appendInt8(b []byte, v int64) []byte {
	return binary.BigEndian.AppendUint64(append(b, 0, 0, 0, 8), uint64(v))
}

func appendInt4(b []byte, v uint32) []byte {
	return binary.BigEndian.AppendUint32(append(b, 0, 0, 0, 4), v)
}
