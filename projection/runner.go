package projection

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"auditlog/eventstore"
)

// Source is what the runner reads from the event store (eventstore.Store has these methods).
type Source interface {
	Shards() int
	ShardHead(ctx context.Context, shard eventstore.Shard) (eventstore.ShardHead, error)
	ReadShard(ctx context.Context, shard eventstore.Shard, after eventstore.Offset, limit int) ([]eventstore.Event, error)
}

// Hooks tell metrics what happens. Nil functions are left out; they are called from several goroutines.
type Hooks struct {
	Applied func(destination string, events int, took time.Duration)
	Failed  func(destination string, err error)
	Parked  func(destination string)
	Swept   func(destination string, events int)                            // events that the sweeper brought
	Lag     func(destination string, shard eventstore.Shard, offsets int64) // head minus cursor, at each sweep
}

// RunnerOptions of a Runner. Zero values take the defaults.
type RunnerOptions struct {
	Sweep  time.Duration // period of the sweeper; default 5 s
	Settle time.Duration // how old a gap must be before the sweeper fills it, not at start; default 1 s, at most Sweep
	Page   int           // events per envelope of the sweeper; default 512
	Gather time.Duration // how long a group lets others join when the one before it was of several; default 5 ms
	Group  int           // events at most that are applied together; default 4,096
	Shared bool          // other processes apply to the same read model: at start, too, only a gap that is old is filled
	Clock  func() time.Time
	Hooks  Hooks
	Log    *slog.Logger
}

// Runner drives one projector: it takes envelopes from the bus and fills from the store what the bus lost. An event
// that can never be applied is parked with its reason and stops nothing.
type Runner struct {
	projector Projector
	source    Source
	parking   Parking
	o         RunnerOptions
	lanes     []lane // by shard
}

// NewRunner makes a runner. parking keeps what could not be applied, durably.
func NewRunner(p Projector, source Source, parking Parking, o RunnerOptions) *Runner {
	if o.Sweep <= 0 {
		o.Sweep = 5 * time.Second
	}
	if o.Settle <= 0 {
		o.Settle = time.Second
	}
	o.Settle = min(o.Settle, o.Sweep)
	if o.Page <= 0 {
		o.Page = 512
	}
	if o.Gather <= 0 {
		o.Gather = gathering
	}
	if o.Group <= 0 {
		o.Group = maxGroup
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return &Runner{projector: p, source: source, parking: parking, o: o, lanes: make([]lane, source.Shards())}
}

// Name is the destination's name.
func (r *Runner) Name() string { return r.projector.Name() }

// Handle applies an envelope from the bus, with others that wait when it adjoins them. A nil error means that its whole
// range is recorded: applied, or parked event by event. An error is transient: deliver again, or leave it to the sweeper.
func (r *Runner) Handle(ctx context.Context, env Envelope) error {
	if int(env.Shard) >= len(r.lanes) || env.To < env.From {
		return &Poison{fmt.Errorf("envelope of shard %d, (%d, %d], names no range of this store", env.Shard, env.From, env.To)}
	}
	if env.Pointer && len(env.Events) > 0 {
		return &Poison{fmt.Errorf("pointer of shard %d, (%d, %d], holds events", env.Shard, env.From, env.To)}
	}
	lane := &r.lanes[env.Shard]
	t := lane.enter(env)
	lane.mu.Lock()
	defer lane.mu.Unlock()
	if t.done {
		return nil
	}
	return r.lead(ctx, lane, t)
}

// apply applies or parks the whole envelope. It is called with the lane's lock.
func (r *Runner) apply(ctx context.Context, env Envelope) error {
	start := time.Now()
	err := r.guarded(ctx, env)
	var poison *Poison
	if errors.As(err, &poison) && ctx.Err() == nil {
		err = r.bisect(ctx, env, poison)
	}
	if err == nil {
		r.applied(env, start)
		return nil
	}
	return r.failed(env, err)
}

// failed tells of an error and says what it was about.
func (r *Runner) failed(env Envelope, err error) error {
	if r.o.Hooks.Failed != nil {
		r.o.Hooks.Failed(r.Name(), err)
	}
	return fmt.Errorf("apply to %s: shard %d, (%d, %d]: %w", r.Name(), env.Shard, env.From, env.To, err)
}

func (r *Runner) applied(env Envelope, start time.Time) {
	if r.o.Hooks.Applied != nil {
		r.o.Hooks.Applied(r.Name(), len(env.Events), time.Since(start))
	}
}

// guarded turns a panic of the projector into poison: the bisection tries each event again by itself, so that only one
// which panics time and again is parked.
func (r *Runner) guarded(ctx context.Context, env Envelope) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &Poison{fmt.Errorf("panic: %v", v)}
		}
	}()
	return r.projector.Apply(ctx, env)
}
