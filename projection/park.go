package projection

import (
	"context"
	"errors"
	"fmt"

	"auditlog/eventstore"
)

// Parked is a range, as a rule of one event, that a projection could not apply and went past.
type Parked struct {
	Destination string
	Shard       eventstore.Shard
	Range       Range
	Reason      string
	At          eventstore.Micros
}

// Parking keeps parked ranges. Every method is durable against a crash of the process on return, and idempotent.
type Parking interface {
	// Park adds a range; the same range again replaces reason and time.
	Park(ctx context.Context, p Parked) error
	// Parked lists the ranges of a destination by shard and offset.
	Parked(ctx context.Context, destination string) ([]Parked, error)
	// Unpark removes a range.
	Unpark(ctx context.Context, p Parked) error
}

// Reapplier is a Projector that can make the effect of events whose range is recorded already: what replaying parked
// events needs. It keeps the promise of Apply: an effect that is there already is not made twice.
type Reapplier interface {
	Projector
	Reapply(ctx context.Context, env Envelope) error
}

// ErrNoReplay says that the projection cannot take events again; rebuild it instead.
var ErrNoReplay = errors.New("this projection cannot replay parked events: rebuild it")

// bisect applies an envelope of which something is poison in halves, until single events are left to be parked.
func (r *Runner) bisect(ctx context.Context, env Envelope, reason *Poison) error {
	if len(env.Events) <= 1 {
		return r.park(ctx, env, reason)
	}
	mid := len(env.Events) / 2
	left, right := env, env
	left.Events, left.To = env.Events[:mid], env.Events[mid-1].Offset
	right.Events, right.From = env.Events[mid:], env.Events[mid-1].Offset
	for _, half := range []Envelope{left, right} {
		err := r.guarded(ctx, half)
		var poison *Poison
		if errors.As(err, &poison) {
			err = r.bisect(ctx, half, poison)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// park puts a single bad event aside, durably, and then records its range by an envelope without events, as if a purge
// had removed it. A crash in between parks it again.
func (r *Runner) park(ctx context.Context, env Envelope, reason *Poison) error {
	if len(env.Events) == 1 { // the first failure may have been of a neighbour's making: once more, alone
		var again *Poison
		err := r.guarded(ctx, env)
		if !errors.As(err, &again) {
			return err
		}
		reason = again
	}
	p := Parked{
		Destination: r.Name(), Shard: env.Shard, Range: Range{env.From, env.To},
		Reason: reason.Err.Error(), At: eventstore.MicrosOf(r.o.Clock()),
	}
	if err := r.parking.Park(ctx, p); err != nil {
		return fmt.Errorf("park poison: %w", err)
	}
	env.Events = nil
	if err := r.guarded(ctx, env); err != nil {
		return fmt.Errorf("skip parked range: %w", err)
	}
	r.o.Log.WarnContext(ctx, "parked an event that cannot be applied", "destination", p.Destination, "shard", p.Shard,
		"from", p.Range.From, "to", p.Range.To, "reason", p.Reason)
	if r.o.Hooks.Parked != nil {
		r.o.Hooks.Parked(r.Name())
	}
	return nil
}

// Parked lists what this projection went past.
func (r *Runner) Parked(ctx context.Context) ([]Parked, error) {
	return r.parking.Parked(ctx, r.Name())
}

// Replay reads each parked range from the store again and applies it, after a fix. It tells how many ranges went in;
// those that fail stay parked and make the error.
func (r *Runner) Replay(ctx context.Context) (replayed int, err error) {
	re, ok := r.projector.(Reapplier)
	if !ok {
		return 0, fmt.Errorf("%s: %w", r.Name(), ErrNoReplay)
	}
	all, err := r.Parked(ctx)
	if err != nil {
		return 0, err
	}
	var failed []error
	for _, p := range all {
		if err := r.replay(ctx, re, p); err != nil {
			failed = append(failed, err)
			continue
		}
		replayed++
	}
	return replayed, errors.Join(failed...)
}

func (r *Runner) replay(ctx context.Context, re Reapplier, p Parked) (err error) {
	lane := &r.lanes[p.Shard]
	lane.mu.Lock()
	defer lane.mu.Unlock()
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("replay to %s: shard %d, (%d, %d]: panic: %v", r.Name(), p.Shard, p.Range.From, p.Range.To, v)
		}
	}()
	for at := p.Range.From; at < p.Range.To; {
		env, err := ReadEnvelope(ctx, r.source, p.Shard, Range{at, p.Range.To}, r.o.Page)
		if err != nil {
			return err
		}
		if err := re.Reapply(ctx, env); err != nil {
			return fmt.Errorf("replay to %s: shard %d, (%d, %d]: %w", r.Name(), p.Shard, env.From, env.To, err)
		}
		at = env.To
	}
	return r.parking.Unpark(ctx, p)
}
