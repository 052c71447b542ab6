package sim

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"auditlog/command"
	"auditlog/eventstore"
	"auditlog/projection"
	"auditlog/projection/relay"
)

const (
	slots        = 3 // processes at a time
	consumers    = 4 // of a process and destination
	flushEntries = 6
)

var destinations = []string{"counts", "documents"}

// errDead is what a crashed process gets for each call: it changes nothing any more, and learns nothing.
var errDead = errors.New("the process has crashed")

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// process is one incarnation of a process: API, relay and projections. A crash ends it between two instants: from then on
// nothing that its goroutines do reaches the world.
type process struct {
	w        *world
	name     string
	slot     int
	ctx      context.Context
	end      context.CancelFunc
	dead     chan struct{} // closed by a crash
	once     sync.Once     // the end
	stopping bool          // owned by the nemesis
	running  sync.WaitGroup
	appender *command.Appender
	runners  map[string]*projection.Runner
}

// newProcess makes a process without starting its relay, consumers and sweepers.
func (w *world) newProcess(name string, slot int) *process {
	p := &process{w: w, name: name, slot: slot, dead: make(chan struct{}), runners: map[string]*projection.Runner{}}
	p.ctx, p.end = context.WithCancel(context.Background())
	log := &appends{p: p}
	for i := range log.streams {
		log.streams[i] = w.stream("%s/append/%d", name, i)
	}
	p.appender = command.NewAppender(log, shards, command.AppenderOptions{
		FlushEntries: flushEntries, QueueEntries: 24, Wait: 1500 * time.Millisecond, FlushTimeout: 2 * time.Second,
	})
	for _, d := range destinations {
		source := sweeperSource{p, w.stream("%s/sweep/%s", name, d)}
		p.runners[d] = projection.NewRunner(w.newModel(p, d), source, newParking(p, d), projection.RunnerOptions{
			Page: 8, Shared: true, Log: quiet, Hooks: projection.Hooks{Swept: func(string, int) { w.sometimes("range swept") }},
		})
	}
	return p
}

// start starts what runs by itself.
func (p *process) start() {
	source := &relaySource{p: p}
	for i := range source.reads {
		source.reads[i] = p.w.stream("%s/relay/read/%d", p.name, i)
		source.waits[i] = p.w.stream("%s/relay/wait/%d", p.name, i)
	}
	r := relay.New(source, newPublisher(p), newCursors(p), destinations, relay.Options{Page: 8, Lease: newLeases(p), Log: quiet})
	p.running.Go(func() { _ = r.Run(p.ctx) })
	for _, d := range destinations {
		p.running.Go(func() { _ = p.runners[d].Run(p.ctx) })
		for i := range consumers {
			s := p.w.stream("%s/consume/%s/%d", p.name, d, i)
			p.running.Go(func() { p.consume(s, d) })
		}
	}
	p.w.note(p.name, "start")
}

// crash ends the process at once.
func (p *process) crash(why string) {
	p.once.Do(func() {
		p.w.note(p.name, "crash "+why)
		p.w.sometimes("crash " + why)
		close(p.dead)
		p.end()
		p.w.lost(p)
	})
}

// mayCrash is a place where a crash is of interest.
func (p *process) mayCrash(s *stream, where string) error {
	if s.one(0.5) {
		p.crash(where)
	}
	if p.gone() {
		return errDead
	}
	return nil
}

// stop ends the process as SIGTERM does: what was accepted is answered before the rest ends. It tells whether no crash ended
// the process before.
func (p *process) stop() (ended bool) {
	p.w.note(p.name, "stop")
	err := p.appender.Close(p.ctx)
	p.once.Do(func() {
		if err != nil {
			p.w.broken("I21", "%s does not drain: %v", p.name, err)
		}
		p.w.note(p.name, "stopped")
		p.w.remove(p)
		p.end()
		ended = true
	})
	p.running.Wait()
	return ended
}

func (p *process) gone() bool {
	select {
	case <-p.dead:
		return true
	default:
		return false
	}
}

// ended tells a caller that must not go on.
func (p *process) ended(ctx context.Context) error {
	if p.gone() {
		return errDead
	}
	return ctx.Err()
}

// pause passes about d, unless the caller's context or the process ends before.
func (p *process) pause(ctx context.Context, s *stream, d time.Duration) error {
	if err := p.ended(ctx); err != nil {
		return err
	}
	t := time.NewTimer(s.until(d))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	case <-p.dead:
	}
	return p.ended(ctx)
}

// reply is what a client gets of a request.
type reply struct {
	outcomes []eventstore.Outcome
	err      error
	cut      bool // the connection ended without an answer
}

// serve is one request to the process's API.
func (p *process) serve(ctx context.Context, shard eventstore.Shard, u eventstore.Unit) reply {
	answer := make(chan reply, 1)
	go func() {
		out, err := p.appender.Submit(ctx, shard, u)
		answer <- reply{outcomes: out, err: err}
	}()
	select {
	case r := <-answer:
		r.cut = p.gone()
		return r
	case <-p.dead:
		return reply{cut: true}
	}
}
