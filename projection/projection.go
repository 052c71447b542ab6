// Package projection turns events into read models, and keeps account of how far each has come.
//
// A projector may be given any envelope, in any order, any number of times: what it has applied is left out, the rest
// is applied and its range recorded. The relay tiles a shard with envelopes and sends them over the bus; a sweeper
// fills from the store what the bus lost. So duplicates, loss, disorder and a silent bus never leave lag.
//
// Promises of every Projector: (1) Apply is idempotent and order-free: any order and duplication of the same events
// gives the same read model; (2) a range is recorded only with, or after, its effect; (3) after a crash at any point
// the same envelopes applied again finish the work.
package projection

import (
	"context"
	"math"

	"auditlog/eventstore"
)

// Envelope is the events of one offset range of a shard: From exclusive, To inclusive. Events are ascending by offset;
// offsets without an event were removed by a purge. Private parts are sealed: only projectors hold the keyring.
//
// A pointer names a range whose events are in the store: a bus carries one where the events are too many for a message.
// A Runner reads them; projectors never see a pointer.
type Envelope struct {
	Shard  eventstore.Shard
	From   eventstore.Offset
	To     eventstore.Offset
	Epoch  uint64 // fencing epoch of the relay that made it; 0 from the sweeper
	Events []eventstore.Event

	Pointer bool // Events is empty and the store has them
}

// weight is at least the number of events that the envelope stands for.
func (e Envelope) weight() int {
	if e.Pointer {
		return int(min(e.To-e.From, math.MaxInt32))
	}
	return len(e.Events)
}

// Projector keeps one read model.
type Projector interface {
	// Name is the destination's name on the bus and in metrics, e.g. "search".
	Name() string
	// Apply makes the effect of what is not yet applied of the envelope and records its range. An error means that the
	// range is not recorded; applying again is safe. A *Poison error says that trying again cannot help.
	Apply(ctx context.Context, env Envelope) error
	// Progress is the set of applied ranges of a shard, whose first ends at the cursor.
	Progress(ctx context.Context, shard eventstore.Shard) (Ranges, error)
}

// Poison marks an envelope that can never be applied; it is parked with its reason and stops nothing.
type Poison struct{ Err error }

func (p *Poison) Error() string { return "poison: " + p.Err.Error() }

// Unwrap gives the reason.
func (p *Poison) Unwrap() error { return p.Err }
