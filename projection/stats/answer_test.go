package stats_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"auditlog/eventstore"
	"auditlog/internal/fault"
	"auditlog/projection"
	"auditlog/projection/projtest"
	"auditlog/projection/readmodel"
	"auditlog/projection/stats"
	"auditlog/query"
)

// all is the envelope of everything in the store.
func all(w *projtest.World) projection.Envelope {
	events := w.Events()
	return projection.Envelope{To: events[len(events)-1].Offset, Events: events}
}

func (p pair) apply(t *testing.T, env projection.Envelope) {
	t.Helper()
	for _, projector := range []projection.Projector{p.find, p.stats} {
		if err := projector.Apply(t.Context(), env); err != nil {
			t.Fatal(err)
		}
	}
}

// naive counts a list of entries as a query asks, actors by name.
func naive(entries []projtest.Entry, q query.StatsQuery) (total int64, buckets map[eventstore.Micros]int64, groups map[eventstore.Micros]map[string]int64, actors map[string]int64) {
	length := map[string]time.Duration{"minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour}[q.Interval]
	buckets, groups, actors = map[eventstore.Micros]int64{}, map[eventstore.Micros]map[string]int64{}, map[string]int64{}
	in := func(list []string, v string) bool { return len(list) == 0 || slices.Contains(list, v) }
	for _, e := range entries {
		at := *e.Occurred
		if at < q.From || at >= q.To || !in(q.Actions, e.Action) || !in(q.Severities, e.Severity) || !in(q.Outcomes, e.Outcome) ||
			!in(q.ResourceTypes, e.Resource) || q.ActorID != "" && q.ActorID != e.Actor {
			continue
		}
		start := eventstore.MicrosOf(at.Time().Truncate(length))
		total++
		buckets[start]++
		actors[e.Actor]++
		if q.GroupBy != "" {
			key := map[string]string{
				"action": e.Action, "severity": e.Severity, "outcome": e.Outcome, "resource_type": e.Resource, "actor_id": e.Actor,
			}[q.GroupBy]
			if groups[start] == nil {
				groups[start] = map[string]int64{}
			}
			groups[start][key]++
		}
	}
	return total, buckets, groups, actors
}

func some(rnd *rand.Rand, values []string) []string {
	if rnd.IntN(3) > 0 {
		return nil
	}
	return values[:1+rnd.IntN(len(values))]
}

// Every answer equals a plain count, for borders and filters of every kind, erased and purged entries included.
func TestAnswersAgreeWithACount(t *testing.T) { projtest.Homes(t, testAnswersAgreeWithACount) }

func testAnswersAgreeWithACount(t *testing.T, homes projtest.Maker) {
	w := projtest.New(t)
	tenant, neighbour := w.Tenant("acme"), w.Tenant("other")
	rnd := rand.New(rand.NewPCG(1, 2))
	actions, severities := []string{"read", "write", "delete"}, []string{"INFO", "ERROR"}
	outcomes, types, actors := []string{"success", "denied"}, []string{"doc", "user"}, []string{"ada", "bob", "eve", "joe"}
	pick := func(v []string) string { return v[rnd.IntN(len(v))] }
	base := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
	moment := func() eventstore.Micros {
		at := base + rnd.Int64N(4*24*3600)*1e6 // four days
		if rnd.IntN(3) == 0 {
			at = base + 36*3600e6 + rnd.Int64N(180e6) // three minutes, to the microsecond
		}
		return eventstore.Micros(at)
	}
	var entries []projtest.Entry
	var drafts []eventstore.Draft
	for range 600 {
		at := moment()
		e := projtest.Entry{
			Actor: pick(actors), Action: pick(actions), Severity: pick(severities), Outcome: pick(outcomes), Resource: pick(types), Occurred: &at,
		}
		entries, drafts = append(entries, e), append(drafts, w.Draft(tenant, e))
	}
	out := w.Append(tenant, drafts[:100]...)
	w.Tick()
	border := w.Now()
	out = append(out, w.Append(tenant, drafts[100:]...)...)
	w.Append(neighbour, w.Draft(neighbour, entries[0]))
	for i := range entries {
		if rnd.IntN(10) == 0 {
			w.Erase(tenant, out[i].ID)
			entries[i].Actor = stats.Erased
		}
	}
	w.Purge(tenant, border)
	entries = entries[100:]

	p := openStats(t, w, homes.New(t), readmodel.Deps{})
	p.apply(t, all(w))
	for i := range 400 {
		q := query.StatsQuery{
			Tenant: tenant, From: moment(), To: moment(), Interval: pick([]string{"minute", "hour", "day"}),
			GroupBy: pick([]string{"", "action", "severity", "outcome", "resource_type", "actor_id"}),
			Actions: some(rnd, actions), Severities: some(rnd, severities), Outcomes: some(rnd, outcomes), ResourceTypes: some(rnd, types),
		}
		if rnd.IntN(4) == 0 {
			q.ActorID = pick(actors)
		}
		got, err := p.stats.Stats(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		total, buckets, groups, who := naive(entries, q)
		var sum int64
		for _, b := range got.Buckets {
			sum += b.Count
			if b.Count != buckets[b.Start] {
				t.Fatalf("query %d %+v: bucket %s has %d, want %d", i, q, b.Start, b.Count, buckets[b.Start])
			}
			g := map[string]int64{}
			for _, c := range b.Groups {
				g[c.Key] = c.Count
			}
			if q.GroupBy != "" && !reflect.DeepEqual(g, groups[b.Start]) {
				t.Fatalf("query %d %+v: groups of %s are %v, want %v", i, q, b.Start, g, groups[b.Start])
			}
		}
		if got.Total != total || sum != total || len(got.Buckets) != len(buckets) {
			t.Fatalf("query %d %+v: total %d in %d buckets, want %d in %d", i, q, got.Total, len(got.Buckets), total, len(buckets))
		}
		top := map[string]int64{}
		for _, c := range got.TopActors {
			top[c.Key] = c.Count
		}
		if !reflect.DeepEqual(top, who) {
			t.Fatalf("query %d %+v: actors %v, want %v", i, q, top, who)
		}
	}
}

func TestGroupsBeyondTheTopAreOther(t *testing.T) { projtest.Homes(t, testGroupsBeyondTheTopAreOther) }

func testGroupsBeyondTheTopAreOther(t *testing.T, homes projtest.Maker) {
	w := projtest.New(t)
	tenant := w.Tenant("acme")
	at := eventstore.MicrosOf(w.Now())
	var drafts []eventstore.Draft
	for i := range 30 {
		for range 1 + i%30 {
			drafts = append(drafts, w.Draft(tenant, projtest.Entry{Actor: fmt.Sprintf("actor-%02d", i), Action: fmt.Sprintf("action-%02d", i), Occurred: &at}))
		}
	}
	w.Append(tenant, drafts...)
	p := openStats(t, w, homes.New(t), readmodel.Deps{})
	p.apply(t, all(w))
	for _, by := range []string{"action", "actor_id"} {
		got, err := p.stats.Stats(t.Context(), query.StatsQuery{Tenant: tenant, From: 0, To: at + 1, Interval: "day", GroupBy: by})
		if err != nil {
			t.Fatal(err)
		}
		groups := got.Buckets[0].Groups
		if len(groups) != 21 || groups[0].Key != stats.Other || groups[0].Count != 55 || groups[1].Count != 30 || got.Total != 465 {
			t.Errorf("by %s: %d groups, first %v, total %d", by, len(groups), groups[:2], got.Total)
		}
		if len(got.TopActors) != 10 || got.TopActors[0] != (query.Count{Key: "actor-29", Count: 30}) || len(got.TopActions) != 10 {
			t.Errorf("top actors %v, actions %v", got.TopActors, got.TopActions)
		}
	}
	if _, err := p.stats.Stats(t.Context(), query.StatsQuery{Tenant: tenant, To: 1, Interval: "week"}); !fault.Is(err, fault.Invalid) {
		t.Errorf("interval week: %v", err)
	}
	if got, err := p.stats.Stats(t.Context(), query.StatsQuery{Tenant: eventstore.TenantID{1}, To: 1, Interval: "day"}); err == nil && got.Total != 0 {
		t.Errorf("an unknown tenant has %d entries", got.Total)
	}
}

// A crash at any commit, also within a purge of several chunks, leaves a file that the same envelopes finish, and never
// a count without its range.
func TestCrashesBetweenCommits(t *testing.T) { projtest.Homes(t, testCrashesBetweenCommits) }

func testCrashesBetweenCommits(t *testing.T, homes projtest.Maker) {
	w := projtest.New(t)
	tenant := w.Tenant("acme")
	w.RecordMany(tenant, 30)
	w.Tick()
	border := w.Now()
	a := w.Record(tenant, projtest.Entry{Actor: "ada"})
	w.Erase(tenant, a.ID)
	w.Purge(tenant, border)
	events := w.Events()

	clean := openStats(t, w, homes.New(t), readmodel.Deps{})
	clean.apply(t, all(w))
	want := projtest.Dump(t, clean.stats)

	rnd := rand.New(rand.NewPCG(3, 4))
	boom := errors.New("crash")
	crashes := 0
	p := openStats(t, w, homes.New(t), readmodel.Deps{Fault: func() error {
		if rnd.IntN(2) == 0 {
			crashes++
			return boom
		}
		return nil
	}})
	for _, ev := range events {
		for {
			err := p.stats.Apply(t.Context(), projtest.Single(ev))
			if err == nil {
				break
			}
			if !errors.Is(err, boom) {
				t.Fatal(err)
			}
		}
	}
	if got := projtest.Dump(t, p.stats); got != want || crashes < 10 {
		t.Errorf("after %d crashes:\n%swant\n%s", crashes, got, want)
	}
}

// A file that is opened again goes on where it was; one that is deleted is filled again with the same content, also
// after keys were destroyed; a rebuild beside the live one agrees with it.
func TestReopenDeleteRebuild(t *testing.T) { projtest.Homes(t, testReopenDeleteRebuild) }

func testReopenDeleteRebuild(t *testing.T, homes projtest.Maker) {
	w := projtest.New(t)
	tenant := w.Tenant("acme")
	w.RecordMany(tenant, 250)
	a := w.Record(tenant, projtest.Entry{Actor: "ada"})
	live := openStats(t, w, homes.New(t), readmodel.Deps{})
	live.apply(t, all(w))
	w.Erase(tenant, a.ID)
	live.apply(t, all(w))
	want := projtest.Dump(t, live.stats)
	target, err := w.Store.Get(t.Context(), tenant, a.ID)
	if err != nil {
		t.Fatal(err)
	}
	puncture(t, w, target)

	anew := openStats(t, w, homes.New(t), readmodel.Deps{})
	runner := projection.NewRunner(anew.stats, w.Store, nil, projection.RunnerOptions{Page: 40})
	if err := runner.Sweep(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if got := projtest.Dump(t, anew.stats); got != want {
		t.Errorf("filled anew:\n%swant\n%s", got, want)
	}
	report, err := live.stats.Rebuild(t.Context(), w.Store, nil)
	if err != nil || !report.Equal || report.Events != int64(len(w.Events())) {
		t.Errorf("rebuild: %+v, %v", report, err)
	}
	if got := projtest.Dump(t, live.stats); got != want {
		t.Errorf("rebuilt:\n%swant\n%s", got, want)
	}
	visible, err := live.stats.Visible(t.Context(), 0)
	if err != nil || visible != all(w).To {
		t.Errorf("visible to %d, %v", visible, err)
	}
}

// A rebuild that meets a wrong live file says so, and the log wins.
func TestRebuildTellsDifferences(t *testing.T) { projtest.Homes(t, testRebuildTellsDifferences) }

func testRebuildTellsDifferences(t *testing.T, homes projtest.Maker) {
	w := projtest.New(t)
	tenant := w.Tenant("acme")
	w.RecordMany(tenant, 10)
	p := openStats(t, w, homes.New(t), readmodel.Deps{})
	env := all(w)
	env.Events = env.Events[:5] // the rest is claimed, not counted
	p.apply(t, env)
	report, err := p.stats.Rebuild(t.Context(), w.Store, nil)
	if err != nil || report.Equal {
		t.Fatalf("rebuild: %+v, %v", report, err)
	}
	got, err := p.stats.Stats(t.Context(), query.StatsQuery{Tenant: tenant, To: eventstore.MicrosOf(w.Now().Add(time.Hour)), Interval: "day"})
	if err != nil || got.Total != 10 {
		t.Errorf("after the rebuild: %d entries, %v", got.Total, err)
	}
}

func puncture(t *testing.T, w *projtest.World, ev eventstore.Event) {
	t.Helper()
	if err := w.Ring.Puncture(context.Background(), ev.Tenant, refs(ev)); err != nil {
		t.Fatal(err)
	}
}
