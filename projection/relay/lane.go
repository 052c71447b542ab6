package relay

import (
	"context"
	"errors"
	"time"

	"auditlog/eventstore"
	"auditlog/internal/mutant"
	"auditlog/projection"
)

// lane publishes one shard to one destination; one goroutine owns it.
type lane struct {
	*Relay
	shard       eventstore.Shard
	destination string
	epoch       uint64
	end         context.CancelFunc // ends the hold of the shard: all its lanes
	cursor      eventstore.Offset
	published   time.Time // when the last envelope was taken
}

// run goes on until ctx ends.
func (l *lane) run(ctx context.Context) {
	l.retry(ctx, "load relay cursor", func() (err error) {
		l.cursor, err = l.cursors.Load(ctx, l.shard, l.destination)
		return err
	})
	for ctx.Err() == nil {
		wake := l.source.Appended(l.shard) // before the read, so that no append falls in between
		var env projection.Envelope
		l.retry(ctx, "read for the bus", func() (err error) {
			env, err = l.next(ctx)
			return err
		})
		switch {
		case env.To <= l.cursor:
			wait(ctx, poll, wake)
		case l.lingers(len(env.Events)):
			wait(ctx, l.o.Linger-time.Since(l.published), nil)
			l.published = time.Time{} // once; what is there then goes
		default:
			l.publish(ctx, env)
		}
	}
}

// next is the envelope from the cursor on; an empty range when there is none.
func (l *lane) next(ctx context.Context) (projection.Envelope, error) {
	env, head, err := l.tiles[l.shard].read(ctx, l.source, l.shard, l.epoch, l.cursor, l.o.Page)
	if err == nil {
		l.o.Lag(l.destination, l.shard, max(0, int64(head-l.cursor)))
	}
	return env, err
}

// lingers tells whether to wait for more: only a small page right after another one does.
func (l *lane) lingers(events int) bool {
	return events < l.o.Page/2 && !l.published.IsZero() && time.Since(l.published) < l.o.Linger
}

// publish repeats until the bus took the envelope, then moves the cursor.
func (l *lane) publish(ctx context.Context, env projection.Envelope) {
	start := time.Now()
	env = l.wanted(env)
	if mutant.On == mutant.CursorBeforePublish {
		l.retry(ctx, "save relay cursor", func() error { return l.cursors.Save(ctx, l.shard, l.destination, l.epoch, env.To) })
	}
	l.retry(ctx, "publish to the bus", func() error { return l.bus.Publish(ctx, l.destination, env) })
	if ctx.Err() != nil {
		return
	}
	l.cursor, l.published = env.To, time.Now()
	l.o.Published(l.destination, len(env.Events), l.published.Sub(start))
	l.retry(ctx, "save relay cursor", func() error { return l.cursors.Save(ctx, l.shard, l.destination, l.epoch, l.cursor) })
}

// wanted is the envelope with what the destination asks for.
func (l *lane) wanted(env projection.Envelope) projection.Envelope {
	wants := l.o.Wants[l.destination]
	if wants == nil {
		return env
	}
	all := env.Events
	env.Events = nil // the tile's own are other lanes' as well
	for _, e := range all {
		if wants(e.Type) {
			env.Events = append(env.Events, e)
		}
	}
	return env
}

// retry calls f until it succeeds, ctx ends, or the lane is fenced, which ends ctx.
func (l *lane) retry(ctx context.Context, what string, f func() error) {
	for backoff := l.o.Backoff; ctx.Err() == nil; backoff = min(2*backoff, maxBackoff) {
		err := f()
		if err == nil || ctx.Err() != nil {
			return
		}
		if errors.Is(err, ErrFenced) {
			l.o.Log.WarnContext(ctx, "relay was fenced", "destination", l.destination, "shard", l.shard, "epoch", l.epoch)
			if mutant.On != mutant.FenceIgnored {
				l.end()
			}
			return
		}
		l.o.Failed(l.destination, err)
		l.o.Log.WarnContext(ctx, what+" failed, trying again", "destination", l.destination, "shard", l.shard,
			"in", backoff, "error", err)
		wait(ctx, backoff, nil)
	}
}

// wait returns after d, at a wake-up, or when ctx ends.
func wait(ctx context.Context, d time.Duration, wake <-chan struct{}) {
	t := time.NewTimer(max(d, 0))
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-wake:
	case <-t.C:
	}
}
