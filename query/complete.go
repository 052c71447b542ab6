package query

import (
	"context"
	"errors"
	"time"

	"auditlog/eventstore"
	"auditlog/internal/fault"
)

var errSearchTime = errors.New("the time for one search is over")

// within runs work under the time limit of a search. Work that the limit ended, not the caller, keeps the kind that its
// error has; without one it waited for parts that are busy with others, which is Overloaded.
func (q *Queries) within(ctx context.Context, work func(context.Context) error) error {
	limited, cancel := context.WithTimeoutCause(ctx, q.o.SearchTime, errSearchTime)
	defer cancel()
	err := work(limited)
	if outOfTime(limited, err) {
		return &fault.Error{Kind: fault.Overloaded, Detail: "the search was not answered in time; try again", RetryAfter: time.Second, Cause: err}
	}
	return err
}

// costly is for the error of what answers the question by itself, the index or the counts. When it was at work until the
// limit of within, the question asks too much. One that is busy with others says so by a kind.
func costly(limited context.Context, err error) error {
	if outOfTime(limited, err) {
		return fault.Wrap(fault.QueryTooCostly, err, "the search took too long; narrow it by time or by another filter")
	}
	return err
}

// outOfTime tells errors that no part has explained yet, after the limit of within.
func outOfTime(limited context.Context, err error) bool {
	return err != nil && errors.Is(context.Cause(limited), errSearchTime) && fault.KindOf(err) == fault.Internal
}

// completeTo is how far the index has come for a tenant. It waits at most wait for it to reach least, else fault.Behind.
func (q *Queries) completeTo(ctx context.Context, tenant eventstore.TenantID, least eventstore.Position, wait time.Duration) (CompleteTo, eventstore.Head, error) {
	head, err := q.store.Head(ctx, tenant)
	if err != nil {
		return CompleteTo{}, head, err
	}
	timeout := time.NewTimer(wait)
	defer timeout.Stop()
	for {
		var changed <-chan struct{}
		if least > 0 { // nobody else waits
			changed = q.index.Changed() // before Visible, so that no move is missed
		}
		to, err := q.visible(ctx, tenant, head.Shard, q.index)
		if err != nil || to.Position >= least {
			return to, head, err
		}
		if wait == 0 {
			return to, head, behind()
		}
		select {
		case <-changed:
		case <-timeout.C:
			return to, head, behind()
		case <-ctx.Done():
			return to, head, ctx.Err()
		}
	}
}

func behind() error {
	return &fault.Error{Kind: fault.Behind, Detail: "the index has not reached min_position yet; try again, or give a longer wait", RetryAfter: time.Second}
}

// forgetPoll is how often a count looks whether an erasure or purge was taken out of it.
const forgetPoll = 5 * time.Millisecond

// forgotten waits until a projection has taken every erasure and purge of the tenant's head out of its counts. From an
// erasure's commit on no read may show what it covers, and a count that lags does. Pages of entries need no wait: they are
// folded from the store.
func (q *Queries) forgotten(ctx context.Context, tenant eventstore.TenantID, head eventstore.Head, p progress) error {
	if head.Hidden == 0 {
		return nil
	}
	late := time.NewTimer(q.o.ForgetTime)
	defer late.Stop()
	for {
		to, err := q.visible(ctx, tenant, head.Shard, p)
		if err != nil || to.Position >= head.Hidden {
			return err
		}
		select {
		case <-time.After(forgetPoll):
		case <-late.C:
			return &fault.Error{Kind: fault.Unavailable, Detail: "an erasure or a purge is still being taken out of the counts; try again", RetryAfter: time.Second}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// progress is the side of a projection that tells how far it can be relied on.
type progress interface {
	Visible(ctx context.Context, shard eventstore.Shard) (eventstore.Offset, error)
}

// visible turns a projection's offset into what its reader may be told.
func (q *Queries) visible(ctx context.Context, tenant eventstore.TenantID, shard eventstore.Shard, p progress) (CompleteTo, error) {
	offset, err := p.Visible(ctx, shard)
	if err != nil {
		return CompleteTo{}, err
	}
	return q.places.at(ctx, q.store, tenant, offset)
}
