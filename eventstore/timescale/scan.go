package timescale

import (
	"time"

	"github.com/jackc/pgx/v5"

	"auditlog/eventstore"
)

const eventColumns = `e.recorded_at, e."offset", e.position, e.tenant, e.key_epoch, e.key_index, e.shard, e.id, e.entry_id, e.type, e.public, e.private`

// scanner reads eventColumns.
type scanner struct {
	at               time.Time
	offset, position int64
	tenant           int32
	epoch, index     int32
	shard            int16
	id               [16]byte
	entry            *[16]byte
	typ              string
	public, private  []byte
	dest             [12]any
}

func (sc *scanner) into() []any {
	sc.dest = [...]any{
		&sc.at, &sc.offset, &sc.position, &sc.tenant, &sc.epoch, &sc.index, &sc.shard, &sc.id, &sc.entry, &sc.typ, &sc.public, &sc.private,
	}
	return sc.dest[:]
}

// event is the row read last, without its tenant's id. Its bytes are the reader's own.
func (sc *scanner) event() eventstore.Event {
	e := eventstore.Event{
		Position: eventstore.Position(sc.position), Shard: eventstore.Shard(sc.shard), Offset: eventstore.Offset(sc.offset),
		RecordedAt: eventstore.MicrosOf(sc.at), ID: sc.id, Type: eventstore.Type(sc.typ), Public: sc.public, Private: sc.private,
		Key: eventstore.KeyRef{Epoch: uint32(sc.epoch), Index: uint32(sc.index)},
	}
	if sc.entry != nil {
		e.EntryID = *sc.entry
	}
	return e
}

// page is what a reader has collected.
type page struct {
	events []eventstore.Event
	nos    []int32 // their tenants
	bytes  int
}

// add reads rows until the page holds maxBytes (0: all), and closes them. err is that of the query.
func (p *page) add(rows pgx.Rows, err error, maxBytes int) error {
	if err != nil {
		return err
	}
	defer rows.Close()
	var sc scanner
	dest := sc.into()
	for (maxBytes == 0 || p.bytes < maxBytes) && rows.Next() {
		sc.public, sc.private = nil, nil // scanned into memory of its own
		if err := rows.Scan(dest...); err != nil {
			return err
		}
		e := sc.event()
		p.bytes += len(e.Public) + len(e.Private)
		p.events, p.nos = append(p.events, e), append(p.nos, sc.tenant)
	}
	rows.Close()
	return rows.Err()
}
