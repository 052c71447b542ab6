package readmodel

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"auditlog/eventstore"
	"auditlog/internal/sqlitedb"
	"auditlog/projection"
	"auditlog/projection/generation"
)

// Model is one generation of a projection's file.
type Model interface {
	comparable
	Apply(ctx context.Context, env projection.Envelope) error
	Reapply(ctx context.Context, env projection.Envelope) error
	Progress(ctx context.Context, shard eventstore.Shard) (projection.Ranges, error)
	// Digest writes what a rebuilt generation must agree on, in a canonical order and without the file's own numbers.
	Digest(ctx context.Context, w io.Writer) error
	Close() error
}

// Live is a projector over the live generation of its file. A file that turns out damaged is replaced by an empty one,
// which the sweeper fills from the store.
type Live[T Model] struct {
	name string
	set  *generation.Set[T]
	log  *slog.Logger
}

// OpenLive opens the projection called name in its home.
func OpenLive[T Model](ctx context.Context, home Home, name string, log *slog.Logger, open func(ctx context.Context, path string) (T, error)) (*Live[T], error) {
	if log == nil {
		log = slog.Default()
	}
	dir, ok := home.(folder)
	if !ok {
		return nil, errors.New("projections cannot be kept on PostgreSQL yet")
	}
	set, err := generation.Open(ctx, string(dir), name, log, open)
	if err != nil {
		return nil, err
	}
	return &Live[T]{name: name, set: set, log: log}, nil
}

// Name is the destination's name.
func (l *Live[T]) Name() string { return l.name }

// Close closes the live generation.
func (l *Live[T]) Close() error { return l.set.Close() }

// Use calls f with the live generation, which stays open until f returns.
func (l *Live[T]) Use(f func(live T) error) error { return l.set.Use(f) }

// Apply implements projection.Projector.
func (l *Live[T]) Apply(ctx context.Context, env projection.Envelope) error {
	return l.guard(ctx, func(live T) error { return live.Apply(ctx, env) })
}

// Reapply implements projection.Reapplier.
func (l *Live[T]) Reapply(ctx context.Context, env projection.Envelope) error {
	return l.guard(ctx, func(live T) error { return live.Reapply(ctx, env) })
}

// Progress implements projection.Projector.
func (l *Live[T]) Progress(ctx context.Context, shard eventstore.Shard) (done projection.Ranges, err error) {
	err = l.guard(ctx, func(live T) (err error) {
		done, err = live.Progress(ctx, shard)
		return err
	})
	return done, err
}

// Visible is the offset up to which every event of the shard is in the answers.
func (l *Live[T]) Visible(ctx context.Context, shard eventstore.Shard) (eventstore.Offset, error) {
	done, err := l.Progress(ctx, shard)
	return done.Cursor(), err
}

// guard uses the live generation and puts an empty one in its place when it is damaged.
func (l *Live[T]) guard(ctx context.Context, f func(live T) error) error {
	var used T
	err := l.set.Use(func(live T) error {
		used = live
		return f(live)
	})
	if errors.Is(err, sqlitedb.ErrCorrupt) {
		return errors.Join(err, l.set.Reset(ctx, func(live T) bool { return live == used }, err))
	}
	return err
}

// Report tells how a rebuild went.
type Report struct {
	Events int64
	Equal  bool // the rebuilt generation agreed with the one it replaced; if not, the log was the judge
}

// Rebuild fills a new generation from the store while the live one serves and takes events, compares both at the same
// offset, and swaps. step, when not nil, is told of the offsets done and to do.
func (l *Live[T]) Rebuild(ctx context.Context, source projection.Source, step func(done, head eventstore.Offset)) (Report, error) {
	var r Report
	var old T
	if err := l.set.Use(func(live T) error { old = live; return nil }); err != nil {
		return r, err
	}
	fill := func(ctx context.Context, next T) error { return l.catchUp(ctx, source, next, &r, step) }
	last := func(ctx context.Context, next T) error {
		if err := errors.Join(l.catchUp(ctx, source, next, &r, step), l.catchUp(ctx, source, old, &Report{}, nil)); err != nil {
			return err
		}
		a, err := digest(ctx, old)
		if err != nil { // it is about to go; a damaged one is no reason to keep it
			l.log.WarnContext(ctx, "the replaced generation cannot be compared", "projection", l.name, "error", err)
			return nil
		}
		b, err := digest(ctx, next)
		r.Equal = bytes.Equal(a, b)
		return err
	}
	if err := l.set.Swap(ctx, fill, last); err != nil {
		return r, fmt.Errorf("rebuild %s: %w", l.name, err)
	}
	if !r.Equal {
		l.log.WarnContext(ctx, "the rebuilt projection differs from the one it replaced", "projection", l.name)
	}
	return r, nil
}

// catchUp applies all that is missing up to the heads of the shards.
func (l *Live[T]) catchUp(ctx context.Context, source projection.Source, m T, r *Report, step func(done, head eventstore.Offset)) error {
	for shard := range source.Shards() {
		head, err := source.ShardHead(ctx, eventstore.Shard(shard))
		if err != nil {
			return err
		}
		done, err := m.Progress(ctx, eventstore.Shard(shard))
		if err != nil {
			return err
		}
		for _, gap := range done.Gaps(head.Offset) {
			for at := gap.From; at < gap.To; {
				env, err := projection.ReadEnvelope(ctx, source, eventstore.Shard(shard), projection.Range{From: at, To: gap.To}, rebuildPage)
				if err != nil {
					return err
				}
				if err := m.Apply(ctx, env); err != nil {
					return err
				}
				at = env.To
				r.Events += int64(len(env.Events))
				if step != nil {
					step(at, head.Offset)
				}
			}
		}
	}
	return nil
}

const rebuildPage = 1000 // events per transaction

func digest[T Model](ctx context.Context, m T) ([]byte, error) {
	h := sha256.New()
	err := m.Digest(ctx, h)
	return h.Sum(nil), err
}
