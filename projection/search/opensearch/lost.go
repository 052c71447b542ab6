package opensearch

import (
	"context"
	"errors"
	"slices"
	"time"

	"auditlog/eventstore"
)

// lastStep bounds the last step of a rebuild, in which writers wait.
const lastStep = time.Minute

// shutFor is how long a generation stays shut before its replacement is given up for dead: the last step, and the one
// request that ends it.
func (x *Index) shutFor() time.Duration { return lastStep + x.cfg.Requests.Timeout }

// reconcile ends a replacement that was given up for dead: the alias says whether it had got through.
func (x *Index) reconcile(ctx context.Context, live Generation) (Generation, error) {
	if eventstore.MicrosOf(x.cfg.Clock()) < live.ShutUntil {
		return live, ErrClosed
	}
	gen, err := x.aliased(ctx)
	if err != nil {
		return live, err
	}
	if gen > live.N {
		err = x.cfg.State.Promote(ctx, gen)
	} else {
		err = x.cfg.State.Reopen(ctx, live.N)
	}
	if err != nil {
		return live, err
	}
	return x.cfg.State.Live(ctx)
}

// replaceLost puts an empty generation into the place of one of which the server lost an index. The sweeper fills it.
func (x *Index) replaceLost(ctx context.Context) error {
	x.swapping.Lock()
	defer x.swapping.Unlock()
	live, err := x.cfg.State.Live(ctx)
	if err != nil {
		return err
	}
	lost, err := x.lost(ctx, live.N)
	if err != nil || !lost {
		return err
	}
	x.cfg.Log.WarnContext(ctx, "the server lost an index of the search projection; it is built anew from the event store", "generation", live.N)
	gen, err := x.cfg.State.Build(ctx)
	if err != nil {
		return err
	}
	if err := x.cfg.State.Shut(ctx, live.N, eventstore.MicrosOf(x.cfg.Clock().Add(x.shutFor()))); err != nil {
		return err
	}
	if err := x.dropGeneration(ctx, live.N); err != nil {
		return errors.Join(err, x.cfg.State.Reopen(ctx, live.N))
	}
	defer x.wake()
	return x.cfg.State.Promote(ctx, gen)
}

// lost tells whether the server lacks an index that State has noted. What was believed of indices is forgotten.
func (x *Index) lost(ctx context.Context, gen int) (bool, error) {
	noted, err := x.cfg.State.Indices(ctx, gen)
	if err != nil {
		return false, err
	}
	there, err := x.present(ctx)
	if err != nil {
		return false, err
	}
	still, err := x.cfg.State.Indices(ctx, gen) // less what was dropped since
	if err != nil {
		return false, err
	}
	lost := slices.ContainsFunc(noted, func(name string) bool {
		_, ok := there[name]
		return !ok && slices.Contains(still, name)
	})
	x.mu.Lock()
	defer x.mu.Unlock()
	clear(x.known) // or an index was dropped
	if lost {
		x.ready = 0
	}
	return lost, nil
}
