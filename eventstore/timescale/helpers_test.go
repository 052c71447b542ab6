package timescale_test

import (
	"encoding/binary"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"auditlog/eventstore"
	"auditlog/eventstore/timescale"
)

// handClock is a time that tests move.
type handClock struct {
	mu sync.Mutex
	at time.Time
}

func (c *handClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *handClock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func newTenant(tb testing.TB, s *timescale.Store) eventstore.Tenant {
	tb.Helper()
	id := uuid.New()
	t, err := s.CreateTenant(tb.Context(), eventstore.Tenant{ID: eventstore.TenantID(id), Slug: id.String(), Name: "T", Status: "active"},
		eventstore.Draft{ID: eventstore.NewEventID(), Type: eventstore.TenantCreated, Public: []byte("{}")})
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

// drafts are n entries of so many stored bytes.
func drafts(n, bytes int) []eventstore.Draft {
	all := make([]eventstore.Draft, n)
	for i := range all {
		all[i] = eventstore.Draft{
			ID: eventstore.NewEventID(), Type: eventstore.EntryRecorded, Public: make([]byte, bytes/2), Private: make([]byte, bytes-bytes/2),
			Key: eventstore.KeyRef{Epoch: 1, Index: uint32(i)},
		}
	}
	return all
}

// draftOf is an entry whose id was made at a time.
func draftOf(at time.Time) eventstore.Draft {
	d := drafts(1, 40)[0]
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(at.UnixMilli())<<16)
	copy(d.ID[:6], ms[:6])
	return d
}

func flushOf(t eventstore.Tenant, all ...eventstore.Draft) eventstore.Flush {
	return eventstore.Flush{
		ID: eventstore.FlushID(uuid.New()), Shard: t.Shard, Units: []eventstore.Unit{{Tenant: t.ID, Drafts: all}},
	}
}

func mustAppend(tb testing.TB, s *timescale.Store, f eventstore.Flush) []eventstore.Outcome {
	tb.Helper()
	got, err := s.Append(tb.Context(), f)
	if err != nil {
		tb.Fatal(err)
	}
	for _, o := range got {
		if o.Status != eventstore.Stored {
			tb.Fatalf("outcome %+v", o)
		}
	}
	return got
}

func connect(tb testing.TB, address string) *pgx.Conn {
	tb.Helper()
	conn, err := pgx.Connect(tb.Context(), address)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { conn.Close(tb.Context()) })
	return conn
}

// eachTier runs a test on a hypertable and on native partitions.
func eachTier(t *testing.T, run func(t *testing.T, tier timescale.Tier)) {
	for _, tier := range []timescale.Tier{timescale.Apache, timescale.Plain} {
		t.Run(string(tier), func(t *testing.T) {
			t.Parallel() // mostly they wait for the disk
			run(t, tier)
		})
	}
}

// checkLog walks a shard's log, which must be dense, and gives the ids in it by tenant and position.
func checkLog(tb testing.TB, s *timescale.Store, shard eventstore.Shard) map[string]eventstore.EventID {
	tb.Helper()
	found := map[string]eventstore.EventID{}
	next := map[eventstore.TenantID]eventstore.Position{}
	var last eventstore.Event
	for {
		page, err := s.ReadShard(tb.Context(), shard, last.Offset, 1000)
		if err != nil {
			tb.Fatal(err)
		}
		if len(page) == 0 {
			return found
		}
		for _, e := range page {
			next[e.Tenant]++
			if e.Offset != last.Offset+1 || e.Position != next[e.Tenant] || e.RecordedAt < last.RecordedAt || e.Shard != shard {
				tb.Fatalf("offset %d, position %d at %v follows offset %d at %v", e.Offset, e.Position, e.RecordedAt, last.Offset, last.RecordedAt)
			}
			found[fmt.Sprint(e.Tenant, e.Position)] = e.ID
			last = e
		}
	}
}
