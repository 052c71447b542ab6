package readmodel

import (
	"context"
	"errors"

	"golang.org/x/sync/errgroup"

	"auditlog/eventstore"
	"auditlog/internal/sqlitedb"
	"auditlog/projection"
)

// Together is one projector over several projections that need the same facts: an envelope comes once and is opened once
// for all of them. Each keeps its own tables, progress and generations, and takes what it alone lacks.
type Together struct {
	name    string
	deps    Deps
	members []member
}

// member is a Live whose model embeds Tables.
type member interface {
	projection.Reapplier
	useTables(ctx context.Context, f func(*Tables) error) error
}

// NewTogether makes a projector called name. deps are the members' own.
func NewTogether(name string, deps Deps, members ...member) *Together {
	return &Together{name: name, deps: deps, members: members}
}

// Name is the destination's name.
func (t *Together) Name() string { return t.name }

// Apply implements projection.Projector. Whatever one of them fails for, the others get what is theirs.
func (t *Together) Apply(ctx context.Context, env projection.Envelope) error {
	return worst(t.nest(ctx, nil, func(tables []*Tables) []error { return t.apply(ctx, tables, env) }))
}

// nest calls do while all live generations are in use. A member hears of its own error only: it may be one that makes it
// replace a damaged file.
func (t *Together) nest(ctx context.Context, tables []*Tables, do func([]*Tables) []error) []error {
	i := len(tables)
	if i == len(t.members) {
		return do(tables)
	}
	var errs []error
	err := t.members[i].useTables(ctx, func(own *Tables) error {
		errs = t.nest(ctx, append(tables[:i:i], own), do)
		return errs[i]
	})
	if errs == nil {
		errs = make([]error, len(t.members))
	}
	errs[i] = err
	return errs
}

func (t *Together) apply(ctx context.Context, tables []*Tables, env projection.Envelope) []error {
	errs := make([]error, len(tables))
	all := func(err error) []error {
		for i := range errs {
			errs[i] = err
		}
		return errs
	}
	for _, f := range tables {
		defer f.turn()()
	}
	done, common := make([]projection.Ranges, len(tables)), projection.Ranges(nil)
	for i, f := range tables {
		var err error
		if done[i], err = f.done(ctx, env.Shard); err != nil {
			errs[i] = err // of this file alone
			return errs
		}
		if i == 0 {
			common = done[i]
		}
		common = common.Intersect(done[i])
	}
	whole := projection.Range{From: env.From, To: env.To}
	if common.Covers(whole) {
		return errs
	}
	facts, err := Collect(ctx, t.deps.Store, t.deps.Opener, env, common)
	if err != nil {
		return all(err)
	}
	var g errgroup.Group
	for i, f := range tables {
		if done[i].Covers(whole) {
			continue
		}
		g.Go(func() error {
			errs[i] = sqlitedb.Classify(f.take(ctx, env, facts, false))
			return nil
		})
	}
	_ = g.Wait() // they tell by errs
	return errs
}

// worst is the error that decides what becomes of an envelope: one that passes with time before poison, so that nothing is
// parked for a member that could still take it.
func worst(errs []error) error {
	var poison *projection.Poison
	var worst error
	for _, err := range errs {
		if err != nil && (worst == nil || errors.As(worst, &poison)) {
			worst = err
		}
	}
	return worst
}

// Reapply implements projection.Reapplier.
func (t *Together) Reapply(ctx context.Context, env projection.Envelope) error {
	var errs []error
	for _, m := range t.members {
		errs = append(errs, m.Reapply(ctx, env))
	}
	return worst(errs)
}

// Progress is what all of them have applied.
func (t *Together) Progress(ctx context.Context, shard eventstore.Shard) (common projection.Ranges, err error) {
	for i, m := range t.members {
		done, err := m.Progress(ctx, shard)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			common = done
		}
		common = common.Intersect(done)
	}
	return common, nil
}
