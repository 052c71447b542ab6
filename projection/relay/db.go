package relay

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"auditlog/eventstore"
	"auditlog/internal/sqlitedb"
	"auditlog/migrations"
	"auditlog/projection"
)

// DB is relay.db: the cursors of the embedded relay and the ranges that projections parked. It survives a crash of the
// process; what a power cut takes back is published or parked again.
type DB struct{ db *sqlitedb.DB }

// Open opens or creates the file.
func Open(ctx context.Context, path string) (*DB, error) {
	db, err := sqlitedb.Open(ctx, path, sqlitedb.Options{ReadConns: 2, CacheKiB: 512, Migrations: migrations.SQLite("relay")})
	if err != nil {
		return nil, err
	}
	return &DB{db}, nil
}

// Close closes the file.
func (d *DB) Close() error { return d.db.Close() }

// Load implements Cursors.
func (d *DB) Load(ctx context.Context, shard eventstore.Shard, destination string) (eventstore.Offset, error) {
	var o eventstore.Offset
	err := d.db.Read.QueryRowContext(ctx, `SELECT "offset" FROM cursors WHERE shard = ? AND destination = ?`, shard, destination).Scan(&o)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("load relay cursor: %w", err)
	}
	return o, nil
}

// Save implements Cursors. There is no other epoch: the data dir has one process, whose lease is Sole.
func (d *DB) Save(ctx context.Context, shard eventstore.Shard, destination string, _ uint64, o eventstore.Offset) error {
	_, err := d.db.Write.ExecContext(ctx, `
		INSERT INTO cursors (shard, destination, "offset") VALUES (?, ?, ?)
		ON CONFLICT DO UPDATE SET "offset" = max("offset", excluded."offset")`, shard, destination, o)
	if err != nil {
		return fmt.Errorf("save relay cursor: %w", err)
	}
	return nil
}

// Park implements projection.Parking.
func (d *DB) Park(ctx context.Context, p projection.Parked) error {
	_, err := d.db.Write.ExecContext(ctx, `
		INSERT INTO parked (destination, shard, from_offset, to_offset, reason, at) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET reason = excluded.reason, at = excluded.at`,
		p.Destination, p.Shard, p.Range.From, p.Range.To, p.Reason, p.At)
	if err != nil {
		return fmt.Errorf("park: %w", err)
	}
	return nil
}

// Parked implements projection.Parking.
func (d *DB) Parked(ctx context.Context, destination string) ([]projection.Parked, error) {
	rows, err := d.db.Read.QueryContext(ctx, `
		SELECT shard, from_offset, to_offset, reason, at FROM parked WHERE destination = ? ORDER BY shard, from_offset`, destination)
	if err != nil {
		return nil, fmt.Errorf("list parked: %w", err)
	}
	defer rows.Close()
	var out []projection.Parked
	for rows.Next() {
		p := projection.Parked{Destination: destination}
		if err := rows.Scan(&p.Shard, &p.Range.From, &p.Range.To, &p.Reason, &p.At); err != nil {
			return nil, fmt.Errorf("list parked: %w", err)
		}
		out = append(out, p)
	}
	return out, rows.Err()
}

// Unpark implements projection.Parking.
func (d *DB) Unpark(ctx context.Context, p projection.Parked) error {
	_, err := d.db.Write.ExecContext(ctx, `
		DELETE FROM parked WHERE destination = ? AND shard = ? AND from_offset = ? AND to_offset = ?`,
		p.Destination, p.Shard, p.Range.From, p.Range.To)
	if err != nil {
		return fmt.Errorf("unpark: %w", err)
	}
	return nil
}
