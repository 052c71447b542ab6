package importer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"auditlog/internal/client"
)

// aloft is how many bulks of a file are under way at once: one is read by the server while another is stored, and the
// answer to a third is read.
const aloft = 3

// After a bulk that was not stored at once, those under way and so many more go one by one; after the next one twice as
// many. A server that is busy is left in peace by that, and so is one behind which several share the work, where a
// sequence breaks: its bulks come to different processes.
const (
	leastCalm = 16
	mostCalm  = 1024
)

// flights are the bulks of one file under way, in its order. They make up a sequence, so that the server keeps the
// order, too: it stores none after one that failed. That one and those behind it are sent again then, which their
// idempotency keys make safe whatever became of them.
type flights struct {
	im   *Import
	file string

	queue    []*flight
	ctx      context.Context // of those in the queue
	cancel   context.CancelFunc
	sequence string
	next     int // number of the next bulk in the sequence
	calm     int // bulks that still go one by one
	flown    int // bulks stored at once since one was not
	failures int // without leastCalm bulks stored between them
}

type flight struct {
	batch batch
	done  chan struct{} // closed when the fields below are set; nil for what is not sent
	items []client.Item
	err   error
}

// send sends a bulk when its turn has come. An error is that of an earlier one, or of this one.
func (f *flights) send(ctx context.Context, b batch) error {
	if f.calm > 0 {
		f.calm--
		return f.im.send(ctx, f.file, b)
	}
	for len(f.queue) >= aloft {
		if err := f.first(ctx); err != nil {
			return err
		}
		if f.calm > 0 { // everything has landed
			return f.send(ctx, b)
		}
	}
	if len(f.queue) == 0 {
		f.abandon()
		f.sequence, f.next = uuid.NewString(), 0
		f.ctx, f.cancel = context.WithCancel(ctx)
	}
	one := &flight{batch: b}
	f.queue = append(f.queue, one)
	if b.size == refused {
		return nil
	}
	one.done = make(chan struct{})
	flying, sequence, n := f.ctx, f.sequence, f.next
	f.next++
	go func() {
		defer close(one.done)
		one.items, one.err = f.im.Sender.BulkInSequence(flying, b.entries, sequence, n)
	}()
	return nil
}

// first waits for the bulk that set out first. When it was not stored, it and all behind it go again.
func (f *flights) first(ctx context.Context) error {
	one := f.queue[0]
	if one.done == nil {
		f.queue = f.queue[1:]
		return f.im.send(ctx, f.file, one.batch)
	}
	<-one.done
	if one.err == nil {
		f.queue = f.queue[1:]
		if f.flown++; f.flown >= leastCalm {
			f.failures = 0
		}
		f.im.count(f.file, one.batch, one.items)
		return nil
	}
	if f.calm = min(leastCalm<<f.failures, mostCalm); f.calm < mostCalm {
		f.failures++
	}
	f.flown = 0
	f.abandon()
	again := f.queue
	f.queue = nil
	if err := pause(ctx, one.err); err != nil {
		return err
	}
	for i, other := range again {
		err := f.im.send(ctx, f.file, other.batch)
		if err != nil && i == 0 {
			err = fmt.Errorf("%w (sent before beside others: %w)", err, one.err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// longestPause bounds what a server can ask for before a bulk is sent by itself, which has a patience of its own.
const longestPause = time.Minute

// pause waits as long as a server that refused a bulk has asked for.
func pause(ctx context.Context, err error) error {
	p, ok := errors.AsType[*client.Problem](err)
	if !ok || p.RetryAfter <= 0 {
		return nil
	}
	t := time.NewTimer(min(p.RetryAfter, longestPause))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// land waits until all are stored.
func (f *flights) land(ctx context.Context) error {
	for len(f.queue) > 0 {
		if err := f.first(ctx); err != nil {
			return err
		}
	}
	return nil
}

// abandon ends what is under way.
func (f *flights) abandon() {
	if f.cancel != nil {
		f.cancel()
	}
	for _, one := range f.queue {
		if one.done != nil {
			<-one.done
		}
	}
}
