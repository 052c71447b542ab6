package projection

import (
	"context"
	"fmt"
)

// pages calls apply with the envelope, or with what the store has of a pointer's range, page by page. It is called with
// the lane's lock, so that of each shard one page is in memory whatever waits. Errors are apply's, *Poison for a range
// that the store does not reach, and others of the store, which pass.
func (r *Runner) pages(ctx context.Context, env Envelope, apply func(Envelope) error) error {
	if !env.Pointer {
		return apply(env)
	}
	head, err := r.source.ShardHead(ctx, env.Shard)
	if err != nil {
		return r.failed(env, err)
	}
	if env.To > head.Offset { // a message of another store, or from before this one was set back: offsets to come are in it
		return r.failed(env, &Poison{fmt.Errorf("the shard ends at %d", head.Offset)})
	}
	for at := env.From; at < env.To; {
		page, err := ReadEnvelope(ctx, r.source, env.Shard, Range{at, env.To}, r.o.Group)
		if err != nil {
			return r.failed(env, err)
		}
		page.Epoch = env.Epoch
		if err := apply(page); err != nil {
			return err
		}
		at = page.To
	}
	return nil
}
