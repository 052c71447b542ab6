package bench

import (
	"context"
	"net/http"
)

// size counts the bytes that entries take in the database, fresh as they were appended, with their indexes. Of the
// entries a part has an idempotency key, the last sent here.
func (s *stack) size(ctx context.Context, p *process) error {
	c, err := dial(p.addr)
	if err != nil {
		return err
	}
	defer c.close()
	keyed := max(10, s.Bulks/2) * bulkEntries
	for at := 0; at < keyed; at += bulkEntries {
		e, err := generate(at, bulkEntries, true, history)
		if err != nil {
			return err
		}
		if _, err := c.want(http.StatusCreated, "POST", pathBulk, p.tokens["writer"], bulkBody(e)); err != nil {
			return err
		}
	}
	// Chunks of a hypertable inherit from it, as partitions do.
	var events, keys, bytes, heap, keyBytes, other float64
	err = s.db.QueryRow(ctx, `
		SELECT (SELECT count(*) FROM auditlog.events), (SELECT count(*) FROM auditlog.idempotency),
			sum(pg_total_relation_size(inhrelid)), sum(pg_table_size(inhrelid)), pg_total_relation_size('auditlog.idempotency'),
			(SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c
				WHERE relnamespace = 'auditlog'::regnamespace AND relkind = 'r' AND relname NOT IN ('events', 'idempotency'))
		FROM pg_inherits WHERE inhparent = 'auditlog.events'::regclass`).Scan(&events, &keys, &bytes, &heap, &keyBytes, &other)
	if err != nil {
		return err
	}
	line := Line{Unit: "bytes", Cache: "warm", Workers: "off", Connections: 1}
	entry := line
	entry.Name, entry.Value, entry.Samples, entry.Floor, entry.Goal = "stored bytes per entry with indexes, fresh", bytes/events, int(events), 1000, 650
	entry.Sides = map[string]float64{"table": heap / events, "indexes": (bytes - heap) / events, "other_tables": other / events}
	key := line
	key.Name, key.Value, key.Samples, key.Floor, key.Goal = "stored bytes per idempotency row with its index", keyBytes/keys, int(keys), 150, 100
	if err := s.report(entry); err != nil {
		return err
	}
	return s.report(key)
}
