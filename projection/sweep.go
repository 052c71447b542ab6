package projection

import (
	"context"
	"errors"
	"fmt"
	"time"

	"auditlog/eventstore"
)

// Run sweeps until ctx ends: at once for whatever is missing at start, unless Shared, then every Sweep for gaps older than
// Settle. It returns ctx's error. A failed sweep is logged and the next one tries again.
func (r *Runner) Run(ctx context.Context) error {
	settle := time.Duration(0)
	if r.o.Shared {
		settle = r.o.Settle
	}
	for {
		if err := r.Sweep(ctx, settle); err != nil && ctx.Err() == nil {
			r.o.Log.WarnContext(ctx, "sweep failed, the next one goes on", "destination", r.Name(), "error", err)
		}
		settle = r.o.Settle
		if err := sleep(ctx, r.o.Sweep-r.o.Settle); err != nil {
			return err
		}
	}
}

// Sweep fills the gaps of every shard that are at least settle old. What was missing then above the newest applied range
// is left to the bus as long as the bus delivers; with a settle of 0 it is filled too.
func (r *Runner) Sweep(ctx context.Context, settle time.Duration) error {
	all := make([]sight, r.source.Shards())
	var errs []error
	for shard := range all {
		var err error
		if all[shard], err = r.look(ctx, eventstore.Shard(shard)); err != nil {
			errs = append(errs, fmt.Errorf("sweep %s: %w", r.Name(), err))
		}
	}
	if err := sleep(ctx, settle); err != nil {
		return err
	}
	for shard, before := range all {
		if err := r.sweepShard(ctx, eventstore.Shard(shard), before, settle); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// sight is how far a shard and its projection were at a time. The zero value: nothing is known, and nothing is missing.
type sight struct {
	head   eventstore.Offset
	newest eventstore.Offset // the highest that was applied
}

func (r *Runner) look(ctx context.Context, shard eventstore.Shard) (sight, error) {
	head, err := r.source.ShardHead(ctx, shard)
	if err != nil {
		return sight{}, err
	}
	done, err := r.projector.Progress(ctx, shard)
	if err != nil {
		return sight{}, err
	}
	return sight{head: head.Offset, newest: newest(done)}, nil
}

// newest is the highest offset that was applied. When it rises some process applies, whoever brings it.
func newest(done Ranges) eventstore.Offset {
	if len(done) == 0 {
		return 0
	}
	return done[len(done)-1].To
}

func (r *Runner) sweepShard(ctx context.Context, shard eventstore.Shard, before sight, settle time.Duration) error {
	done, err := r.projector.Progress(ctx, shard)
	if err != nil {
		return fmt.Errorf("sweep %s: %w", r.Name(), err)
	}
	if r.o.Hooks.Lag != nil {
		r.o.Hooks.Lag(r.Name(), shard, max(0, int64(before.head-done.Cursor())))
	}
	for _, gap := range done.Gaps(before.head) {
		if gap.From >= before.newest && settle > 0 && newest(done) > before.newest {
			return nil // envelopes of the bus overtake one another: what it still works on is no gap
		}
		if err := r.fill(ctx, shard, gap); err != nil {
			return err
		}
	}
	return nil
}

func (r *Runner) fill(ctx context.Context, shard eventstore.Shard, gap Range) error {
	for at := gap.From; at < gap.To; {
		env, err := ReadEnvelope(ctx, r.source, shard, Range{at, gap.To}, r.o.Page)
		if err != nil {
			return fmt.Errorf("sweep %s: %w", r.Name(), err)
		}
		if err := r.applyLocked(ctx, env); err != nil {
			return err
		}
		if r.o.Hooks.Swept != nil {
			r.o.Hooks.Swept(r.Name(), len(env.Events))
		}
		at = env.To
	}
	return nil
}

func (r *Runner) applyLocked(ctx context.Context, env Envelope) error {
	lane := &r.lanes[env.Shard]
	lane.mu.Lock()
	defer lane.mu.Unlock()
	return r.apply(ctx, env)
}

// ReadEnvelope is the first envelope of at most limit events of a range that lies at or below the shard's head. Offsets
// are dense, so those that the page leaves out were removed: the envelope covers them.
func ReadEnvelope(ctx context.Context, source Source, shard eventstore.Shard, x Range, limit int) (Envelope, error) {
	events, err := source.ReadShard(ctx, shard, x.From, limit)
	if err != nil {
		return Envelope{}, fmt.Errorf("read shard %d after %d: %w", shard, x.From, err)
	}
	env := Envelope{Shard: shard, From: x.From, To: x.To}
	for i, e := range events {
		if e.Offset > x.To {
			env.Events = events[:i]
			return env, nil
		}
	}
	if len(events) > 0 {
		env.Events, env.To = events, events[len(events)-1].Offset
	}
	return env, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
