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

// serverWrites measures writes while no process works off what they leave behind.
func (r *run) serverWrites(ctx context.Context) error {
	return r.with(ctx, func(ctx context.Context, s *stack) error {
		p, err := s.api(ctx)
		if err != nil {
			return err
		}
		if p.tokens, err = s.tenant(p); err != nil {
			return err
		}
		if _, err := bulks([]target{{p.addr, p.tokens["writer"]}}, 10); err != nil {
			return err
		}
		limit, err := s.newCopier(ctx)
		if err != nil {
			return err
		}
		defer func() { _ = limit.close(ctx) }() // it is thrown away
		m := &writeRatios{r, p, limit, "plain COPY", distributedFanOut}
		for _, measure := range []func(context.Context) error{
			m.measure,
			func(ctx context.Context) error { return s.whole(ctx, limit) },
			func(ctx context.Context) error { return s.cost(ctx, p) },
			func(ctx context.Context) error { return s.size(ctx, p) },
		} {
			if err := measure(ctx); err != nil {
				return err
			}
		}
		return nil
	})
}
