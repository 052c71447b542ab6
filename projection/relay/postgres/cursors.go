package postgres

import (
	"context"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5"

	"auditlog/eventstore"
	"auditlog/internal/pgdb"
	"auditlog/projection"
)

// Load implements relay.Cursors.
func (d *DB) Load(ctx context.Context, shard eventstore.Shard, destination string) (o eventstore.Offset, err error) {
	err = d.pool.QueryRow(ctx, `SELECT "offset" FROM auditlog_relay.cursors WHERE shard = $1 AND destination = $2`,
		int32(shard), destination).Scan(&o)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil
	}
	return o, pgdb.Translate("load relay cursor", err)
}

// Park implements projection.Parking.
func (d *DB) Park(ctx context.Context, p projection.Parked) error {
	_, err := d.pool.Exec(ctx, `
		INSERT INTO auditlog_relay.parked (destination, shard, from_offset, to_offset, reason, at) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (destination, shard, from_offset, to_offset) DO UPDATE SET reason = excluded.reason, at = excluded.at`,
		p.Destination, int32(p.Shard), int64(p.Range.From), int64(p.Range.To), plain(p.Reason), int64(p.At))
	return pgdb.Translate("park", err)
}

// plain is a text that PostgreSQL takes, whatever an error quotes.
func plain(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// Parked implements projection.Parking.
func (d *DB) Parked(ctx context.Context, destination string) ([]projection.Parked, error) {
	rows, err := d.pool.Query(ctx, `
		SELECT shard, from_offset, to_offset, reason, at FROM auditlog_relay.parked
		WHERE destination = $1 ORDER BY shard, from_offset, to_offset`, destination)
	if err != nil {
		return nil, pgdb.Translate("list parked", err)
	}
	var out []projection.Parked
	p := projection.Parked{Destination: destination}
	_, err = pgx.ForEachRow(rows, []any{&p.Shard, &p.Range.From, &p.Range.To, &p.Reason, &p.At}, func() error {
		out = append(out, p)
		return nil
	})
	return out, pgdb.Translate("list parked", err)
}

// Unpark implements projection.Parking.
func (d *DB) Unpark(ctx context.Context, p projection.Parked) error {
	_, err := d.pool.Exec(ctx, `
		DELETE FROM auditlog_relay.parked WHERE destination = $1 AND shard = $2 AND from_offset = $3 AND to_offset = $4`,
		p.Destination, int32(p.Shard), int64(p.Range.From), int64(p.Range.To))
	return pgdb.Translate("unpark", err)
}
