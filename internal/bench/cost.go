package bench

import (
	"context"
	"errors"
	"time"
)

// cost compares the CPU time of an entry with what it is when every entry is committed by itself. Both services stand on
// the same database and take turns.
func (s *stack) cost(ctx context.Context, grouped *process) error {
	m, err := newMeter(ctx, s.db, s.databases)
	if errors.Is(err, errElsewhere) {
		s.Say("leaving out CPU per entry: " + err.Error())
		return nil
	}
	if err != nil {
		return err
	}
	alone, err := s.api(ctx, "--bench-no-group")
	if err != nil {
		return err
	}
	var sides [2]bill
	for n := range turns + 1 {
		for i, p := range []*process{grouped, alone} {
			one, err := s.bill(ctx, m, p, newCrowd(p.addr, grouped.tokens["writer"]))
			if err != nil {
				return err
			}
			if n > 0 { // the first turn warms up
				sides[i].add(one)
			}
		}
	}
	with, without := sides[0].perEntry(), sides[1].perEntry()
	err = s.report(Line{
		Name: "CPU per single entry / with group commit off", Value: with / without, Unit: "ratio", Floor: 0.5, Goal: 0.3,
		Cache: "warm", Workers: "off", Connections: distributedFanOut, Samples: sides[0].entries,
		Sides: map[string]float64{
			"grouped_us": with, "alone_us": without, "grouped_service_us": sides[0].service.perEntry(sides[0].entries), "grouped_database_us": sides[0].database.perEntry(sides[0].entries),
			"alone_service_us": sides[1].service.perEntry(sides[1].entries), "alone_database_us": sides[1].database.perEntry(sides[1].entries), "alone_samples": float64(sides[1].entries),
			"grouped_per_s": sides[0].rate(), "alone_per_s": sides[1].rate(),
		},
	})
	return errors.Join(err, s.end(alone))
}

// cpu is CPU time.
type cpu time.Duration

func (c cpu) perEntry(n int) float64 {
	return float64(time.Duration(c).Microseconds()) / float64(max(n, 1))
}

// bill is what entries took.
type bill struct {
	entries           int
	took              time.Duration
	service, database cpu
}

func (b *bill) add(o bill) {
	b.entries += o.entries
	b.took += o.took
	b.service += o.service
	b.database += o.database
}

func (b *bill) perEntry() float64 { return (b.service + b.database).perEntry(b.entries) }
func (b *bill) rate() float64     { return float64(b.entries) / b.took.Seconds() }

// bill posts single entries for a turn.
func (s *stack) bill(ctx context.Context, m *meter, p *process, to crowd) (bill, error) {
	return m.bill(ctx, p, func() (int, time.Duration, error) {
		done, err := singles(to, pathLogs, distributedFanOut, s.Duration/turns)
		return len(done.each), done.took, err
	})
}

// bill is what entries took of a service and of the database. A nil meter leaves out CPU time.
func (m *meter) bill(ctx context.Context, p *process, work func() (entries int, took time.Duration, err error)) (b bill, err error) {
	if m == nil {
		b.entries, b.took, err = work()
		return b, err
	}
	database, err := m.used(ctx)
	if err != nil {
		return b, err
	}
	_, service, err := stat(p.cmd.Process.Pid)
	if err != nil {
		return b, err
	}
	if b.entries, b.took, err = work(); err != nil {
		return b, err
	}
	_, serviceAfter, err := stat(p.cmd.Process.Pid)
	if err != nil {
		return b, err
	}
	databaseAfter, err := m.used(ctx)
	b.service, b.database = cpu(serviceAfter-service), cpu(databaseAfter-database)
	return b, err
}
