package search

import (
	"context"
	"fmt"

	"auditlog/eventstore"
	"auditlog/projection"
)

// rebuildPage is how many events one step of a rebuild reads and commits.
const rebuildPage = 4000

// Rebuilt tells what a rebuild found.
type Rebuilt struct {
	Documents   int64        // in the new generation when it was compared
	Differences []Difference // between it and the one it replaced
}

// Rebuild makes a new generation from the event store beside the live one, compares both, and swaps. Writes and searches
// go on meanwhile; only the last step, over the events that came since the one before, holds them up. Differences are
// reported, not refused: the new one is what the store says. report, if any, is told how far it has come, by offset.
func (x *Index) Rebuild(ctx context.Context, report func(shard eventstore.Shard, done, head eventstore.Offset)) (r Rebuilt, err error) {
	if report == nil {
		report = func(eventstore.Shard, eventstore.Offset, eventstore.Offset) {}
	}
	var suspects []bucketKey
	var live *file
	fill := func(ctx context.Context, next *file) error {
		if err := next.catchUp(ctx, report); err != nil {
			return err
		}
		return x.files.Use(func(f *file) (err error) {
			live = f
			r.Documents, suspects, err = suspicious(ctx, live, next)
			return err
		})
	}
	last := func(ctx context.Context, next *file) (err error) {
		if err := next.catchUp(ctx, report); err != nil {
			return err
		}
		if len(suspects) > 0 { // again, now that nothing moves
			r.Differences, err = compare(ctx, live, next, suspects)
		}
		return err
	}
	if err := x.files.Swap(ctx, fill, last); err != nil {
		return r, fmt.Errorf("rebuild search index: %w", err)
	}
	x.wake()
	return r, nil
}

// catchUp applies what the store holds above each shard's cursor.
func (f *file) catchUp(ctx context.Context, report func(shard eventstore.Shard, done, head eventstore.Offset)) error {
	for shard := range eventstore.Shard(f.shards) {
		head, err := f.store.ShardHead(ctx, shard)
		if err != nil {
			return err
		}
		for {
			applied, err := f.progress(ctx, shard)
			if err != nil {
				return err
			}
			at := applied.Cursor()
			report(shard, at, max(head.Offset, at))
			if at >= head.Offset {
				break
			}
			events, err := f.store.ReadShard(ctx, shard, at, rebuildPage)
			if err != nil {
				return err
			}
			env := projection.Envelope{Shard: shard, From: at, To: head.Offset, Events: events}
			if len(events) > 0 { // what lies between was removed by a purge
				env.To = events[len(events)-1].Offset
			}
			if _, err := f.apply(ctx, env); err != nil {
				return err
			}
		}
	}
	return nil
}
