package timescale_test

import (
	"context"
	"errors"
	"testing"

	"auditlog/eventstore"
	"auditlog/eventstore/timescale"
)

// walkBeside reads the log until end is called, which checks that nothing above the watermark was
// ever missed.
func walkBeside(t *testing.T, s *timescale.Store, tenant eventstore.Tenant, p eventstore.Purge) (end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() {
		rounds := 0
		for ; ctx.Err() == nil || rounds < 3; rounds++ {
			if err := walkOnce(s, tenant, p); err != nil {
				failed <- err
				return
			}
		}
		failed <- nil
	}()
	return func() {
		t.Helper()
		cancel()
		if err := <-failed; err != nil {
			t.Errorf("a reader beside the drop: %v", err)
		}
	}
}

func walkOnce(s *timescale.Store, tenant eventstore.Tenant, p eventstore.Purge) error {
	ctx := context.Background()
	head, err := s.Head(ctx, tenant.ID)
	if err != nil {
		return err
	}
	at := p.Last
	for at < head.Position {
		page, err := s.ReadTenant(ctx, tenant.ID, at, 5)
		if err != nil {
			return err
		}
		for _, e := range page {
			if at++; e.Position != at {
				return errors.New("a gap in positions")
			}
		}
		if len(page) == 0 {
			return errors.New("the log ends before its head")
		}
	}
	var last eventstore.Event
	for o := eventstore.Offset(0); last.Position < head.Position; {
		page, err := s.ReadShard(ctx, tenant.Shard, o, 5)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			return errors.New("the shard ends before its head")
		}
		for _, e := range page {
			o = e.Offset
			if e.Tenant == tenant.ID {
				last = e
			}
		}
	}
	return nil
}
