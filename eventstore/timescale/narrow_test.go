package timescale_test

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"auditlog/eventstore"
	"auditlog/eventstore/timescale"
	"auditlog/internal/pgdb"
)

// Keys that a database held before its migration to narrow ones get their first answers after it, whatever became of the
// events; also those that have the same slot.
func TestKeysSurviveTheirMigration(t *testing.T) {
	eachTier(t, func(t *testing.T, tier timescale.Tier) {
		w := newWorld(t, timescale.Layout{Tier: tier, Shards: 1, Span: time.Hour})
		clock := &handClock{at: time.Date(2026, 11, 1, 0, 30, 0, 0, time.UTC)}
		s := w.open(t, timescale.Config{Now: clock.now})
		tenants := []eventstore.Tenant{newTenant(t, s), newTenant(t, s)}
		var sent []eventstore.Flush
		var answers [][]eventstore.Outcome
		for i := range 6 {
			clock.move(time.Hour)
			for _, tenant := range tenants {
				f := flushOf(tenant, wideKeys(tenant, i)...)
				sent, answers = append(sent, f), append(answers, mustAppend(t, s, f))
			}
		}
		life := w.openLifecycle(t, clock.now)
		purge(t, life, tenants[0], clock.now().Add(-3*time.Hour))

		owner := connect(t, w.owner)
		back(t, w.owner, owner, sent, answers)
		if _, err := timescale.Migrate(t.Context(), w.owner, timescale.Layout{Tier: tier}); err != nil {
			t.Fatal(err)
		}
		s = w.open(t, timescale.Config{Now: clock.now})
		for i, f := range sent {
			f.ID = eventstore.FlushID(uuid.New())
			for j := range f.Units[0].Drafts {
				f.Units[0].Drafts[j].ID = eventstore.NewEventID()
			}
			got, err := s.Append(t.Context(), f)
			if err != nil {
				t.Fatal(err)
			}
			for j, o := range got {
				want := answers[i][j]
				want.Status = eventstore.Replayed
				if o != want {
					t.Errorf("flush %d, draft %d: %+v, want %+v", i, j, o, want)
				}
			}
			other := *f.Units[0].Drafts[0].Idempotency
			other.Fingerprint[3]++
			d := drafts(1, 40)
			d[0].Idempotency = &other
			if got, err = s.Append(t.Context(), flushOf(tenants[i%2], d...)); err != nil || got[0].Status != eventstore.KeyReused {
				t.Errorf("flush %d with another body: %+v, %v", i, got, err)
			}
		}
		replayAcross(t, s, sent, answers)
		for i, tenant := range tenants {
			mustAppend(t, s, flushOf(tenant, wideKeys(tenant, len(sent))...))
			if head, err := s.Head(t.Context(), tenant.ID); err != nil || head.Position != eventstore.Position(1+7*9+1-i) { // created, keys, purged
				t.Errorf("%+v, %v", head, err)
			}
		}
	})
}

// wideKeys are drafts whose tokens are the same for both tenants, have the same first 64 bits in threes, and the last slots.
func wideKeys(tenant eventstore.Tenant, round int) []eventstore.Draft {
	all := drafts(9, 40)
	for i := range all {
		k := &eventstore.Idempotency{}
		high := uint64(round<<8 + i/3)
		if i == 8 {
			high = binary.BigEndian.Uint64(tenant.ID[:]) ^ (1<<63 - 1) // the last slot of all
		}
		binary.BigEndian.PutUint64(k.Token[:], high)
		binary.BigEndian.PutUint64(k.Token[8:], uint64(round<<8+i)|0xa5<<56)
		binary.BigEndian.PutUint64(k.Fingerprint[:], uint64(round<<8+i)|0xb6<<56)
		all[i].Idempotency = k
	}
	return all
}

// replayAcross sends keys of all chunks in one flush.
func replayAcross(t *testing.T, s *timescale.Store, sent []eventstore.Flush, answers [][]eventstore.Outcome) {
	t.Helper()
	f := eventstore.Flush{ID: eventstore.FlushID(uuid.New())}
	var want []eventstore.Outcome
	for i := range sent {
		f.Units = append(f.Units, eventstore.Unit{Tenant: sent[i].Units[0].Tenant, Drafts: sent[i].Units[0].Drafts[i%9 : i%9+1]})
		o := answers[i][i%9]
		o.Status = eventstore.Replayed
		want = append(want, o)
	}
	if got, err := s.Append(t.Context(), f); err != nil || !slices.Equal(got, want) {
		t.Errorf("keys of all chunks: %+v, %v, want %+v", got, err, want)
	}
}

// back takes a database to the version before, with the keys as that one held them. One that holds keys does not go.
func back(t *testing.T, address string, owner *pgx.Conn, sent []eventstore.Flush, answers [][]eventstore.Outcome) {
	t.Helper()
	p, done := migrator(t, address)
	defer done()
	if _, err := p.DownTo(t.Context(), 3); err == nil {
		t.Fatal("keys were thrown away on the way back")
	}
	if _, err := owner.Exec(t.Context(), `TRUNCATE auditlog.idempotency`); err != nil {
		t.Fatal(err)
	}
	if _, err := p.DownTo(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	for i, f := range sent {
		for j, d := range f.Units[0].Drafts {
			_, err := owner.Exec(t.Context(), `
				INSERT INTO auditlog.idempotency (tenant, token, fingerprint, position, recorded_at)
				SELECT t.no, $2, $3, $4, $5 FROM auditlog.tenants t WHERE t.id = $1`,
				f.Units[0].Tenant, [16]byte(d.Idempotency.Token[:16]), [16]byte(d.Idempotency.Fingerprint[:16]),
				answers[i][j].Position, answers[i][j].RecordedAt.Time())
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

// purge removes a tenant's events before a time.
func purge(t *testing.T, life *timescale.Lifecycle, tenant eventstore.Tenant, before time.Time) {
	t.Helper()
	_, started, err := life.Purge(t.Context(), tenant.ID, eventstore.MicrosOf(before), func(eventstore.Purge) (eventstore.Draft, error) {
		return eventstore.Draft{ID: eventstore.NewEventID(), Type: eventstore.LifecyclePurged, Public: []byte("{}")}, nil
	})
	if err != nil || !started {
		t.Fatal(started, err)
	}
	removeAll(t, life, 5)
}

// Flushes of two shards whose keys want the same slots at the same time store each key once.
func TestShardsMeetInSlots(t *testing.T) {
	w := newWorld(t, timescale.Layout{Shards: 2})
	stores := []*timescale.Store{w.open(t, timescale.Config{}), w.open(t, timescale.Config{})}
	tenants := []eventstore.Tenant{newTenant(t, stores[0])}
	for len(tenants) < 2 || tenants[0].Shard == tenants[len(tenants)-1].Shard {
		tenants = append(tenants, newTenant(t, stores[0]))
	}
	pair := []eventstore.Tenant{tenants[0], tenants[len(tenants)-1]}
	failed := make(chan error, 4)
	for i := range cap(failed) {
		go func() { failed <- meet(t, stores[i/2], pair[i%2], uint64(i%2)) }()
	}
	for range cap(failed) {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	for _, tenant := range pair {
		if head, err := stores[0].Head(t.Context(), tenant.ID); err != nil || head.Position != 1+25*4 {
			t.Errorf("%+v, %v", head, err)
		}
	}
}

// meet appends 100 keys of a tenant, which have the same slots as those of another.
func meet(t *testing.T, s *timescale.Store, tenant eventstore.Tenant, who uint64) error {
	for round := range 25 {
		all := drafts(4, 40)
		for i := range all {
			k := &eventstore.Idempotency{}
			binary.BigEndian.PutUint64(k.Token[:], uint64(round<<8+i/2)^binary.BigEndian.Uint64(tenant.ID[:]))
			binary.BigEndian.PutUint64(k.Token[8:], uint64(round<<8+i)<<1|who)
			all[i].Idempotency = k
		}
		got, err := s.Append(t.Context(), flushOf(tenant, all...))
		if err != nil {
			return fmt.Errorf("round %d: %w (%s)", round, err, pgdb.Constraint(err))
		}
		for i, o := range got {
			if o.Status != got[0].Status || o.Position != got[0].Position+eventstore.Position(i) {
				return fmt.Errorf("round %d: %+v", round, got)
			}
		}
	}
	return nil
}
