package feed

import (
	"context"
	"sync"
	"time"

	"auditlog/eventstore"
	"auditlog/query"
)

// subscription implements query.Subscription. One goroutine calls Next; fields without a mark are its own.
type subscription struct {
	feed   *Feed
	ring   *ring
	topic  *topic
	tenant eventstore.TenantID

	position eventstore.Position // everything up to it was delivered
	offset   eventstore.Offset   // no event of the tenant at or below it is still to be delivered
	held     []*slot             // what comes next
	shared   bool                // held is from the ring
	dropped  uint64              // the topic's count when held was taken

	lag   int64     // events behind when the reader was last seen to gain; 0: not far behind
	since time.Time // when that was

	once   sync.Once
	left   chan struct{}
	detach func() bool
}

// Next implements query.Subscription.
func (s *subscription) Next(ctx context.Context) (query.StreamItem, error) {
	for {
		if err := s.alive(ctx); err != nil {
			return query.StreamItem{}, err
		}
		if s.topic.dropped.Load() != s.dropped {
			s.held = nil
		}
		if len(s.held) == 0 {
			if err := s.fetch(ctx); err != nil {
				return query.StreamItem{}, err
			}
			continue
		}
		next := s.held[0]
		item, ok, err := s.open(ctx, next)
		if err != nil {
			return query.StreamItem{}, err
		}
		s.held = s.held[1:]
		s.position, s.offset = next.event.Position, next.event.Offset
		if ok {
			return item, nil
		}
	}
}

func (s *subscription) open(ctx context.Context, next *slot) (query.StreamItem, bool, error) {
	if !s.shared {
		return s.feed.open(ctx, next, nil)
	}
	item, ok, err := s.feed.open(ctx, next, s.ring)
	s.ring.grew()
	return item, ok, err
}

func (s *subscription) alive(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-s.left:
		return context.Canceled
	case <-s.feed.ended:
		return errEnded
	default:
		return nil
	}
}

// fetch takes what follows from the ring, from the store when the ring has moved on, or waits.
func (s *subscription) fetch(ctx context.Context) error {
	s.dropped = s.topic.dropped.Load() // before the look: what passes from here on makes it void
	slots, behind, last, wake := s.ring.after(s.topic, s.position, s.offset)
	switch {
	case behind:
		return s.catchUp(ctx, last)
	case len(slots) > 0:
		s.held, s.shared, s.lag = slots, true, 0
		return nil
	}
	s.lag = 0
	select {
	case <-wake:
	case <-ctx.Done():
	case <-s.left:
	case <-s.feed.ended:
	}
	return nil
}

// catchUp takes a page from the store. An empty one means that all of the tenant's events up to the shard's offset last,
// which was the ring's newest before the read, are delivered: the ring has the rest.
func (s *subscription) catchUp(ctx context.Context, last eventstore.Offset) error {
	if err := s.checkLag(ctx); err != nil {
		return err
	}
	events, err := s.feed.store.ReadTenant(ctx, s.tenant, s.position, page)
	if err != nil {
		return err
	}
	if len(events) == 0 {
		s.offset = max(s.offset, last)
		return nil
	}
	held := make([]*slot, len(events))
	var entries []eventstore.EventID
	for i, ev := range events {
		held[i] = newSlot(ev)
		if ev.Type == eventstore.EntryRecorded {
			entries = append(entries, ev.ID)
		}
	}
	if err := s.markErased(ctx, held, entries); err != nil {
		return err
	}
	s.held, s.shared = held, false
	return nil
}

func (s *subscription) markErased(ctx context.Context, held []*slot, entries []eventstore.EventID) error {
	if len(entries) == 0 {
		return nil
	}
	about, err := s.feed.store.About(ctx, s.tenant, entries)
	if err != nil {
		return err
	}
	for i := range about {
		if about[i].Type != eventstore.EntryErased {
			continue
		}
		for _, h := range held {
			if h.event.ID == about[i].EntryID {
				h.erasure.Store(&about[i])
			}
		}
	}
	return nil
}

// checkLag fails when the reader has been further behind than allowed for the whole allowed time without gaining.
func (s *subscription) checkLag(ctx context.Context) error {
	head, err := s.feed.store.Head(ctx, s.tenant)
	if err != nil {
		return err
	}
	lag, now := int64(head.Position-s.position), s.feed.o.Clock()
	switch {
	case lag <= s.feed.o.MaxLag:
		s.lag = 0
	case s.lag == 0 || lag < s.lag:
		s.lag, s.since = lag, now
	case now.Sub(s.since) >= s.feed.o.LagTime:
		return &query.LaggedError{After: s.position}
	}
	return nil
}

// Close implements query.Subscription.
func (s *subscription) Close() {
	s.detach()
	s.leave()
}

func (s *subscription) leave() {
	s.once.Do(func() {
		close(s.left)
		s.ring.leave(s.tenant, s.topic)
	})
}
