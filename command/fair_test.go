package command_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"auditlog/command"
	"auditlog/eventstore"
	"auditlog/internal/fault"
)

// flushTime is how long a slowLog takes for a flush unless it says otherwise, whatever is in it: a commit far away.
const flushTime = 50 * time.Millisecond

// slowLog stores everything at its own rhythm.
type slowLog struct {
	takes   time.Duration
	mu      sync.Mutex
	flying  int
	most    int // at once
	entries map[eventstore.TenantID]int
	bytes   map[eventstore.TenantID]int
}

func newSlowLog() *slowLog {
	return &slowLog{takes: flushTime, entries: map[eventstore.TenantID]int{}, bytes: map[eventstore.TenantID]int{}}
}

func (l *slowLog) Append(ctx context.Context, f eventstore.Flush) ([]eventstore.Outcome, error) {
	l.mu.Lock()
	l.flying++
	l.most = max(l.most, l.flying)
	l.mu.Unlock()
	time.Sleep(l.takes) // virtual: the bubble's clock
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flying--
	var out []eventstore.Outcome
	for _, u := range f.Units {
		for _, d := range u.Drafts {
			l.entries[u.Tenant]++
			l.bytes[u.Tenant] += len(d.Public) + len(d.Private)
			out = append(out, eventstore.Outcome{Status: eventstore.Stored, ID: d.ID, Position: eventstore.Position(l.entries[u.Tenant])})
		}
	}
	return out, nil
}

func unitOf(tenant byte, drafts, bytes int) eventstore.Unit {
	u := unit(drafts)
	u.Tenant = eventstore.TenantID{tenant}
	for i := range u.Drafts {
		u.Drafts[i].Private = make([]byte, bytes)
	}
	return u
}

// flood submits a tenant's units from many callers until ctx ends. Who is refused does as it is told.
func flood(ctx context.Context, wg *sync.WaitGroup, a *command.Appender, callers int, u eventstore.Unit) {
	for range callers {
		wg.Go(func() {
			for ctx.Err() == nil {
				_, err := a.Submit(ctx, 0, u)
				var f *fault.Error
				if errors.As(err, &f) && f.Kind == fault.Overloaded {
					time.Sleep(f.RetryAfter)
				}
			}
		})
	}
}

// While one tenant floods, with single entries or with bulks, another waits for the flush in flight and its own, which
// is twice what it waits alone; where the store is far away it overtakes, and waits as long as alone.
func TestQuietTenantBesideAFlood(t *testing.T) {
	for _, c := range []struct {
		name                   string
		callers, drafts, bytes int
	}{
		{"singles", 20_000, 1, 600}, {"small bulks", 400, 100, 600}, {"bulks", 40, 1000, 600}, {"large entries", 500, 1, 60_000},
	} {
		t.Run(c.name, func(t *testing.T) { quietBeside(t, c.callers, unitOf(1, c.drafts, c.bytes), 20*time.Millisecond, 2) })
		t.Run(c.name+", far away", func(t *testing.T) { quietBeside(t, c.callers, unitOf(1, c.drafts, c.bytes), flushTime, 1) })
	}
}

// quietBeside expects a quiet tenant to wait so many flushes at most.
func quietBeside(t *testing.T, callers int, u eventstore.Unit, takes time.Duration, flushes int) {
	synctest.Test(t, func(t *testing.T) {
		log := newSlowLog()
		log.takes = takes
		a := command.NewAppender(log, 1, command.AppenderOptions{})
		ctx, stop := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		defer func() {
			stop()
			wg.Wait()
			closed(t, a)
		}()
		flood(ctx, &wg, a, callers, u)
		time.Sleep(10 * takes)
		synctest.Wait()
		waiting, _ := a.Waiting(0)
		if waiting < 400 {
			t.Fatalf("%d entries wait: this is no flood", waiting)
		}
		var worst time.Duration
		for i := range 100 {
			time.Sleep(time.Duration(1+7*i%50) * time.Millisecond)
			start := time.Now()
			if _, err := a.Submit(context.Background(), 0, unitOf(2, 1, 600)); err != nil {
				t.Fatal(err)
			}
			worst = max(worst, time.Since(start))
		}
		if worst > time.Duration(flushes)*takes {
			t.Errorf("the quiet tenant waited up to %v, which is %.1f flushes, want %d", worst, float64(worst)/float64(takes), flushes)
		}
		t.Logf("quiet waited at most %v while %d entries of the flood waited", worst, waiting)
	})
}

// Many tenants with a little each share flushes, however far away the store is: none has one of its own.
func TestManyTenantsShareFlushes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newSlowLog()
		a := command.NewAppender(log, 1, command.AppenderOptions{})
		var wg sync.WaitGroup
		for tenant := range 200 {
			wg.Go(func() {
				for range 20 {
					time.Sleep(time.Duration(tenant) * time.Millisecond / 4)
					if _, err := a.Submit(context.Background(), 0, unitOf(byte(tenant), 1, 600)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		closed(t, a)
		if log.most > 1 {
			t.Errorf("%d flushes were in flight at once", log.most)
		}
	})
}

// heldLog holds back the flush that begins with a tenant, and knows in which order units were stored.
type heldLog struct {
	hold  eventstore.TenantID
	until chan struct{}

	mu    sync.Mutex
	order []eventstore.EventID // of that tenant
}

func (l *heldLog) Append(_ context.Context, f eventstore.Flush) ([]eventstore.Outcome, error) {
	time.Sleep(flushTime) // virtual
	if f.Units[0].Tenant == l.hold {
		<-l.until
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []eventstore.Outcome
	for _, u := range f.Units {
		for _, d := range u.Drafts {
			if u.Tenant == l.hold {
				l.order = append(l.order, d.ID)
			}
			out = append(out, eventstore.Outcome{Status: eventstore.Stored, ID: d.ID})
		}
	}
	return out, nil
}

// A unit that overtakes a flood is not overtaken by later ones of its own tenant, however long it takes, neither while the
// flood goes on nor when nothing else is left. The flood goes on meanwhile.
func TestOvertakerStaysAhead(t *testing.T) {
	for _, ends := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			log := &heldLog{hold: eventstore.TenantID{2}, until: make(chan struct{})}
			a := command.NewAppender(log, 1, command.AppenderOptions{})
			ctx, stop := context.WithCancel(context.Background())
			var flooding, own sync.WaitGroup
			flood(ctx, &flooding, a, 1000, unitOf(1, 1, 600))
			time.Sleep(10 * flushTime)
			var sent []eventstore.EventID
			for i := range 3 {
				u := unitOf(2, 1, 600)
				sent = append(sent, u.Drafts[0].ID)
				own.Go(func() {
					if _, err := a.Submit(context.Background(), 0, u); err != nil {
						t.Errorf("unit %d: %v", i, err)
					}
				})
				synctest.Wait()
			}
			if ends {
				stop()
				flooding.Wait()
			}
			time.Sleep(10 * flushTime)
			if n := len(log.order); n > 0 {
				t.Errorf("%d units were stored while the first was held back", n)
			}
			if waiting, _ := a.Waiting(0); ends && waiting != 2 {
				t.Errorf("%d entries wait, want the two behind", waiting)
			}
			close(log.until)
			own.Wait()
			stop()
			flooding.Wait()
			closed(t, a)
			if !slices.Equal(log.order, sent) {
				t.Errorf("stored in the order %v, sent %v", log.order, sent)
			}
		})
	}
}

// Floods share a lane by bytes, however differently they come.
func TestFloodsShareByBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newSlowLog()
		a := command.NewAppender(log, 1, command.AppenderOptions{})
		ctx, stop := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		flood(ctx, &wg, a, 3000, unitOf(1, 1, 1200))
		flood(ctx, &wg, a, 60, unitOf(2, 50, 1200))
		flood(ctx, &wg, a, 300, unitOf(3, 1, 16_000))
		time.Sleep(400 * flushTime)
		log.mu.Lock()
		first, second, third := log.bytes[eventstore.TenantID{1}], log.bytes[eventstore.TenantID{2}], log.bytes[eventstore.TenantID{3}]
		log.mu.Unlock()
		stop()
		wg.Wait()
		closed(t, a)
		for i, other := range []int{second, third} {
			if r := float64(other) / float64(first); r < 0.85 || r > 1.18 {
				t.Errorf("tenant %d got %.2f of what the first got", i+2, r)
			}
		}
		t.Logf("MB stored: %.1f, %.1f, %.1f", float64(first)/1e6, float64(second)/1e6, float64(third)/1e6)
	})
}

// A tenant that has filled its share is told when to come back; others are taken meanwhile, on its lane and on others.
func TestFullQueuePushesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, seen := newStrictLog(), &watcher{}
		log.proceed = make(chan struct{})
		a := command.NewAppender(log, 1, command.AppenderOptions{QueueEntries: 8, Wait: time.Hour, FlushTimeout: time.Hour, Observer: seen})
		var stored sync.WaitGroup
		submit := func(tenant byte, drafts int) error {
			done := make(chan error, 1)
			stored.Go(func() {
				_, err := a.Submit(context.Background(), 0, unitOf(tenant, drafts, 300))
				done <- err
			})
			synctest.Wait()
			select {
			case err := <-done:
				return err
			default:
				return nil // it waits
			}
		}
		refused := func(err error) bool {
			var f *fault.Error
			return errors.As(err, &f) && f.Kind == fault.Overloaded && f.RetryAfter > 0
		}
		for range 5 { // one flies, four wait: half of the room
			if err := submit(1, 1); err != nil {
				t.Fatal(err)
			}
		}
		if err := submit(1, 1); !refused(err) {
			t.Errorf("beyond the share: %v", err)
		}
		if err := submit(2, 2); err != nil {
			t.Errorf("a second tenant: %v", err)
		}
		if err := submit(3, 1); err != nil {
			t.Errorf("a third tenant: %v", err)
		}
		if err := submit(4, 2); !refused(err) {
			t.Errorf("beyond the room: %v", err)
		}
		if got := append([]string{}, seen.refused...); len(got) != 2 || got[0] != command.RefusedShare || got[1] != command.RefusedFull {
			t.Errorf("refused for %v", got)
		}
		close(log.proceed)
		stored.Wait()
		if log.last != 8 {
			t.Errorf("%d are stored, want 8", log.last)
		}
		if err := submit(1, 20); err != nil { // larger than the room, and nobody waits
			t.Errorf("after the queue emptied: %v", err)
		}
		closed(t, a)
		log.check(t)
	})
}

// A lane whose flush hangs takes its part of the room and no more.
func TestHangingLaneLeavesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newStrictLog()
		log.proceed = make(chan struct{})
		a := command.NewAppender(hangsOn{log, 0}, 2, command.AppenderOptions{QueueEntries: 1000, Wait: time.Minute, FlushTimeout: time.Hour})
		var wg sync.WaitGroup
		for i := range 2000 {
			wg.Go(func() {
				_, _ = a.Submit(context.Background(), 0, unitOf(byte(1+i%100), 1, 300)) // some are refused at once, some wait in vain
			})
		}
		synctest.Wait()
		if n, _ := a.Waiting(0); n != 750 {
			t.Errorf("%d entries wait on the lane that hangs, of 1,000", n)
		}
		for range 100 {
			wg.Go(func() {
				if _, err := a.Submit(context.Background(), 1, unitOf(200, 1, 300)); err != nil {
					t.Errorf("on the other lane: %v", err)
				}
			})
		}
		time.Sleep(2 * time.Minute)
		close(log.proceed)
		wg.Wait()
		closed(t, a)
	})
}

// hangsOn lets a log's flushes to one shard wait for its go-ahead, and others pass.
type hangsOn struct {
	*strictLog
	shard eventstore.Shard
}

func (h hangsOn) Append(ctx context.Context, f eventstore.Flush) ([]eventstore.Outcome, error) {
	if f.Shard == h.shard {
		return h.strictLog.Append(ctx, f)
	}
	return instantLog{}.Append(ctx, f)
}
