package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"auditlog/eventstore"
)

// keeper knows which leases this process wants and holds. Its goroutine, which the first Acquire starts, tells the
// database.
type keeper struct {
	address string
	id      uuid.UUID // as holder and member; new with each start
	o       Options

	mu      sync.Mutex // guards the fields below
	waiting map[eventstore.Shard]*waiter
	held    map[eventstore.Shard]*hold
	freed   map[eventstore.Shard]uint64 // epochs given back here and not yet in the database
	started bool
	closed  bool

	due  chan struct{} // something changed
	ctx  context.Context
	end  context.CancelFunc
	done sync.WaitGroup
}

// waiter is a call of Acquire. got is closed when the keeper ends.
type waiter struct {
	ctx context.Context // of the hold to come
	got chan *hold
}

// hold is a lease from Acquire to Release. When its context has ended it is not renewed any more.
type hold struct {
	ctx    context.Context
	cancel context.CancelFunc
	epoch  uint64
	timer  *time.Timer // ends it
}

func newKeeper(address string, o Options) *keeper {
	ctx, end := context.WithCancel(context.Background())
	return &keeper{
		address: address, id: uuid.New(), o: o, due: make(chan struct{}, 1), ctx: ctx, end: end,
		waiting: map[eventstore.Shard]*waiter{}, held: map[eventstore.Shard]*hold{}, freed: map[eventstore.Shard]uint64{},
	}
}

var errClosed = errors.New("the relay's database is closed")

// Acquire implements relay.Lease. A shard is acquired once at a time.
func (d *DB) Acquire(ctx context.Context, shard eventstore.Shard) (context.Context, uint64, error) {
	k := d.lease
	w := &waiter{ctx, make(chan *hold, 1)}
	if err := k.enter(shard, w); err != nil {
		return nil, 0, err
	}
	select {
	case h := <-w.got:
		return h.taken()
	case <-ctx.Done():
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.waiting[shard] == w {
		delete(k.waiting, shard)
		k.wake()
		return nil, 0, ctx.Err()
	}
	h := <-w.got // it came, or the keeper ended, just before; the hold's context has ended with ctx
	return h.taken()
}

func (h *hold) taken() (context.Context, uint64, error) {
	if h == nil {
		return nil, 0, errClosed
	}
	return h.ctx, h.epoch, nil
}

// Release implements relay.Lease. The database learns it a moment later; Close waits for that.
func (d *DB) Release(shard eventstore.Shard, epoch uint64) {
	k := d.lease
	k.mu.Lock()
	defer k.mu.Unlock()
	h := k.held[shard]
	if h == nil || h.epoch != epoch {
		return
	}
	h.lose()
	delete(k.held, shard)
	k.freed[shard] = epoch
	k.wake()
}

func (k *keeper) enter(shard eventstore.Shard, w *waiter) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return errClosed
	}
	if k.waiting[shard] != nil || k.held[shard] != nil {
		return fmt.Errorf("the relay lease of shard %d is acquired twice", shard)
	}
	k.waiting[shard] = w
	if !k.started {
		k.started = true
		k.done.Go(k.run)
	}
	k.wake()
	return nil
}

// wake has the goroutine look at what changed.
func (k *keeper) wake() {
	select {
	case k.due <- struct{}{}:
	default: // it is going to
	}
}

// close ends the goroutine, which gives all back, and with it every wait.
func (k *keeper) close() {
	k.mu.Lock()
	k.closed = true
	for _, h := range k.held {
		h.lose()
	}
	k.mu.Unlock()
	k.end()
	k.done.Wait()
	k.mu.Lock()
	defer k.mu.Unlock()
	for shard, w := range k.waiting {
		delete(k.waiting, shard)
		close(w.got)
	}
}

// grant makes a hold of a lease that the database gave, valid until a time by this process's clock. It comes back when
// nobody waits for it any more.
func (k *keeper) grant(shard eventstore.Shard, epoch uint64, until time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	w := k.waiting[shard]
	if w == nil {
		k.freed[shard] = epoch
		k.wake()
		return
	}
	delete(k.waiting, shard)
	ctx, cancel := context.WithCancel(w.ctx)
	h := &hold{ctx: ctx, cancel: cancel, epoch: epoch}
	h.timer = time.AfterFunc(time.Until(until), func() {
		if ctx.Err() == nil {
			k.o.Log.Warn("a relay lease was not renewed in time", "shard", shard, "epoch", epoch)
		}
		cancel()
	})
	if k.closed {
		h.lose()
	}
	k.held[shard] = h
	w.got <- h
}

func (h *hold) lose() {
	h.timer.Stop()
	h.cancel()
}

// wishes are what the database is to be told.
type wishes struct {
	keep map[eventstore.Shard]uint64 // epochs of what is held and renewed
	held int                         // all that is held: also what has ended and is not given back yet
	want []eventstore.Shard
	give map[eventstore.Shard]uint64
}

// active tells whether the process counts when leases are shared out: it wants or renews one.
func (w wishes) active() bool { return len(w.want)+len(w.keep) > 0 }

func (k *keeper) wishes() wishes {
	k.mu.Lock()
	defer k.mu.Unlock()
	w := wishes{keep: map[eventstore.Shard]uint64{}, give: map[eventstore.Shard]uint64{}, held: len(k.held)}
	for shard, h := range k.held {
		if h.ctx.Err() == nil {
			w.keep[shard] = h.epoch
		}
	}
	for shard := range k.waiting {
		w.want = append(w.want, shard)
	}
	for shard, epoch := range k.freed {
		w.give[shard] = epoch
	}
	return w
}

// renewed settles what the database answered: what was given back is done, what it renewed lasts until then, and what it
// did not is lost.
func (k *keeper) renewed(w wishes, still map[eventstore.Shard]bool, until time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for shard, epoch := range w.give {
		if k.freed[shard] == epoch {
			delete(k.freed, shard)
		}
	}
	for shard, epoch := range w.keep {
		h := k.held[shard]
		if h == nil || h.epoch != epoch || h.ctx.Err() != nil {
			continue
		}
		if still[shard] {
			h.timer.Reset(time.Until(until))
			continue
		}
		k.o.Log.Warn("a relay lease has gone to another process", "shard", shard, "epoch", epoch)
		h.lose()
	}
}

// giveUp ends holds beyond the process's share. They are not renewed any more, so they are free after a lease's life even
// when their lanes do not end.
func (k *keeper) giveUp(n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, h := range k.held {
		if n <= 0 {
			return
		}
		if h.ctx.Err() == nil {
			h.lose()
			n--
		}
	}
}
