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

// Model is one generation of a projection.
type Model interface {
	comparable
	Apply(ctx context.Context, env projection.Envelope) error
	Reapply(ctx context.Context, env projection.Envelope) error
	Progress(ctx context.Context, shard eventstore.Shard) (projection.Ranges, error)
	// Digest writes what a rebuilt generation must agree on, in a canonical order and without the tables' own numbers.
	Digest(ctx context.Context, w io.Writer) error
	Close() error
}

// Live is a projector over the live generation of its tables. A file that turns out damaged is replaced by an empty one,
// which the sweeper fills from the store.
type Live[T Model] struct {
	name string
	set  generations[T]
	log  *slog.Logger
}

// generations are those of one projection, of which one is live.
type generations[T Model] interface {
	// Use calls f with the live generation; again with another one, when that was replaced.
	Use(ctx context.Context, f func(live T) error) error
	// Swap fills the next generation and puts it in the live one's place. last runs while nothing is written to live.
	Swap(ctx context.Context, fill func(ctx context.Context, next T) error, last func(ctx context.Context, live, next T) error) error
	Close() error
}

// OpenLive opens the projection called name in its home.
func OpenLive[T Model](ctx context.Context, home Home, name string, log *slog.Logger, open func(ctx context.Context, at Place) (T, error)) (*Live[T], error) {
	if log == nil {
		log = slog.Default()
	}
	set, err := openGenerations(ctx, home, name, log, open)
	if err != nil {
		return nil, err
	}
	return &Live[T]{name: name, set: set, log: log}, nil
}

func openGenerations[T Model](ctx context.Context, home Home, name string, log *slog.Logger, open func(ctx context.Context, at Place) (T, error)) (generations[T], error) {
	switch home := home.(type) {
	case folder:
		set, err := generation.Open(ctx, string(home), name, log, func(ctx context.Context, path string) (T, error) {
			return open(ctx, Place{name: name, path: path})
		})
		return files[T]{set}, err
	case database:
		return generation.OpenShared(ctx, home.list(), name, log, func(ctx context.Context, at generation.At) (T, error) {
			return open(ctx, Place{name: name, at: at, conns: home.o.Conns})
		})
	}
	return nil, fmt.Errorf("open projection %s: it has no home", name)
}

// files are generations in files of one process.
type files[T Model] struct{ set *generation.Set[T] }

func (s files[T]) Close() error { return s.set.Close() }

// Use puts an empty generation in the live one's place when that is damaged.
func (s files[T]) Use(ctx context.Context, f func(live T) error) error {
	var used T
	err := s.set.Use(func(live T) error {
		used = live
		return f(live)
	})
	if errors.Is(err, sqlitedb.ErrCorrupt) {
		return errors.Join(err, s.set.Reset(ctx, func(live T) bool { return live == used }, err))
	}
	return err
}

func (s files[T]) Swap(ctx context.Context, fill func(ctx context.Context, next T) error, last func(ctx context.Context, live, next T) error) error {
	var old T
	if err := s.set.Use(func(live T) error { old = live; return nil }); err != nil {
		return err
	}
	return s.set.Swap(ctx, fill, func(ctx context.Context, next T) error { return last(ctx, old, next) })
}

// Name is the destination's name.
func (l *Live[T]) Name() string { return l.name }

// Close closes the live generation.
func (l *Live[T]) Close() error { return l.set.Close() }

// Use calls f with the live generation, which stays open until f returns. f may be called again, with another one.
func (l *Live[T]) Use(ctx context.Context, f func(live T) error) error { return l.set.Use(ctx, f) }

// useTables is Use for a model that embeds Tables.
func (l *Live[T]) useTables(ctx context.Context, f func(*Tables) error) error {
	return l.Use(ctx, func(live T) error { return f(any(live).(interface{ base() *Tables }).base()) })
}

// Print is Use for an f that writes text: w gets what the last call of f wrote, all at once.
func (l *Live[T]) Print(ctx context.Context, w io.Writer, f func(live T, w io.Writer) error) error {
	var text bytes.Buffer
	err := l.Use(ctx, func(live T) error {
		text.Reset()
		return f(live, &text)
	})
	if err != nil {
		return err
	}
	_, err = text.WriteTo(w)
	return err
}

// Apply implements projection.Projector.
func (l *Live[T]) Apply(ctx context.Context, env projection.Envelope) error {
	return l.Use(ctx, func(live T) error { return live.Apply(ctx, env) })
}

// Reapply implements projection.Reapplier.
func (l *Live[T]) Reapply(ctx context.Context, env projection.Envelope) error {
	return l.Use(ctx, func(live T) error { return live.Reapply(ctx, env) })
}

// Progress implements projection.Projector.
func (l *Live[T]) Progress(ctx context.Context, shard eventstore.Shard) (done projection.Ranges, err error) {
	err = l.Use(ctx, func(live T) (err error) {
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

// Report tells how a rebuild went.
type Report struct {
	Events int64
	Equal  bool // the rebuilt generation agreed with the one it replaced; if not, the log was the judge
}

// Rebuild fills a new generation from the store while the live one serves and takes events, compares both at the same
// offset, and swaps. step, when not nil, is told of the offsets done and to do.
func (l *Live[T]) Rebuild(ctx context.Context, source projection.Source, step func(done, head eventstore.Offset)) (Report, error) {
	var r Report
	fill := func(ctx context.Context, next T) error {
		for range 2 { // the second for what came meanwhile, so that little is left while writers wait
			to, err := heads(ctx, source)
			if err == nil {
				err = l.catchUp(ctx, source, next, to, &r, step)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	last := func(ctx context.Context, old, next T) error {
		to, err := heads(ctx, source) // of both: appends go on
		if err == nil {
			err = l.catchUp(ctx, source, next, to, &r, step)
		}
		var none T
		if err != nil || old == none {
			return err
		}
		if err := l.catchUp(ctx, source, old, to, &Report{}, nil); err != nil {
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

// heads are the offsets of the shards' newest events.
func heads(ctx context.Context, source projection.Source) ([]eventstore.Offset, error) {
	all := make([]eventstore.Offset, source.Shards())
	for shard := range all {
		head, err := source.ShardHead(ctx, eventstore.Shard(shard))
		if err != nil {
			return nil, err
		}
		all[shard] = head.Offset
	}
	return all, nil
}

// catchUp applies all that is missing up to an offset of each shard.
func (l *Live[T]) catchUp(ctx context.Context, source projection.Source, m T, to []eventstore.Offset, r *Report, step func(done, head eventstore.Offset)) error {
	for shard, head := range to {
		done, err := m.Progress(ctx, eventstore.Shard(shard))
		if err != nil {
			return err
		}
		for _, gap := range done.Gaps(head) {
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
					step(at, head)
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
