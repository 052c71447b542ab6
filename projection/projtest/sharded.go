package projtest

import (
	"context"
	"math/rand/v2"

	"auditlog/eventstore"
	"auditlog/projection"
)

// Sharded are the events of a log as if each tenant had a shard of its own: by shard, with offsets from 1. It implements
// projection.Source.
type Sharded [][]eventstore.Event

// ByTenant makes it from events of one shard.
func ByTenant(events []eventstore.Event) Sharded {
	var all Sharded
	shards := map[eventstore.TenantID]int{}
	for _, ev := range events {
		shard, ok := shards[ev.Tenant]
		if !ok {
			shard = len(all)
			shards[ev.Tenant] = shard
			all = append(all, nil)
		}
		ev.Shard, ev.Offset = eventstore.Shard(shard), eventstore.Offset(len(all[shard])+1)
		all[shard] = append(all[shard], ev)
	}
	return all
}

// Shards implements projection.Source.
func (s Sharded) Shards() int { return len(s) }

// ShardHead implements projection.Source.
func (s Sharded) ShardHead(_ context.Context, shard eventstore.Shard) (eventstore.ShardHead, error) {
	return eventstore.ShardHead{Offset: eventstore.Offset(len(s[shard]))}, nil
}

// ReadShard implements projection.Source.
func (s Sharded) ReadShard(_ context.Context, shard eventstore.Shard, after eventstore.Offset, limit int) ([]eventstore.Event, error) {
	from := min(int(after), len(s[shard]))
	return s[shard][from:min(from+limit, len(s[shard]))], nil
}

// Envelope is that of the events above from, to the one at to.
func (s Sharded) Envelope(shard eventstore.Shard, from, to eventstore.Offset) projection.Envelope {
	return projection.Envelope{Shard: shard, From: from, To: to, Events: s[shard][from:to]}
}

// Overlapping are envelopes of at most longest events that together cover every shard, most events more than once, in
// any order.
func (s Sharded) Overlapping(rnd *rand.Rand, longest int) (all []projection.Envelope) {
	for shard, events := range s {
		for at := 0; at < len(events); at += 1 + rnd.IntN(longest/2) {
			from := max(0, at-rnd.IntN(longest/2+1))
			to := min(len(events), from+longest)
			all = append(all, s.Envelope(eventstore.Shard(shard), eventstore.Offset(from), eventstore.Offset(to)))
		}
	}
	rnd.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}
