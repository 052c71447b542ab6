package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"auditlog/eventstore"
	"auditlog/projection"
	"auditlog/projection/forget"
	"auditlog/projection/relay"
	"auditlog/transport/bus"
	"auditlog/transport/bus/inproc"
	"auditlog/transport/bus/sqs"
)

// pipeline is the way of events from the store to the projections.
type pipeline struct {
	runners []*projection.Runner
	relay   *stage
	bus     bus.Bus
	busRun  *stage
	workers *stage                      // sweepers of the runners, and chores
	queues  func(context.Context) error // tells whether the queues are there; nil: the bus is part of the process
}

// settleOnQueues is how long a gap is left to a bus between processes, where messages wait for a free worker.
const settleOnQueues = 3 * time.Second

// lingerForQueues is how long a shard gathers events for its next messages, which cost by their number. Whoever looks for
// an entry waits longer for a refresh of the index, and streams do not wait for queues.
const lingerForQueues = 100 * time.Millisecond

// gatherFromQueues is how long messages that came together wait for more of theirs: ten or so are one envelope of the relay.
const gatherFromQueues = 30 * time.Millisecond

// watchPeriod is how often the state of the queues is taken into the metrics.
const watchPeriod = 15 * time.Second

// startPipeline starts it from its end: what applies envelopes first, what sends them last.
func startPipeline(ctx context.Context, parts *parts, cfg Config, log *slog.Logger, m *meters, failed chan error) (*pipeline, error) {
	p := &pipeline{workers: newStage(failed), busRun: newStage(failed), relay: newStage(failed)}
	o := projection.RunnerOptions{Hooks: m.hooks(), Log: log, Shared: !cfg.Parts.embeddedStore()}
	var err error
	if p.bus, err = openBus(ctx, cfg.Parts, m, log); err != nil {
		return nil, err
	}
	linger := time.Duration(0)
	if queues, ok := p.bus.(*sqs.Bus); ok {
		o.Settle, o.Gather, linger = settleOnQueues, gatherFromQueues, lingerForQueues
		p.queues = func(ctx context.Context) error { return pingAll(ctx, queues, cfg.applied()) }
		p.workers.run("queue metrics", func(ctx context.Context) error {
			queues.Watch(ctx, watchPeriod, cfg.applied(), m.queue)
			return ctx.Err()
		})
	}
	for _, projector := range parts.projectors(cfg.applied()) {
		r := projection.NewRunner(projector, parts.store, parts.relay, o)
		p.runners = append(p.runners, r)
		p.bus.Subscribe(r.Name(), r.Handle)
		p.workers.run("projection "+r.Name(), r.Run)
	}
	p.workers.run("chores", func(ctx context.Context) error { return runChores(ctx, parts, m, log) })
	p.busRun.run("bus", p.bus.Run)
	if cfg.Parts.Bus == InProcess { // whoever sends before it runs is refused; a queue takes messages at any time
		select {
		case <-p.bus.Running():
		case err := <-failed:
			return nil, errors.Join(err, p.stop(context.WithoutCancel(ctx)))
		}
	}
	r := relay.New(parts.store, p.bus, parts.relay, Projections, relay.Options{
		Log: log, Lease: parts.lease, Linger: linger, Wants: map[string]func(eventstore.Type) bool{"forget": forget.Wants}, Published: m.published, Failed: m.publishFailed, Held: m.held, Lag: m.relayLag,
	})
	p.relay.run("relay", r.Run)
	return p, nil
}

// openBus makes the bus that the configuration names. It need not answer yet.
func openBus(ctx context.Context, cfg Parts, m *meters, log *slog.Logger) (bus.Bus, error) {
	o := bus.RouterOptions{Log: log, OnPoison: m.poisoned}
	if cfg.Bus == InProcess {
		return inproc.New(o)
	}
	b, err := sqs.Open(ctx, sqs.Config{Prefix: cfg.QueuePrefix, OnCall: m.called, Log: log}, o)
	return b, named(setBus, err)
}

// pingAll tells whether the queues are there and answer.
func pingAll(ctx context.Context, queues *sqs.Bus, destinations []string) error {
	for _, d := range destinations {
		if err := queues.Ping(ctx, d); err != nil {
			return err
		}
	}
	return nil
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
