package command

import "sync/atomic"

// room is what may wait on all lanes of a process together, in entries and in bytes. A tenant holds at most half of what
// the others leave, a lane at most three quarters of what the other lanes leave: a flood, or a shard whose flush hangs,
// leaves room for whoever else comes, and a single tenant loses no throughput by it.
type room struct {
	maxEntries, maxBytes int
	lanes                int
	entries, bytes       atomic.Int64
}

// refusal of a unit, as an Observer is told.
const (
	RefusedFull     = "full"     // the process holds too much, or the lane does
	RefusedShare    = "share"    // the tenant holds too much
	RefusedLate     = "late"     // its turn did not come in time
	RefusedStopping = "stopping" // the service ends
)

// claim takes room for a unit; the refusal is empty when there was enough. A unit that would wait alone is always taken,
// whatever its size.
func (r *room) claim(unit, tenant, lane held) (refused string) {
	entries, bytes := int(r.entries.Add(int64(unit.entries))), int(r.bytes.Add(int64(unit.bytes)))
	if entries == unit.entries {
		return ""
	}
	freeEntries, freeBytes := r.maxEntries-entries, r.maxBytes-bytes
	switch {
	case freeEntries < 0, freeBytes < 0,
		r.lanes > 1 && (lane.entries+unit.entries > 3*freeEntries || lane.bytes+unit.bytes > 3*freeBytes):
		refused = RefusedFull
	case tenant.entries+unit.entries > freeEntries, tenant.bytes+unit.bytes > freeBytes:
		refused = RefusedShare
	default:
		return ""
	}
	r.leave(unit)
	return refused
}

// leave gives room back.
func (r *room) leave(h held) {
	r.entries.Add(int64(-h.entries))
	r.bytes.Add(int64(-h.bytes))
}
