package sqs_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"auditlog/eventstore"
	"auditlog/eventstore/format"
)

// stream is a store of many shards that gets entries of about 600 bytes at a steady rate.
type stream struct {
	shards []shardOf
}

type shardOf struct {
	mu     sync.Mutex // guards the fields below
	events []eventstore.Event
	wake   chan struct{}
}

func newStream(shards int) *stream {
	s := &stream{shards: make([]shardOf, shards)}
	for i := range s.shards {
		s.shards[i].wake = make(chan struct{})
	}
	return s
}

var publicPart = format.PackPublic(nil, []byte(`{"action":"document.shared","actor_type":"user","id":"0190163d-8694-739b-aea5-966c26f8ad91","outcome":"success","private":"47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU","resource_type":"document","severity":"INFO","type":"entry.recorded","v":1}`))

// add appends one entry of one of 100 tenants, each of which has its shard.
func (s *stream) add(rnd *rand.Rand) {
	tenant := rnd.IntN(100)
	n := tenant % len(s.shards)
	sealed := make([]byte, 280)
	for i := range sealed {
		sealed[i] = byte(rnd.Uint32())
	}
	sh := &s.shards[n]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	o := eventstore.Offset(len(sh.events) + 1)
	sh.events = append(sh.events, eventstore.Event{
		Tenant: eventstore.TenantID{15: byte(tenant)}, Shard: eventstore.Shard(n), Position: eventstore.Position(o), Offset: o, ID: eventstore.NewEventID(),
		RecordedAt: eventstore.MicrosOf(time.Now()), Type: eventstore.EntryRecorded, Public: publicPart, Private: sealed,
	})
	close(sh.wake)
	sh.wake = make(chan struct{})
}

func (s *stream) Shards() int { return len(s.shards) }

func (s *stream) ShardHead(_ context.Context, n eventstore.Shard) (eventstore.ShardHead, error) {
	sh := &s.shards[n]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return eventstore.ShardHead{Offset: eventstore.Offset(len(sh.events))}, nil
}

func (s *stream) ReadShard(_ context.Context, n eventstore.Shard, after eventstore.Offset, limit int) ([]eventstore.Event, error) {
	sh := &s.shards[n]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	rest := sh.events[min(int(after), len(sh.events)):]
	return rest[:min(limit, len(rest))], nil
}

func (s *stream) Appended(n eventstore.Shard) <-chan struct{} {
	sh := &s.shards[n]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.wake
}

// cursors in memory.
type cursors struct{ at sync.Map }

func (c *cursors) Load(_ context.Context, s eventstore.Shard, _ string) (eventstore.Offset, error) {
	at, _ := c.at.Load(s)
	o, _ := at.(eventstore.Offset)
	return o, nil
}

func (c *cursors) Save(_ context.Context, s eventstore.Shard, _ string, _ uint64, o eventstore.Offset) error {
	c.at.Store(s, o)
	return nil
}
