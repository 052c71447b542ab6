package timescale

import (
	"github.com/jackc/pgx/v5/pgtype"

	"auditlog/eventstore"
)

// flat is a column of a flush, encoded as an array without reflection.
type flat[T any] = pgtype.FlatArray[T]

// columns are the drafts of a flush by column, for unnest. What a position is depends on the statement: a tenant's rank
// within the flush, from 1, or the position itself.
type columns struct {
	tenants   flat[int32]
	positions flat[int64]
	ids       flat[[16]byte]
	entries   flat[pgtype.UUID]
	types     flat[string]
	epochs    flat[int32]
	indexes   flat[int32]
	publics   flat[[]byte]
	privates  flat[[]byte]
}

func newColumns(n int) *columns {
	return &columns{
		tenants: make(flat[int32], 0, n), positions: make(flat[int64], 0, n), ids: make(flat[[16]byte], 0, n),
		entries: make(flat[pgtype.UUID], 0, n), types: make(flat[string], 0, n), epochs: make(flat[int32], 0, n),
		indexes: make(flat[int32], 0, n), publics: make(flat[[]byte], 0, n), privates: make(flat[[]byte], 0, n),
	}
}

func (c *columns) add(tenant int32, position int64, d *eventstore.Draft) {
	c.tenants, c.positions = append(c.tenants, tenant), append(c.positions, position)
	c.ids, c.types = append(c.ids, [16]byte(d.ID)), append(c.types, string(d.Type))
	c.entries = append(c.entries, pgtype.UUID{Bytes: d.EntryID, Valid: !d.EntryID.IsZero()})
	c.epochs, c.indexes = append(c.epochs, int32(d.Key.Epoch)), append(c.indexes, int32(d.Key.Index))
	public, private := d.Public, d.Private
	if public == nil {
		public = []byte{}
	}
	if len(private) == 0 {
		private = nil // NULL
	}
	c.publics, c.privates = append(c.publics, public), append(c.privates, private)
}
