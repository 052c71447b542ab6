package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"auditlog/projection"
	"auditlog/projection/forget"
	"auditlog/projection/relay"
	"auditlog/transport/bus"
	"auditlog/transport/bus/inproc"
)

// pipeline is the way of events from the store to the projections.
type pipeline struct {
	runners []*projection.Runner
	relay   *stage
	bus     *inproc.Bus
	busRun  *stage
	workers *stage // sweepers of the runners, and the janitor
}

// startPipeline starts it from its end: what applies envelopes first, what sends them last.
func startPipeline(f *files, log *slog.Logger, m *meters, failed chan error) (*pipeline, error) {
	projectors := []projection.Projector{f.search, f.stats, f.find, f.forget}
	b, err := inproc.New(f.store, bus.RouterOptions{Log: log})
	if err != nil {
		return nil, err
	}
	p := &pipeline{bus: b, workers: newStage(failed), busRun: newStage(failed), relay: newStage(failed)}
	names := make([]string, len(projectors))
	for i, projector := range projectors {
		names[i] = projector.Name()
		r := projection.NewRunner(projector, f.store, f.relay, projection.RunnerOptions{Hooks: m.hooks(), Log: log})
		p.runners = append(p.runners, r)
		b.Subscribe(r.Name(), r.Handle)
		p.workers.run("projection "+r.Name(), r.Run)
	}
	janitor := forget.NewJanitor(f.store, f.store, f.ring, forget.JanitorOptions{Log: log, Removed: m.removed})
	p.workers.run("janitor", janitor.Run)
	p.busRun.run("bus", b.Run)
	select {
	case <-b.Running():
	case err := <-failed:
		return nil, errors.Join(err, p.stop(context.Background()))
	}
	r := relay.New(f.store, b, f.relay, names, relay.Options{Log: log, Published: m.published, Failed: m.publishFailed})
	p.relay.run("relay", r.Run)
	return p, nil
}

// stop ends it with the flow: nothing is sent any more, what was sent is applied, then the rest ends. What the
// projections lack then they fetch at the next start.
func (p *pipeline) stop(ctx context.Context) error {
	return errors.Join(p.relay.stop(ctx), p.bus.Close(), p.busRun.stop(ctx), p.workers.stop(ctx))
}

// stage is goroutines that end together.
type stage struct {
	ctx    context.Context
	cancel context.CancelFunc
	failed chan error // takes the first part that ends by itself; shared by all stages
	all    sync.WaitGroup
}

func newStage(failed chan error) *stage {
	ctx, cancel := context.WithCancel(context.Background())
	return &stage{ctx: ctx, cancel: cancel, failed: failed}
}

// run starts a part, which goes on until the stage is stopped.
func (s *stage) run(name string, part func(context.Context) error) {
	s.all.Go(func() {
		err := part(s.ctx)
		if s.ctx.Err() != nil {
			return
		}
		if err == nil {
			err = errors.New("ended by itself")
		}
		select {
		case s.failed <- fmt.Errorf("%s: %w", name, err):
		default:
		}
	})
}

// stop ends the stage and waits for its parts, or for ctx.
func (s *stage) stop(ctx context.Context) error {
	s.cancel()
	done := make(chan struct{})
	go func() {
		s.all.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
