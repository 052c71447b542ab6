package bench

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"time"

	"auditlog/eventstore"
	"auditlog/eventstore/sqlite"
)

// bare inserts rows that a service stored into the same tables, with the same settings and nothing else.
type bare struct {
	file *sqlite.Baseline
	rows []eventstore.Event
	next int64 // offset and position of the next row
}

// bareRows is how many stored rows are kept to be inserted in turn.
const bareRows = 10 * bulkEntries

// prepare has a service store the rows.
func (r *run) prepare(ctx context.Context) (*bare, error) {
	dir, err := r.fresh("rows-")
	if err != nil {
		return nil, err
	}
	p, err := launch(ctx, r.Binary, dir, "--workers=off")
	if err != nil {
		return nil, err
	}
	c, err := dial(p.addr)
	if err != nil {
		return nil, err
	}
	defer c.close()
	for at := 0; at < bareRows; at += bulkEntries {
		e, err := entries(at, bulkEntries)
		if err != nil {
			return nil, err
		}
		if _, err := c.want(http.StatusCreated, "POST", pathBulk, p.tokens["writer"], bulkBody(e)); err != nil {
			return nil, err
		}
	}
	if err := p.stop(); err != nil {
		return nil, err
	}
	rows, err := storedRows(ctx, filepath.Join(dir, "events.db"))
	if err != nil {
		return nil, err
	}
	file, err := sqlite.OpenBaseline(filepath.Join(dir, "baseline.db"))
	return &bare{file: file, rows: rows, next: 1}, err
}

func storedRows(ctx context.Context, path string) ([]eventstore.Event, error) {
	store, err := sqlite.Open(ctx, path, sqlite.Options{})
	if err != nil {
		return nil, err
	}
	defer func() { _ = store.Close() }() // it was only read
	var rows []eventstore.Event
	for at := eventstore.Offset(1); len(rows) < bareRows; at = rows[len(rows)-1].Offset { // above the tenant's creation
		page, err := store.ReadShard(ctx, 0, at, bulkEntries)
		if err != nil || len(page) == 0 {
			return nil, fmt.Errorf("the store holds %d of %d rows: %w", len(rows), bareRows, err)
		}
		rows = append(rows, page...)
	}
	return rows[:bareRows], nil
}

// insert adds n rows, with ids and places of their own, in one transaction and gives the time that it took.
func (b *bare) insert(ctx context.Context, n int) (time.Duration, error) {
	batch := make([]eventstore.Event, n)
	for i := range batch {
		e := b.rows[int(b.next)%len(b.rows)]
		e.ID, e.Offset, e.Position = eventstore.NewEventID(), eventstore.Offset(b.next), eventstore.Position(b.next)
		b.next++
		batch[i] = e
	}
	start := time.Now()
	err := b.file.Insert(ctx, batch)
	return time.Since(start), err
}

func (b *bare) close() { _ = b.file.Close() } // it is thrown away
