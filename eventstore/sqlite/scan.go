package sqlite

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"

	"auditlog/eventstore"
)

// integer and raw take a column as the driver gives it. database/sql would turn each integer into text and back.
type integer int64

func (i *integer) Scan(src any) error {
	v, ok := src.(int64)
	if !ok {
		return fmt.Errorf("stored %T where an integer is due", src)
	}
	*i = integer(v)
	return nil
}

// raw is valid until the next row.
type raw []byte

func (r *raw) Scan(src any) error {
	switch v := src.(type) {
	case []byte:
		*r = v
	case nil:
		*r = nil
	default:
		return fmt.Errorf("stored %T where bytes are due", src)
	}
	return nil
}

// kind is an event type in either stored form.
type kind eventstore.Type

func (k *kind) Scan(src any) error {
	switch v := src.(type) {
	case int64:
		if v <= 0 || v >= int64(len(typeNames)) {
			return fmt.Errorf("stored event type %d is of a newer version", v)
		}
		*k = kind(typeNames[v])
	case string:
		*k = kind(v)
	default:
		return fmt.Errorf("stored %T where an event type is due", src)
	}
	return nil
}

// scanner reads eventColumns.
type scanner struct {
	offset, tenant, position, at, epoch, index integer
	id, entry, public, private                 raw
	typ                                        kind
	dest                                       [12]any
}

func (sc *scanner) into() []any {
	sc.dest = [...]any{&sc.offset, &sc.tenant, &sc.position, &sc.at, &sc.id, &sc.typ, &sc.entry, &sc.epoch, &sc.index, &sc.public, &sc.private, nil}
	return sc.dest[:eventCols]
}

func (sc *scanner) event(tenant eventstore.TenantID) eventstore.Event {
	e := eventstore.Event{
		Tenant: tenant, Position: eventstore.Position(sc.position), Offset: eventstore.Offset(sc.offset),
		RecordedAt: eventstore.Micros(sc.at), Type: eventstore.Type(sc.typ),
		Public: bytes.Clone(sc.public), Private: bytes.Clone(sc.private),
		Key: eventstore.KeyRef{Epoch: uint32(sc.epoch), Index: uint32(sc.index)},
	}
	copy(e.ID[:], sc.id)
	copy(e.EntryID[:], sc.entry)
	return e
}

// page reads events until their bytes reach maxBytes (0: all) and closes rows. err is that of the query.
func (s *Store) page(ctx context.Context, rows *sql.Rows, err error, maxBytes int) ([]eventstore.Event, error) {
	if err != nil {
		return nil, translate("read events", err)
	}
	defer rows.Close()
	var events []eventstore.Event
	var nos []int64
	var sc scanner
	dest, size := sc.into(), 0
	for (maxBytes == 0 || size < maxBytes) && rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return nil, translate("read events", err)
		}
		e := sc.event(eventstore.TenantID{})
		size += len(e.Public) + len(e.Private)
		events, nos = append(events, e), append(nos, int64(sc.tenant))
	}
	if err := rows.Err(); err != nil {
		return nil, translate("read events", err)
	}
	_ = rows.Close() // the page is read; tenantID may need the connection
	for i := range events {
		if i > 0 && nos[i] == nos[i-1] {
			events[i].Tenant = events[i-1].Tenant
			continue
		}
		if events[i].Tenant, err = s.tenantID(ctx, nos[i]); err != nil {
			return nil, translate("read events", err)
		}
	}
	return events, nil
}

// inOrder sorts by position and leaves out repetitions.
func inOrder(events []eventstore.Event) []eventstore.Event {
	slices.SortFunc(events, func(a, b eventstore.Event) int { return cmp.Compare(a.Position, b.Position) })
	return slices.CompactFunc(events, func(a, b eventstore.Event) bool { return a.Position == b.Position })
}
