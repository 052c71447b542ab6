package bench

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"
)

// flow is what went through the whole line in a while.
type flow struct {
	events            float64 // that every projection has applied meanwhile
	took              time.Duration
	start, mid, ended progress
}

func (f flow) rate() float64 { return f.events / f.took.Seconds() }

// flow keeps the line full for a while: as much is appended as the slowest projection takes off.
func (m *serverLine) flow(ctx context.Context, d time.Duration) (f flow, err error) {
	before, err := m.meter.read(ctx)
	if err != nil {
		return f, err
	}
	enough := before.appended + m.window()
	v := &valve{window: m.window(), meter: m.meter}
	load, err := m.load(bulkEntries, v.take)
	if err != nil {
		return f, err
	}
	feeding, stop := context.WithCancel(ctx)
	defer stop()
	all, feeding := errgroup.WithContext(feeding)
	all.Go(func() error { return v.open(feeding) })
	all.Go(func() error { _, err := load.run(feeding); return err })
	look := func(after time.Duration) (p progress) {
		select {
		case <-feeding.Done():
		case <-time.After(after):
		}
		if last := v.last.Load(); last != nil {
			return *last
		}
		return p
	}
	for warm := time.Now().Add(min(d/4, 15*time.Second)); feeding.Err() == nil && (time.Now().Before(warm) || f.start.slowest() < enough); {
		f.start = look(100 * time.Millisecond) // until all that was new has gone through once: leases, connections, caches
	}
	begin := time.Now()
	f.mid = look(d / 2)
	f.ended = look(d - d/2)
	f.took = time.Since(begin)
	stop()
	if err := all.Wait(); err != nil {
		return f, err
	}
	f.events = float64(f.ended.slowest() - f.start.slowest())
	return f, m.meter.caughtUp(ctx)
}

// sustain measures what one API and one worker sustain, against the bare client.
func (m *serverLine) sustain(ctx context.Context) error {
	before, err := m.docs.send(ctx, m.stack, m.Sustain/2)
	if err != nil {
		return err
	}
	f, err := m.flow(ctx, m.Sustain)
	if err != nil {
		return err
	}
	after, err := m.docs.send(ctx, m.stack, m.Sustain/2)
	if err != nil {
		return err
	}
	bare := (before + after) / 2
	m.sustained = f.rate()
	l := Line{
		Name: "sustained: appends, relay and all projections / bare _bulk client", Value: m.sustained / bare, Unit: "ratio", Least: true, Floor: 0.3, Goal: 0.6,
		Cache: "warm", Workers: "on", Connections: loadConns, Samples: int(f.events), Entries: int(f.ended.appended),
		Sides: map[string]float64{
			"sustained_entries_per_s": m.sustained, "bare_entries_per_s": bare, "seconds": f.took.Seconds(), "tenants": loadTenants,
			"lag_start": float64(f.start.lag()), "lag_middle": float64(f.mid.lag()), "lag_end": float64(f.ended.lag()),
		},
	}
	for name, applied := range f.ended.applied {
		l.Sides["lag_end_"+name] = float64(f.ended.appended - applied)
	}
	return m.report(l)
}

// scale compares two APIs and two workers with one of each on the same cores.
func (m *serverLine) scale(ctx context.Context) error {
	var sides [2]flow
	for _, n := range []int{1, 2, 2, 1} { // each side is as late as the other, since an index that grows is merged more and more
		if err := m.processes(ctx, n); err != nil {
			return err
		}
		f, err := m.flow(ctx, m.Sustain/2)
		if err != nil {
			return err
		}
		sides[n-1].events += f.events
		sides[n-1].took += f.took
	}
	one, two := sides[0].rate(), sides[1].rate()
	err := m.report(Line{
		Name: "sustained by two APIs and two workers / by one of each", Value: two / one, Unit: "ratio", Least: true, Floor: 0.9,
		Cache: "warm", Workers: "on", Connections: loadConns, Samples: int(sides[0].events + sides[1].events),
		Sides: map[string]float64{"two_entries_per_s": two, "one_entries_per_s": one, "seconds_each": sides[0].took.Seconds()},
	})
	if err != nil {
		return err
	}
	return m.processes(ctx, 1)
}
