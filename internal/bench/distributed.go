package bench

import (
	"context"
	"errors"
)

// distributedFanOut is how many connections post single entries.
const distributedFanOut = 256

// with makes a stack for a measure and removes it afterwards.
func (r *run) with(ctx context.Context, measure func(context.Context, *stack) error) (err error) {
	s, err := r.newStack(ctx)
	defer func() { err = errors.Join(err, s.remove(ctx)) }()
	if err != nil {
		return err
	}
	return measure(ctx, s)
}

// serverRatios measures writes against what limits them on the servers.
func (w *writer) serverRatios(ctx context.Context) error {
	limit, err := w.stack.newCopier(ctx, "_bare")
	if err != nil {
		return err
	}
	defer func() { _ = limit.close(ctx) }() // it is thrown away
	for _, measure := range []func(context.Context) error{
		(&writeRatios{w, limit, "plain COPY"}).measure,
		func(ctx context.Context) error { return w.stack.whole(ctx, limit) },
		func(ctx context.Context) error { return w.stack.cost(ctx, w.p) },
		func(ctx context.Context) error { return w.stack.size(ctx, w.p) },
	} {
		if err := measure(ctx); err != nil {
			return err
		}
	}
	return nil
}
