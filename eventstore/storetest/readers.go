package storetest

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"auditlog/eventstore"
)

func readersMissNothing(tb testing.TB, h Harness) {
	b := newBench(tb, h)
	tenants := []eventstore.TenantID{b.tenant(), b.tenant(), b.tenant()}
	writing := make(chan struct{})
	var readers sync.WaitGroup
	byOffset := make([][]eventstore.Event, 2)
	byPosition := make([][]eventstore.Event, len(tenants))
	for i := range byOffset {
		readers.Go(func() {
			byOffset[i] = b.follow(writing, func(last eventstore.Event) ([]eventstore.Event, error) {
				return b.ReadShard(b.ctx, 0, last.Offset, 7+6*i)
			})
		})
	}
	for i, t := range tenants {
		readers.Go(func() {
			byPosition[i] = b.follow(writing, func(last eventstore.Event) ([]eventstore.Event, error) {
				return b.ReadTenant(b.ctx, t, last.Position, 5+4*i)
			})
		})
	}
	var byHead []eventstore.Event
	readers.Go(func() { byHead = b.followHead(writing) })
	stored := b.write(tenants)
	close(writing)
	readers.Wait()
	b.checkDense(tenants, len(stored)+len(tenants))
	for _, got := range [][]eventstore.Event{byOffset[0], byOffset[1], byHead} {
		if !equalLogs(got, b.shardLog(0)) {
			b.Fatalf("a reader by offset saw %d events, not the final log", len(got))
		}
	}
	for i, t := range tenants {
		if !equalLogs(byPosition[i], b.log(t)) {
			b.Fatalf("a reader by position saw %d events, not the final log", len(byPosition[i]))
		}
	}
	b.checkPositionAt(tenants)
	b.checkPages()
	b.checkPositions(tenants[0])
	b.checkWake(tenants[0])
}

// follow reads page after page until writing has ended and nothing is left, waiting for appends in between.
func (b *bench) follow(writing <-chan struct{}, read func(last eventstore.Event) ([]eventstore.Event, error)) []eventstore.Event {
	var all []eventstore.Event
	var last eventstore.Event
	for ended := false; ; {
		more := b.Appended(0)
		page, err := read(last)
		if err != nil {
			b.Errorf("read: %v", err)
			return nil
		}
		if len(page) > 0 {
			all, last = append(all, page...), page[len(page)-1]
			continue
		}
		if ended {
			return all
		}
		select {
		case <-more:
		case <-writing:
			ended = true
		case <-time.After(b.h.Patience):
			b.Errorf("no append was told of")
			return nil
		}
	}
}

// followHead reads up to the shard's head, again and again, until writing has ended: whoever sees a head can read all up to
// it at once.
func (b *bench) followHead(writing <-chan struct{}) (all []eventstore.Event) {
	for ended := false; ; {
		more := b.Appended(0)
		head, err := b.ShardHead(b.ctx, 0)
		for err == nil && eventstore.Offset(len(all)) < head.Offset {
			var page []eventstore.Event
			page, err = b.ReadShard(b.ctx, 0, eventstore.Offset(len(all)), 9)
			if err == nil && (len(page) == 0 || page[0].Offset != eventstore.Offset(len(all))+1) {
				b.Errorf("the head is %d, and no event follows offset %d", head.Offset, len(all))
				return nil
			}
			all = append(all, page...)
		}
		if err != nil || ended {
			if err != nil {
				b.Errorf("read up to the head: %v", err)
			}
			return all
		}
		select {
		case <-more:
		case <-writing:
			ended = true
		}
	}
}

// checkPositionAt compares PositionAt with the log, for every third offset.
func (b *bench) checkPositionAt(tenants []eventstore.TenantID) {
	b.Helper()
	newest := map[eventstore.TenantID]eventstore.Event{}
	for o, e := range append([]eventstore.Event{{}}, b.shardLog(0)...) {
		newest[e.Tenant] = e
		if o%3 > 0 {
			continue
		}
		for _, t := range tenants {
			p, at, err := b.PositionAt(b.ctx, t, eventstore.Offset(o))
			if err != nil || p != newest[t].Position || at != newest[t].RecordedAt {
				b.Fatalf("PositionAt(%d) = %d, %v, %v; want %d, %v", o, p, at, err, newest[t].Position, newest[t].RecordedAt)
			}
		}
	}
}

// checkPages looks at where pages end: at their limit, and above PageBytes.
func (b *bench) checkPages() {
	b.Helper()
	t := b.tenant()
	large := entries(6)
	for i := range large {
		large[i].Private = bytes.Repeat([]byte{byte(i)}, 1<<20)
	}
	b.append(unit(t, large...))
	page, err := b.ReadTenant(b.ctx, t, 1, 1000)
	size := 0
	for _, e := range page {
		size += len(e.Public) + len(e.Private)
	}
	if err != nil || len(page) == 0 || len(page) == len(large) || size > eventstore.PageBytes+2<<20 {
		b.Errorf("a page of %d events and %d bytes, %v", len(page), size, err)
	}
	if log := b.log(t); len(log) != 1+len(large) {
		b.Errorf("%d events by pages, want %d", len(log), 1+len(large))
	}
	for _, limit := range []int{1, 3} {
		if page, err := b.ReadTenant(b.ctx, t, 0, limit); err != nil || len(page) != limit {
			b.Errorf("%d events, %v; want the limit of %d", len(page), err, limit)
		}
	}
	if page, err := b.ReadShard(b.ctx, 0, 0, 3); err != nil || len(page) != 3 {
		b.Errorf("%d events of the shard, %v; want the limit of 3", len(page), err)
	}
	// Numbers as large as they can be: a client's cursor is not always ours.
	if page, err := b.ReadTenant(b.ctx, t, math.MaxInt64, math.MaxInt); err != nil || len(page) != 0 {
		b.Errorf("%d events above the largest position, %v", len(page), err)
	}
	if page, err := b.ReadShard(b.ctx, 0, math.MaxInt64, math.MaxInt); err != nil || len(page) != 0 {
		b.Errorf("%d events above the largest offset, %v", len(page), err)
	}
	if page, err := b.ReadShard(b.ctx, 0, 0, math.MaxInt); err != nil || len(page) == 0 {
		b.Errorf("%d events of a page without a limit, %v", len(page), err)
	}
}

// checkPositions looks at ReadPositions: any order, absent ones left out.
func (b *bench) checkPositions(t eventstore.TenantID) {
	b.Helper()
	log := b.log(t)
	n := eventstore.Position(len(log))
	at := []eventstore.Position{n, 1, 2, n + 1, n / 2, 0, -1}
	got, err := b.ReadPositions(b.ctx, t, at)
	want := []eventstore.Event{log[n-1], log[0], log[1], log[n/2-1]}
	if err != nil || !equalLogs(got, want) {
		b.Errorf("ReadPositions(%v): %d events, %v", at, len(got), err)
	}
	var all []eventstore.Position
	for _, e := range slices.Backward(log) {
		all = append(all, e.Position)
	}
	got, err = b.ReadPositions(b.ctx, t, all)
	slices.Reverse(got)
	if err != nil || !equalLogs(got, log) {
		b.Errorf("ReadPositions of the whole log: %d events of %d, %v", len(got), len(log), err)
	}
}

// checkWake waits for an append that comes after the wait began.
func (b *bench) checkWake(t eventstore.TenantID) {
	b.Helper()
	told := b.Appended(0)
	got := make(chan error, 1)
	go func() {
		_, err := b.Append(b.ctx, flush(unit(t, entry())))
		got <- err
	}()
	err := <-got
	select {
	case <-told:
	case <-time.After(b.h.Patience):
		err = errors.Join(err, errors.New("Appended was not closed"))
	}
	if err != nil {
		b.Error(err)
	}
}
