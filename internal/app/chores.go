package app

import (
	"context"
	"log/slog"
	"time"

	"auditlog/eventstore/timescale"
	"auditlog/projection/forget"
)

// janitorPeriod is how often purges are looked for where no single shard's appends tell of them.
const janitorPeriod = 5 * time.Second

// tendPeriod is how often chunks are looked after: they span hours, and nothing waits for it.
const tendPeriod = time.Hour

// runChores does what one process of the service does at a time: purges, and the care of old chunks where there are any.
// Another takes over when this one ends.
func runChores(ctx context.Context, p *parts, m *meters, log *slog.Logger) error {
	o := forget.JanitorOptions{Log: log, Removed: m.removed}
	if p.store.Shards() > 1 {
		o.Period = janitorPeriod
	}
	janitor := forget.NewJanitor(p.store, p.lifecycle, p.ring, o)
	return p.alone(ctx, func(ctx context.Context) error {
		chores := newStage(make(chan error, 1))
		defer func() { _ = chores.stop(context.WithoutCancel(ctx)) }()
		if chunks, ok := p.lifecycle.(*timescale.Lifecycle); ok {
			chores.run("chunks", func(ctx context.Context) error { return tendChunks(ctx, chunks, log) })
		}
		return janitor.Run(ctx)
	})
}

// tendChunks looks after the chunks until ctx ends; what fails is tried again the next time.
func tendChunks(ctx context.Context, l *timescale.Lifecycle, log *slog.Logger) error {
	for {
		done, err := l.Tend(ctx, timescale.TendOptions{})
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			log.WarnContext(ctx, "old chunks are left as they are, trying again", "in", tendPeriod, "error", err)
		case done != timescale.Tended{}:
			log.InfoContext(ctx, "looked after old chunks", "dropped", done.Dropped, "turned_into_columns", done.Columns, "busy", done.Busy)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(tendPeriod):
		}
	}
}
