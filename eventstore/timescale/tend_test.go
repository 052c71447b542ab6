package timescale_test

import (
	"crypto/sha256"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"auditlog/eventstore"
	"auditlog/eventstore/timescale"
	"auditlog/internal/fault"
	"auditlog/internal/pgdb"
	"auditlog/internal/pgdb/pgtest"
)

// A purge of a month leaves no chunk of it behind, while readers go on: what they see has no gap above the
// watermark, and the leaf of each removed event stays.
func TestTendDropsWhatPurgesEmptied(t *testing.T) {
	eachTier(t, func(t *testing.T, tier timescale.Tier) {
		const days, perDay = 31, 3
		w := newWorld(t, timescale.Layout{Tier: tier, Shards: 1})
		clock := &handClock{at: time.Date(2026, 10, 1, 12, 0, 0, 0, time.UTC)}
		s := w.open(t, timescale.Config{Now: clock.now})
		life := w.openLifecycle(t, clock.now)
		leaving, staying := newTenant(t, s), newTenant(t, s)
		mustAppend(t, s, flushOf(leaving, draftOf(clock.now())))
		border := clock.now().Add(days * 24 * time.Hour)
		for range days + 5 {
			clock.move(24 * time.Hour)
			for range perDay {
				mustAppend(t, s, flushOf(leaving, draftOf(clock.now())))
			}
		}
		mustAppend(t, s, flushOf(staying, draftOf(clock.now())))
		before := chunks(t, w)
		if len(before) < days+5 {
			t.Fatalf("%d chunks", len(before))
		}
		tend(t, life, timescale.Tended{}) // each holds an event

		doomed := readAll(t, s, leaving)
		p, _, err := life.Purge(t.Context(), leaving.ID, eventstore.MicrosOf(border), purgeDraft(clock))
		if err != nil || p.Last == 0 {
			t.Fatal(p, err)
		}
		doomed = slices.DeleteFunc(doomed, func(e eventstore.Event) bool { return e.Position > p.Last })
		tend(t, life, timescale.Tended{}) // hidden, but there

		stop := walkBeside(t, s, leaving, p)
		removeAll(t, life, 10)
		// The first day also holds the event that tells of the other tenant.
		tend(t, life, timescale.Tended{Dropped: days - 1})
		tend(t, life, timescale.Tended{})
		stop()

		left := chunks(t, w)
		if len(left) != len(before)-(days-1) || !left[0].Equal(before[0]) || !left[1].Equal(before[days]) {
			t.Errorf("the chunks are %v, they were %v", left, before)
		}
		for _, e := range doomed {
			leaf, err := life.RemovedLeaf(t.Context(), leaving.ID, e.ID)
			if err != nil || leaf != leafOf(e) {
				t.Fatalf("the leaf of position %d: %+v, %v", e.Position, leaf, err)
			}
			if _, err := s.Get(t.Context(), leaving.ID, e.ID); !fault.Is(err, fault.Purged) {
				t.Errorf("position %d: %v", e.Position, err)
			}
			if at, _, err := s.PositionAt(t.Context(), leaving.ID, e.Offset); err != nil || at != e.Position {
				t.Errorf("PositionAt(%d) = %d, %v", e.Offset, at, err)
			}
		}
		head, err := s.Head(t.Context(), leaving.ID)
		if log := readAll(t, s, leaving); err != nil || log[0].Position != p.Last+1 || len(log) != int(head.Position-p.Last) {
			t.Errorf("%d events from %d on, head %+v, %v", len(log), log[0].Position, head, err)
		}
		if o := mustAppend(t, s, flushOf(leaving, draftOf(clock.now())))[0]; o.Position != head.Position+1 {
			t.Errorf("the next position is %d, the head was %d", o.Position, head.Position)
		}
	})
}

// A clock that steps back over the end of a chunk that was dropped has it made again.
func TestAppendIntoDroppedChunk(t *testing.T) {
	eachTier(t, func(t *testing.T, tier timescale.Tier) {
		w := newWorld(t, timescale.Layout{Tier: tier})
		clock := &handClock{at: time.Date(2026, 10, 1, 12, 0, 0, 0, time.UTC)}
		s := w.open(t, timescale.Config{Now: clock.now})
		life := w.openLifecycle(t, clock.now)
		// The chunk of a day without events, which only native partitions make ahead.
		clock.move(3 * 24 * time.Hour)
		if _, err := life.Tend(t.Context(), timescale.TendOptions{}); err != nil {
			t.Fatal(err)
		}
		if left := chunks(t, w); len(left) != 0 {
			t.Fatalf("%v are left", left)
		}
		clock.move(-3 * 24 * time.Hour)
		tenant := newTenant(t, s)
		mustAppend(t, s, flushOf(tenant, draftOf(clock.now())))
		if log := readAll(t, s, tenant); len(log) != 2 {
			t.Errorf("%d events", len(log))
		}
	})
}

// What others use is left alone, without an error and without holding up the log.
func TestTendGivesWay(t *testing.T) {
	eachTier(t, func(t *testing.T, tier timescale.Tier) {
		w := newWorld(t, timescale.Layout{Tier: tier})
		clock := &handClock{at: time.Date(2026, 10, 1, 12, 0, 0, 0, time.UTC)}
		s := w.open(t, timescale.Config{Now: clock.now})
		life := w.openLifecycle(t, clock.now)
		tenant := newTenant(t, s)
		clock.move(24 * time.Hour)
		p, _, err := life.Purge(t.Context(), tenant.ID, eventstore.MicrosOf(clock.now()), purgeDraft(clock))
		if err != nil || p.Last != 1 {
			t.Fatal(p, err)
		}
		removeAll(t, life, 10)

		tx, err := connect(t, w.service).Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), `SELECT count(*) FROM auditlog.events`); err != nil {
			t.Fatal(err)
		}
		tend(t, life, timescale.Tended{Busy: 1})
		mustAppend(t, s, flushOf(tenant, draftOf(clock.now())))
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}

		other, err := connect(t, w.owner).Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := other.Exec(t.Context(), `SELECT pg_advisory_xact_lock(7402, 6)`); err != nil {
			t.Fatal(err)
		}
		tend(t, life, timescale.Tended{}) // another process tends
		if err := other.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
		tend(t, life, timescale.Tended{Dropped: 1})
	})
}

// The owner of the schema need not be a superuser for its functions to work.
func TestTendForOrdinaryOwner(t *testing.T) {
	eachTier(t, func(t *testing.T, tier timescale.Tier) {
		admin := pgtest.Database(t)
		w := world{
			owner: pgtest.As(t, admin, "auditlog_owner"), service: pgtest.As(t, admin, "auditlog_service"), lifecycle: pgtest.As(t, admin, "auditlog_lifecycle"),
		}
		name := strings.TrimPrefix(must(url.Parse(admin)).Path, "/")
		if _, err := connect(t, admin).Exec(t.Context(), `ALTER DATABASE `+name+` OWNER TO auditlog_owner`); err != nil {
			t.Fatal(err)
		}
		if got, err := timescale.Migrate(t.Context(), w.owner, timescale.Layout{Tier: tier}); err != nil || got != tier {
			t.Fatal(got, err)
		}
		clock := &handClock{at: time.Date(2026, 10, 1, 12, 0, 0, 0, time.UTC)}
		s, life := w.open(t, timescale.Config{Now: clock.now}), w.openLifecycle(t, clock.now)
		tenant := newTenant(t, s)
		clock.move(24 * time.Hour)
		if _, _, err := life.Purge(t.Context(), tenant.ID, eventstore.MicrosOf(clock.now()), purgeDraft(clock)); err != nil {
			t.Fatal(err)
		}
		removeAll(t, life, 10)
		tend(t, life, timescale.Tended{Dropped: 1})
	})
}

// purgeDraft builds the event of a purge.
func purgeDraft(clock *handClock) func(eventstore.Purge) (eventstore.Draft, error) {
	return func(eventstore.Purge) (eventstore.Draft, error) {
		d := draftOf(clock.now())
		d.Type = eventstore.LifecyclePurged
		return d, nil
	}
}

// No role can drop a chunk that holds an event, and the service can drop none.
func TestOnlyEmptyChunksDrop(t *testing.T) {
	eachTier(t, func(t *testing.T, tier timescale.Tier) {
		w := newWorld(t, timescale.Layout{Tier: tier})
		s := w.open(t, timescale.Config{})
		tenant := newTenant(t, s)
		mustAppend(t, s, flushOf(tenant, drafts(3, 40)...))
		for _, low := range chunks(t, w) {
			for _, sql := range []string{`SELECT auditlog.drop_empty_chunk($1)`, `SELECT auditlog.chunk_to_columns($1)`, `SELECT auditlog.chunks_to_rows($1, $1)`} {
				if _, err := connect(t, w.service).Exec(t.Context(), sql, low); pgdb.State(err) != "42501" {
					t.Errorf("service: %s: %v", sql, err)
				}
			}
			for _, address := range []string{w.owner, w.lifecycle} {
				var dropped bool
				err := connect(t, address).QueryRow(t.Context(), `SELECT auditlog.drop_empty_chunk($1)`, low).Scan(&dropped)
				if low.After(time.Now()) { // a native partition made ahead
					continue
				}
				if err != nil || dropped {
					t.Errorf("a chunk with events was dropped: %v, %v", dropped, err)
				}
			}
		}
		if log := readAll(t, s, tenant); len(log) != 4 {
			t.Errorf("%d events", len(log))
		}
	})
}

func tend(t *testing.T, life *timescale.Lifecycle, want timescale.Tended) {
	t.Helper()
	got, err := life.Tend(t.Context(), timescale.TendOptions{})
	if err != nil || got != want {
		t.Fatalf("Tend: %+v, %v; want %+v", got, err, want)
	}
}

func leafOf(e eventstore.Event) eventstore.Leaf {
	return eventstore.Leaf{Position: e.Position, ID: e.ID, Hash: sha256.Sum256(e.Public)}
}

// removeAll does what the janitor does, in pages.
func removeAll(t *testing.T, life *timescale.Lifecycle, page int) {
	t.Helper()
	for {
		p, events, err := life.Doomed(t.Context(), page)
		if err != nil {
			t.Fatal(err)
		}
		if p.ID.IsZero() {
			return
		}
		leaves, last := []eventstore.Leaf{}, p.Last
		for _, e := range events {
			leaves, last = append(leaves, leafOf(e)), e.Position
		}
		if err := life.Remove(t.Context(), p, last, leaves, last == p.Last); err != nil {
			t.Fatal(err)
		}
	}
}

func readAll(t *testing.T, s *timescale.Store, tenant eventstore.Tenant) []eventstore.Event {
	t.Helper()
	var all []eventstore.Event
	for after := eventstore.Position(0); ; after = all[len(all)-1].Position {
		page, err := s.ReadTenant(t.Context(), tenant.ID, after, 7)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			return all
		}
		all = append(all, page...)
	}
}

// chunks are the times at which the chunks begin.
func chunks(t *testing.T, w world) []time.Time {
	t.Helper()
	rows, err := connect(t, w.owner).Query(t.Context(), `
		SELECT (regexp_match(pg_get_constraintdef(k.oid), '>= ''([^'']+)'''))[1]::timestamptz AS low
		FROM pg_inherits i JOIN pg_constraint k ON k.conrelid = i.inhrelid AND k.contype = 'c'
		WHERE i.inhparent = 'auditlog.events'::regclass
		UNION ALL
		SELECT (regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM \(''([^'']+)'''))[1]::timestamptz
		FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
		WHERE i.inhparent = 'auditlog.events'::regclass AND c.relispartition
		ORDER BY low`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var all []time.Time
	for rows.Next() {
		var low time.Time
		if err := rows.Scan(&low); err != nil {
			t.Fatal(err)
		}
		all = append(all, low)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}
