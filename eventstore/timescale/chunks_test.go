package timescale_test

import (
	"context"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"auditlog/eventstore"
	"auditlog/eventstore/timescale"
)

var chunkName = regexp.MustCompile(`_hyper_\d+_\d+_chunk\b|\bevents_\d{8}_\d{2}\b`)

// Over a log of many chunks each page opens the one that holds it, however far back it lies.
func TestReadsExcludeChunks(t *testing.T) {
	eachTier(t, func(t *testing.T, tier timescale.Tier) {
		const hours = 12
		w := newWorld(t, timescale.Layout{Tier: tier, Span: time.Hour})
		clock := &handClock{at: time.Date(2026, 11, 1, 0, 30, 0, 0, time.UTC)}
		s := w.open(t, timescale.Config{Now: clock.now})
		tenant := newTenant(t, s)
		var stored []eventstore.Event
		for range hours {
			clock.move(time.Hour)
			for range 10 {
				d := draftOf(clock.now())
				o := mustAppend(t, s, flushOf(tenant, d))[0]
				stored = append(stored, eventstore.Event{ID: d.ID, Position: o.Position})
			}
		}
		head, err := s.Head(t.Context(), tenant.ID)
		if err != nil || head.Position != 10*hours+1 {
			t.Fatal(head, err)
		}
		life := w.openLifecycle(t, clock.now)
		for at, e := range stored {
			if at%11 != 0 {
				continue
			}
			ctx, seen := timescale.Watch(t.Context())
			for what, read := range map[string]func(context.Context) (int, error){
				"ReadTenant": func(ctx context.Context) (int, error) {
					got, err := s.ReadTenant(ctx, tenant.ID, e.Position-1, 1)
					return len(got), err
				},
				"ReadShard": func(ctx context.Context) (int, error) {
					got, err := s.ReadShard(ctx, tenant.Shard, eventstore.Offset(e.Position-1), 1) // the only tenant
					return len(got), err
				},
				"ReadPositions": func(ctx context.Context) (int, error) {
					got, err := s.ReadPositions(ctx, tenant.ID, []eventstore.Position{e.Position})
					return len(got), err
				},
				"Get": func(ctx context.Context) (int, error) {
					got, err := s.Get(ctx, tenant.ID, e.ID)
					return int(got.Position / max(got.Position, 1)), err
				},
				"PositionAt": func(ctx context.Context) (int, error) {
					p, _, err := s.PositionAt(ctx, tenant.ID, eventstore.Offset(e.Position))
					return int(1 + p - e.Position), err
				},
				"Matching": func(ctx context.Context) (int, error) {
					_, err := life.Matching(ctx, tenant.ID, eventstore.MicrosOf(clock.now().Add(-3*time.Hour)))
					return 1, err
				},
			} {
				seen.Reset()
				if n, err := read(ctx); err != nil || n != 1 {
					t.Fatalf("%s of position %d: %d, %v", what, e.Position, n, err)
				}
				plans := seen.Explain(t, s)
				if len(plans) == 0 && what != "Matching" && e.Position != head.Position {
					t.Fatalf("%s: no statement reads events", what)
				}
				for _, plan := range plans {
					names := map[string]bool{}
					for _, name := range chunkName.FindAllString(plan, -1) {
						names[name] = true
					}
					if len(names) > 1 {
						t.Fatalf("%s of position %d opens %d of %d chunks:\n%s", what, e.Position, len(names), hours+1, plan)
					}
				}
			}
		}
		// A page that is not full goes on in the next chunks.
		if got, err := s.ReadTenant(t.Context(), tenant.ID, 0, 1000); err != nil || len(got) != int(head.Position) {
			t.Errorf("%d events of %d, %v", len(got), head.Position, err)
		}
		all := make([]eventstore.Position, head.Position)
		for i := range all {
			all[i] = head.Position - eventstore.Position(i)
		}
		if got, err := s.ReadPositions(t.Context(), tenant.ID, all); err != nil || len(got) != len(all) || got[0].Position != head.Position {
			t.Errorf("%d events of %d, %v", len(got), len(all), err)
		}
	})
}

// The head of a tenant with many amendments costs no look at them.
func TestHeadReadsNoAmendments(t *testing.T) {
	w := newWorld(t, timescale.Layout{})
	s := w.open(t, timescale.Config{})
	tenant := newTenant(t, s)
	owner := connect(t, w.owner)
	for _, sql := range []string{
		`INSERT INTO auditlog.about (entry, id, recorded_at, position, tenant, erasure)
			SELECT gen_random_uuid(), gen_random_uuid(), now(), n, 1, n % 100 = 0 FROM generate_series(1, 20000) n`,
		`ANALYZE auditlog.about`,
	} {
		if _, err := owner.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	if head, err := s.Head(t.Context(), tenant.ID); err != nil || head.Hidden != 20000 {
		t.Fatalf("%+v, %v", head, err)
	}
	rows, err := owner.Query(t.Context(), `EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, COSTS OFF) `+timescale.HeadSQL, int32(1))
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	plan := strings.Join(lines, "\n")
	if !strings.Contains(plan, "using about_newest_erasure") || strings.Contains(plan, "Seq Scan on about") {
		t.Error(plan)
	}
}
