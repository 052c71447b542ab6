package postgres_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"auditlog/eventstore"
	"auditlog/eventstore/timescale"
	"auditlog/projection"
	"auditlog/projection/projtest"
)

const shards = 4

// destinations that relays of tests publish to.
var destinations = []string{"a", "b"}

// world is a database with an event store, the relays' tables, and a table that is the bus.
type world struct {
	owner, relay string
	store        *timescale.Store
	tenants      []eventstore.Tenant // one of each shard
	conn         *pgx.Conn
	effects      map[string][]projtest.Counter // by destination and shard: what the bus brought
}

func newWorld(t *testing.T, owner string) *world {
	t.Helper()
	ctx := t.Context()
	w := &world{effects: map[string][]projtest.Counter{}}
	w.owner, w.relay = prepare(t, owner)
	if _, err := timescale.Migrate(ctx, owner, timescale.Layout{Shards: shards, Tier: timescale.Plain}); err != nil {
		t.Fatal(err)
	}
	var err error
	if w.store, err = timescale.Open(ctx, timescale.Config{Address: owner}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.store.Close() })
	w.conn = connect(t, owner)
	if _, err := w.conn.Exec(ctx, `
		CREATE TABLE public.bus (destination text, shard int, epoch bigint, process text, envelope jsonb, applied boolean DEFAULT false)`); err != nil {
		t.Fatal(err)
	}
	for _, d := range destinations {
		w.effects[d] = make([]projtest.Counter, shards)
	}
	of := map[eventstore.Shard]eventstore.Tenant{}
	for len(of) < shards {
		id := uuid.New()
		tenant, err := w.store.CreateTenant(ctx, eventstore.Tenant{ID: eventstore.TenantID(id), Slug: id.String(), Name: "T", Status: "active"},
			eventstore.Draft{ID: eventstore.NewEventID(), Type: eventstore.TenantCreated, Public: []byte("{}")})
		if err != nil {
			t.Fatal(err)
		}
		of[tenant.Shard] = tenant
	}
	for _, tenant := range of {
		w.tenants = append(w.tenants, tenant)
	}
	return w
}

// append appends n events to every shard.
func (w *world) append(t *testing.T, n int) {
	t.Helper()
	for _, tenant := range w.tenants {
		f := eventstore.Flush{ID: eventstore.FlushID(uuid.New()), Shard: tenant.Shard, Units: []eventstore.Unit{{Tenant: tenant.ID}}}
		for i := range n {
			f.Units[0].Drafts = append(f.Units[0].Drafts, eventstore.Draft{
				ID: eventstore.NewEventID(), Type: eventstore.EntryRecorded, Public: []byte("{}"), Private: []byte("sealed"),
				Key: eventstore.KeyRef{Epoch: 1, Index: uint32(i)},
			})
		}
		if _, err := w.store.Append(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
}

func (w *world) head(t *testing.T, shard int) eventstore.Offset {
	t.Helper()
	head, err := w.store.ShardHead(t.Context(), eventstore.Shard(shard))
	if err != nil {
		t.Fatal(err)
	}
	return head.Offset
}

// cursor is a row of cursors.
type cursor struct {
	Shard       int
	Destination string
	Offset      eventstore.Offset
	Epoch       int64
}

func (w *world) cursors(t *testing.T) []cursor {
	t.Helper()
	return rows[cursor](t, w.conn, `SELECT shard, destination, "offset", epoch FROM auditlog_relay.cursors ORDER BY 1, 2`)
}

func rows[T any](t *testing.T, conn *pgx.Conn, sql string, args ...any) []T {
	t.Helper()
	r, _ := conn.Query(t.Context(), sql, args...)
	out, err := pgx.CollectRows(r, pgx.RowToStructByPos[T])
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// awaitHeads waits until the cursors of the destinations are at the heads.
func (w *world) awaitHeads(t *testing.T, of ...string) {
	t.Helper()
	eventually(t, fmt.Sprintf("cursors of %v at the heads", of), func() bool {
		at := map[string]eventstore.Offset{}
		for _, c := range w.cursors(t) {
			at[fmt.Sprint(c.Shard, c.Destination)] = c.Offset
		}
		for shard := range shards {
			for _, d := range of {
				if at[fmt.Sprint(shard, d)] < w.head(t, shard) {
					return false
				}
			}
		}
		return true
	})
}

// apply applies what is new on the bus.
func (w *world) apply(t *testing.T) (n int) {
	t.Helper()
	for _, raw := range rows[struct {
		Destination string
		Envelope    []byte
	}](t, w.conn, `UPDATE public.bus SET applied = true WHERE NOT applied RETURNING destination, envelope`) {
		var env projection.Envelope
		if err := json.Unmarshal(raw.Envelope, &env); err != nil {
			t.Fatal(err)
		}
		if err := w.effects[raw.Destination][env.Shard].Apply(t.Context(), env); err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

// exactlyOnce fails unless every event took effect once.
func (w *world) exactlyOnce(t *testing.T, of ...string) {
	t.Helper()
	w.apply(t)
	for _, d := range of {
		for shard := range shards {
			c, head := &w.effects[d][shard], w.head(t, shard)
			done, _ := c.Progress(t.Context(), 0)
			if done.Cursor() != head || len(done) != 1 {
				t.Errorf("%s, shard %d: applied %v, the head is %d", d, shard, done, head)
			}
			for o := eventstore.Offset(1); o <= head; o++ {
				if n := c.Times(o); n != 1 {
					t.Errorf("%s, shard %d: event %d took effect %d times", d, shard, o, n)
				}
			}
		}
	}
}

// tableBus is a bus that keeps what it took in the table.
type tableBus struct {
	pool    *pgxpool.Pool
	process string
}

func newTableBus(ctx context.Context, address, process string) (*tableBus, error) {
	pool, err := pgxpool.New(ctx, address)
	return &tableBus{pool, process}, err
}

func (b *tableBus) Publish(ctx context.Context, destination string, env projection.Envelope) error {
	raw, err := json.Marshal(env)
	if err != nil {
		return err
	}
	_, err = b.pool.Exec(ctx, `INSERT INTO public.bus (destination, shard, epoch, process, envelope) VALUES ($1, $2, $3, $4, $5)`,
		destination, int(env.Shard), int64(env.Epoch), b.process, raw)
	return err
}
