package projection

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"auditlog/eventstore"
)

const (
	// maxGroup is the default of RunnerOptions.Group.
	maxGroup = 4096
	// gathering is the default of RunnerOptions.Gather: the messages of an envelope come one by one as they are decoded.
	gathering = 5 * time.Millisecond
)

// lane applies the envelopes of one shard one after the other, so that a bisection ends in one piece. Those that arrive
// meanwhile wait, and go together as far as they adjoin: a transaction costs about the same for many events as for few.
type lane struct {
	mu      turn // held while something is applied
	crowded bool // the last group was of several envelopes; guarded by mu

	queue   sync.Mutex // guards waiting; taken with or without mu, never before it
	waiting []*ticket
}

// ticket is an envelope that waits to be applied. done and alone are guarded by the lane's mu.
type ticket struct {
	env   Envelope
	done  bool // its range is recorded
	alone bool // a group with it failed
}

// lead applies the ticket's envelope with all that wait and adjoin. When that fails in whatever way, nothing of it is
// recorded and each goes alone, under its own deadline: so only the one that is to blame fails, is parked, or is halved.
// It is called with the lane's lock.
func (r *Runner) lead(ctx context.Context, l *lane, t *ticket) error {
	if t.alone {
		return r.alone(ctx, t.env)
	}
	if l.crowded {
		if err := sleep(ctx, r.o.Gather); err != nil {
			l.take(t, 0)
			return err
		}
	}
	group := l.take(t, r.o.Group)
	if l.crowded = len(group) > 1; !l.crowded {
		return r.alone(ctx, t.env)
	}
	err := r.pages(ctx, merge(group), func(page Envelope) error {
		start := time.Now()
		err := r.guarded(ctx, page)
		if err == nil {
			r.applied(page, start)
		}
		return err
	})
	if err == nil {
		for _, member := range group {
			member.done = true
		}
		return nil
	}
	for _, member := range group {
		member.alone = true
	}
	return r.alone(ctx, t.env)
}

// alone applies or parks one envelope.
func (r *Runner) alone(ctx context.Context, env Envelope) error {
	return r.pages(ctx, env, func(page Envelope) error { return r.apply(ctx, page) })
}

// enter lets an envelope wait. Its caller then locks mu, and finds it done or leads.
func (l *lane) enter(env Envelope) *ticket {
	t := &ticket{env: env}
	l.queue.Lock()
	defer l.queue.Unlock()
	l.waiting = append(l.waiting, t)
	return t
}

// take takes the ticket from those that wait, with all that make one range with it: at most so many events unless t
// alone has more. Envelopes of different epochs never mix.
func (l *lane) take(t *ticket, most int) []*ticket {
	l.queue.Lock()
	defer l.queue.Unlock()
	group, span, events := []*ticket{t}, Range{t.env.From, t.env.To}, t.env.weight()
	l.waiting = slices.DeleteFunc(l.waiting, func(w *ticket) bool { return w == t })
	for i := 0; i < len(l.waiting); i++ {
		env := l.waiting[i].env
		if env.Epoch != t.env.Epoch || env.From > span.To || env.To < span.From || events+env.weight() > most {
			continue
		}
		group, events = append(group, l.waiting[i]), events+env.weight()
		span = Range{min(span.From, env.From), max(span.To, env.To)}
		l.waiting = slices.Delete(l.waiting, i, i+1)
		i = -1 // one that was passed over may adjoin now
	}
	return group
}

// merge joins envelopes whose ranges together are one. What several hold comes once. An event that one lacks though its
// range covers it was removed before that one was read: it stays, as if they were applied one after the other. With a
// pointer among them the store is asked for all.
func merge(group []*ticket) Envelope {
	out := Envelope{Shard: group[0].env.Shard, From: group[0].env.From, To: group[0].env.To, Epoch: group[0].env.Epoch}
	slices.SortFunc(group, func(a, b *ticket) int { return cmp.Compare(a.env.From, b.env.From) })
	n := 0
	for _, t := range group {
		out.From, out.To = min(out.From, t.env.From), max(out.To, t.env.To)
		out.Pointer = out.Pointer || t.env.Pointer
		n += len(t.env.Events)
	}
	if out.Pointer {
		return out
	}
	out.Events = make([]eventstore.Event, 0, n)
	for _, t := range group {
		out.Events = append(out.Events, t.env.Events...)
	}
	slices.SortStableFunc(out.Events, func(a, b eventstore.Event) int { return cmp.Compare(a.Offset, b.Offset) })
	out.Events = slices.CompactFunc(out.Events, func(a, b eventstore.Event) bool { return a.Offset == b.Offset })
	return out
}
