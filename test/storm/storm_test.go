package storm

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"auditlog/command"
	"auditlog/eventstore"
	"auditlog/internal/canon"
	"auditlog/internal/entry"
	"auditlog/internal/fault"
)

const (
	clients = 100
	bulked  = 10 // clients that send bulks
	perBulk = 50
)

// storm is what the clients know: the first answer for each key, and what of others differed.
type storm struct {
	*world
	entries, others []*command.Entry // others: the same keys with other bodies

	mu       sync.Mutex
	first    [keys]*command.Receipt
	fresh    [keys]int // answers that were no replay
	differ   []string
	answered atomic.Int64
	retried  atomic.Int64
}

// A hundred clients send the same thousand keys (200 under the race detector, where each takes many times as long), again and again until each has every answer; connections are cut,
// answers are lost, every process is restarted in the middle and all of them at the end. Then they send all of it once
// more.
func TestStormStoresEachKeyOnce(t *testing.T) {
	for _, of := range tiers {
		t.Run(of.name, func(t *testing.T) {
			s := &storm{world: newWorld(t, of), entries: parsed(t, "storm"), others: parsed(t, "another body")}
			var restarts sync.WaitGroup
			restarts.Go(func() {
				for i := range of.processes {
					for s.answered.Load() < int64((i+1)*clients*keys/(of.processes+2)) && t.Context().Err() == nil {
						time.Sleep(time.Millisecond)
					}
					s.restart(i)
				}
			})
			s.rage(clients, keys)
			restarts.Wait()
			for i := range of.processes {
				s.restart(i)
			}
			s.rage(bulked+2, keys)
			s.check()
			t.Logf("%d answers, %d tries in vain", s.answered.Load(), s.retried.Load())
		})
	}
}

func parsed(t *testing.T, message string) []*command.Entry {
	t.Helper()
	all := make([]*command.Entry, keys)
	for i := range all {
		doc, err := canon.Parse(fmt.Appendf(nil, `{"action":"a.b","actor":{"id":"u%d"},"resource":{"type":"t","id":"r"},"message":%q,"idempotency_key":"k%d"}`, i, message, i), command.EntryLimits)
		if err != nil {
			t.Fatal(err)
		}
		e, broken := command.ParseEntry(doc.Root(), "", command.Defaults{})
		doc.Release()
		if len(broken) > 0 {
			t.Fatal(broken)
		}
		all[i] = e
	}
	return all
}

// rage has clients send every key until it is answered. Half of them go the same way, so that they meet.
func (s *storm) rage(clients, keys int) {
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			order := rand.Perm(keys)
			if c%2 == 0 {
				for i := range order {
					order[i] = i
				}
			}
			if c < bulked {
				for len(order) > 0 {
					s.bulk(order[:perBulk])
					order = order[perBulk:]
				}
				return
			}
			for _, k := range order {
				s.single(k)
				if k%200 == c%200 {
					s.otherBody(k)
				}
			}
		})
	}
	wg.Wait()
}

// hurry bounds some requests so closely that they are cut anywhere.
func hurry() (context.Context, context.CancelFunc) {
	if rand.IntN(8) == 0 {
		return context.WithTimeout(context.Background(), time.Duration(rand.IntN(5000))*time.Microsecond)
	}
	return context.WithTimeout(context.Background(), 30*time.Second)
}

func (s *storm) single(k int) {
	for {
		ctx, cancel := hurry()
		r, err := s.any().Record(ctx, s.writer, s.entries[k])
		cancel()
		if err == nil {
			s.note(k, r)
			return
		}
		s.tolerate(err)
	}
}

// bulk sends keys together until all of them have an answer.
func (s *storm) bulk(ks []int) {
	items := make([]command.BulkItem, len(ks))
	for i, k := range ks {
		items[i].Entry = s.entries[k]
	}
	for {
		ctx, cancel := hurry()
		results, err := s.any().Bulk(ctx, s.writer, items, rand.IntN(2) == 0)
		cancel()
		if err != nil {
			s.tolerate(err)
			continue
		}
		for i, r := range results {
			if r.Problem != nil {
				s.complain("key %d in a bulk: %v", ks[i], r.Problem)
			}
			s.note(ks[i], command.Receipt{ID: r.ID, Position: r.Position, RecordedAt: r.RecordedAt, Replayed: r.Replayed})
		}
		return
	}
}

// otherBody uses a known key for something else, which stores nothing.
func (s *storm) otherBody(k int) {
	for {
		_, err := s.any().Record(context.Background(), s.writer, s.others[k])
		if fault.Is(err, fault.KeyReuse) {
			return
		}
		if err == nil {
			s.complain("key %d was taken for another body", k)
			return
		}
		s.tolerate(err)
	}
}

// tolerate counts errors that a retry answers, and complains of others.
func (s *storm) tolerate(err error) {
	s.retried.Add(1)
	switch fault.KindOf(err) {
	case fault.Overloaded, fault.Unavailable, fault.InFlight, fault.Clock, fault.Internal: // the last: a process that ended under a reader
	default:
		s.complain("a client got %v", err)
	}
}

func (s *storm) complain(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.differ) < 10 {
		s.differ = append(s.differ, fmt.Sprintf(format, args...))
	}
}

// note compares an answer with the first one that came for its key. Bulks answer without the entry.
func (s *storm) note(k int, r command.Receipt) {
	s.answered.Add(1)
	r.Entry.Offset = 0 // in no answer
	s.mu.Lock()
	if !r.Replayed {
		s.fresh[k]++
	}
	first := s.first[k]
	if first == nil || reflect.ValueOf(first.Entry).IsZero() {
		s.first[k] = &r
	}
	s.mu.Unlock()
	if first == nil {
		return
	}
	entries := reflect.ValueOf(first.Entry).IsZero() || reflect.ValueOf(r.Entry).IsZero() || reflect.DeepEqual(first.Entry, r.Entry)
	if first.ID != r.ID || first.Position != r.Position || first.RecordedAt != r.RecordedAt || !entries {
		s.complain("key %d: one answer is %+v, another %+v", k, *first, r)
	}
}

// check reads the log: an event for each key, and nothing else.
func (s *storm) check() {
	t := s.tb
	t.Helper()
	for _, d := range s.differ {
		t.Error(d)
	}
	events, err := s.any().store.ReadTenant(t.Context(), s.tenant.ID, 0, 2*keys)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]eventstore.EventID{}
	for i, ev := range events {
		o, err := entry.Opener{Ring: s.ring}.Open(t.Context(), ev)
		switch {
		case err != nil:
			t.Fatal(err)
		case ev.Position != eventstore.Position(i+1):
			t.Fatalf("position %d follows %d", ev.Position, i)
		case ev.Type != eventstore.EntryRecorded:
		case seen[o.Priv.IdempotencyKey] != eventstore.EventID{}:
			t.Errorf("key %s is stored twice", o.Priv.IdempotencyKey)
		default:
			seen[o.Priv.IdempotencyKey] = ev.ID
		}
	}
	if len(seen) != keys || len(events) != keys+1 {
		t.Errorf("%d keys and %d events are stored, want %d and one more", len(seen), len(events), keys)
	}
	for k, r := range s.first {
		if r == nil || seen[fmt.Sprintf("k%d", k)] != r.ID {
			t.Errorf("key %d: answered with %+v, stored is %v", k, r, seen[fmt.Sprintf("k%d", k)])
		}
		if s.fresh[k] > 1 {
			t.Errorf("key %d: %d answers say that they are the first", k, s.fresh[k])
		}
	}
}
