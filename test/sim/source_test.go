package sim

import (
	"context"
	"fmt"

	"auditlog/eventstore"
	"auditlog/internal/fault"
)

// relaySource is the store as the relay of a process sees it. Its reads take no time, since the relay may hold a lock
// over them: the time that they take is passed before them, in Appended, which every round of a lane begins with.
type relaySource struct {
	p     *process
	waits [shards]*stream
	reads [shards]*stream
}

func (r *relaySource) Shards() int { return shards }

func (r *relaySource) Appended(shard eventstore.Shard) <-chan struct{} {
	if r.p.pause(r.p.ctx, r.waits[shard], r.waits[shard].usual()) != nil {
		return nil
	}
	return r.p.w.store.appended(shard)
}

func (r *relaySource) ShardHead(ctx context.Context, shard eventstore.Shard) (eventstore.ShardHead, error) {
	if err := r.p.ended(ctx); err != nil {
		return eventstore.ShardHead{}, err
	}
	if r.reads[shard].one(3) {
		return eventstore.ShardHead{}, fault.New(fault.Unavailable, "no head")
	}
	return r.p.w.store.shardHead(shard), nil
}

func (r *relaySource) ReadShard(ctx context.Context, shard eventstore.Shard, after eventstore.Offset, limit int) ([]eventstore.Event, error) {
	if err := r.p.ended(ctx); err != nil {
		return nil, err
	}
	if r.reads[shard].one(3) {
		return nil, fault.New(fault.Unavailable, "no page")
	}
	return r.p.w.store.page(shard, after, limit), nil
}

// sweeperSource is the store as one runner sees it.
type sweeperSource struct {
	p *process
	s *stream
}

func (w sweeperSource) Shards() int { return shards }

func (w sweeperSource) ShardHead(ctx context.Context, shard eventstore.Shard) (eventstore.ShardHead, error) {
	if err := w.call(ctx); err != nil {
		return eventstore.ShardHead{}, err
	}
	return w.p.w.store.shardHead(shard), nil
}

func (w sweeperSource) ReadShard(ctx context.Context, shard eventstore.Shard, after eventstore.Offset, limit int) ([]eventstore.Event, error) {
	if err := w.call(ctx); err != nil {
		return nil, err
	}
	return w.p.w.store.page(shard, after, limit), nil
}

func (w sweeperSource) call(ctx context.Context) error {
	if err := w.p.pause(ctx, w.s, w.s.usual()); err != nil {
		return err
	}
	if w.s.one(3) {
		return fmt.Errorf("read: %w", fault.New(fault.Unavailable, "no answer"))
	}
	return nil
}
