package sim

import (
	"fmt"
	"sync"
	"time"

	"auditlog/eventstore"
)

// world is one schedule.
type world struct {
	*clock
	lie         string
	store       *store
	bus         *bus
	coordinator *coordinator
	models      *models
	director    *stream

	mu    sync.Mutex // guards the fields below
	nodes [slots]*process
	born  [slots]int
	tries []*try
}

func newWorld(seed uint64, lie string) *world {
	c := newClock(seed)
	w := &world{clock: c, lie: lie, store: newStore(c, lie), director: c.stream("director")}
	w.bus = newBus(c, w.store)
	w.coordinator = newCoordinator(c, w.bus)
	w.models = newModels(c, w.store, lie)
	return w
}

const (
	clients  = 10
	tenants  = 3
	keyspace = 40 // idempotency keys of a tenant
	settled  = 8 * time.Second
	maxLag   = 30 * time.Second // I8
)

// run runs the schedule with so many operations and judges it.
func (w *world) run(ops int) {
	for slot := range slots {
		w.boot(slot)
	}
	nemesis := w.stream("nemesis")
	var ended, all sync.WaitGroup
	ended.Go(func() { w.harm(nemesis) })
	for n := range clients {
		c := w.newClient(n)
		all.Go(func() { c.work(ops / clients) })
	}
	all.Wait()
	w.director.wait(settled) // requests that outlive their senders, and more harm
	w.calm.Store(true)
	ended.Wait()
	for slot := range slots {
		for p := w.node(slot); p == nil || p.stopping; p = w.node(slot) { // another is on its way
			w.director.wait(100 * time.Millisecond)
		}
	}
	w.converge()
	for slot := range slots {
		w.node(slot).stop()
	}
	w.checkHistory()
	w.checkModels()
	w.repair()
	w.checkRepaired()
}

func (w *world) node(slot int) *process {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.nodes[slot]
}

func (w *world) boot(slot int) {
	w.mu.Lock()
	w.born[slot]++
	p := w.newProcess(fmt.Sprintf("p%d.%d", slot, w.born[slot]), slot)
	w.nodes[slot] = p
	w.mu.Unlock()
	p.start()
}

// remove takes a process that ends out of clients' reach.
func (w *world) remove(p *process) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.nodes[p.slot] = nil
}

// lost is told of a crash; another process takes the place of the dead one.
func (w *world) lost(p *process) {
	w.remove(p)
	s := w.stream("%s/again", p.name)
	go func() {
		s.wait(s.between(50*time.Millisecond, 2*time.Second))
		w.boot(p.slot)
	}()
}

// harm crashes processes, and stops some as a deployment does.
func (w *world) harm(s *stream) {
	for {
		s.wait(s.between(200*time.Millisecond, 2500*time.Millisecond))
		if w.calm.Load() {
			return
		}
		hit, all, gently := s.n(slots), s.n(10) == 0, s.n(3) == 0
		for slot := range slots {
			p := w.node(slot)
			if p == nil || p.stopping || slot != hit && !all {
				continue
			}
			if gently && !all {
				p.stopping = true
				again := w.stream("%s/again", p.name)
				go func() {
					if p.stop() {
						w.sometimes("process stopped and started")
						again.wait(again.between(50*time.Millisecond, 500*time.Millisecond))
						w.boot(slot)
					}
				}()
				continue
			}
			p.crash("at any moment")
			s.wait(0)
		}
	}
}

// converge waits for every lane of the relay and every projection to reach the head.
func (w *world) converge() {
	for began := w.now(); w.behind() > 0; w.director.wait(100 * time.Millisecond) {
		if w.now()-began > maxLag {
			w.broken("I8", "%d lanes and projections are behind %v after the last fault", w.behind(), maxLag)
			return
		}
	}
}

func (w *world) behind() (n int) {
	for i := range shards {
		shard := eventstore.Shard(i)
		head := w.store.shardHead(shard).Offset
		for _, d := range destinations {
			if w.coordinator.cursor(lane{shard, d}) != head {
				n++
			}
			if w.models.progress(d, shard).Cursor() != head {
				n++
			}
		}
	}
	return n
}

// repair replays what was parked, once its cause is mended.
func (w *world) repair() {
	w.models.mu.Lock()
	w.models.fixed = true
	w.models.mu.Unlock()
	p := w.newProcess("repair", 0)
	for _, d := range destinations {
		if _, err := p.runners[d].Replay(p.ctx); err != nil {
			w.broken("I17", "%s cannot replay what was parked: %v", d, err)
		}
	}
	p.end()
}
