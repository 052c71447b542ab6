package query

import (
	"context"
	"sync/atomic"

	"auditlog/eventstore"
	"auditlog/internal/criteria"
	"auditlog/internal/fault"
)

// Stream is a reader's live view of a log. One goroutine calls Next; any may call Position.
type Stream struct {
	sub    Subscription
	asked  criteria.Criteria
	public criteria.Criteria   // what can still be asked of an erased entry
	last   eventstore.Position // of the item that Next returned last
	passed atomic.Int64
}

// Stream delivers the tenant's events above after as they are appended, those that match; nil starts from now. The
// caller closes the stream. ctx bounds its life.
//
// A position that the log has not reached is Invalid: waiting for it would hide what comes before it.
func (q *Queries) Stream(ctx context.Context, r Reader, after *eventstore.Position, c criteria.Criteria) (*Stream, error) {
	if err := r.checkKind(c.Kind); err != nil {
		return nil, err
	}
	if f, ok := checkRange(c.From, c.To); !ok {
		return nil, fault.Of([]fault.Field{f})
	}
	head, err := q.store.Head(ctx, r.Tenant)
	if err != nil {
		return nil, err
	}
	start := head.Position
	if after != nil {
		if *after < 0 || *after > head.Position {
			return nil, fault.At(fault.Invalid, "?after", "after must be a position of this log, or 0")
		}
		start = *after
	}
	sub, err := q.feed.Subscribe(ctx, r.Tenant, start)
	if err != nil {
		return nil, err
	}
	s := &Stream{sub: sub, asked: c, public: publicOf(&c), last: start}
	s.passed.Store(int64(start))
	return s, nil
}

// Next waits for the next item that matches. Calling it says that the item before was delivered. Errors are those of
// Subscription.Next.
func (s *Stream) Next(ctx context.Context) (StreamItem, error) {
	s.passed.Store(int64(s.last))
	for {
		item, err := s.sub.Next(ctx)
		if err != nil {
			return StreamItem{}, err
		}
		s.last = item.Position
		if s.matches(&item) {
			return item, nil
		}
		s.passed.Store(int64(s.last))
	}
}

// Position is the last position that the stream is done with: delivered, or not asked for. Resuming after it misses
// nothing, so it is what heartbeats and closing frames tell.
func (s *Stream) Position() eventstore.Position { return eventstore.Position(s.passed.Load()) }

// Close gives up the reader's place in the feed.
func (s *Stream) Close() { s.sub.Close() }

// matches decides about an item. An amendment only adds to what an entry can be found by, so the entry as it reads now
// answers for both before and after. An erasure takes away what private filters ask about, so public ones alone decide:
// a reader who was shown an entry is always told that it was erased, at the price of hearing it about some others.
func (s *Stream) matches(item *StreamItem) bool {
	if item.Type == ItemErased {
		return s.public.Match(&item.Entry)
	}
	return s.asked.Match(&item.Entry)
}

// publicOf keeps the restrictions on fields that an erasure leaves.
func publicOf(c *criteria.Criteria) criteria.Criteria {
	return criteria.Criteria{
		Kind: c.Kind, ActorType: c.ActorType, Actions: c.Actions, ResourceTypes: c.ResourceTypes, Severities: c.Severities,
		Outcomes: c.Outcomes, From: c.From, To: c.To, RecordedTime: c.RecordedTime,
	}
}
