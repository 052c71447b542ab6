package sim

import (
	"cmp"
	"context"
	"slices"

	"auditlog/projection"
)

// parking is what was parked, as one process and destination see it.
type parking struct {
	p           *process
	destination string
	streams     [shards]*stream
}

func newParking(p *process, destination string) *parking {
	k := &parking{p: p, destination: destination}
	for i := range k.streams {
		k.streams[i] = p.w.stream("%s/park/%s/%d", p.name, destination, i)
	}
	return k
}

// Park implements projection.Parking.
func (k *parking) Park(ctx context.Context, p projection.Parked) error {
	return k.change(ctx, p, func(all map[parkedName]projection.Parked, name parkedName) {
		if k.p.w.lie != "what is parked is forgotten" {
			all[name] = p
		}
		k.p.w.sometimes("event parked")
		k.p.w.note(k.p.name, "park "+p.Destination, int64(p.Shard), int64(p.Range.From), int64(p.Range.To))
	})
}

// Unpark implements projection.Parking.
func (k *parking) Unpark(ctx context.Context, p projection.Parked) error {
	return k.change(ctx, p, func(all map[parkedName]projection.Parked, name parkedName) { delete(all, name) })
}

func (k *parking) change(ctx context.Context, p projection.Parked, effect func(map[parkedName]projection.Parked, parkedName)) error {
	s := k.streams[p.Shard]
	if err := k.p.pause(ctx, s, s.usual()); err != nil {
		return err
	}
	if s.one(5) {
		return errLost
	}
	k.p.w.models.mu.Lock()
	effect(k.p.w.models.parked, parkedName{p.Destination, p.Shard, p.Range})
	k.p.w.models.mu.Unlock()
	if s.one(5) {
		return errLost
	}
	if s.one(10) {
		k.p.crash("between parking and range")
		return errDead
	}
	return nil
}

// Parked implements projection.Parking.
func (k *parking) Parked(_ context.Context, destination string) (out []projection.Parked, err error) {
	k.p.w.models.mu.Lock()
	defer k.p.w.models.mu.Unlock()
	for name, p := range k.p.w.models.parked {
		if name.destination == destination {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b projection.Parked) int {
		return cmp.Or(cmp.Compare(a.Shard, b.Shard), cmp.Compare(a.Range.From, b.Range.From))
	})
	return out, nil
}
