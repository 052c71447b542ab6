package command

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"auditlog/eventstore"
	"auditlog/internal/fault"
	"auditlog/internal/mutant"
)

// flush sends the tickets as one flush, sets what became of each, and gives how much was stored.
func (l *lane) flush(batch []*ticket) (stored held) {
	if batch = unbroken(batch); len(batch) == 0 {
		return held{}
	}
	start := time.Now()
	all, err := l.try(batch)
	l.a.opts.Observer.Flushed(l.shard, len(batch), all.entries, longest(batch, start), time.Since(start), err)
	if err == nil {
		return all
	}
	// An error that is neither the store's absence nor a refusal may be about the data of one unit. Its neighbours must not
	// suffer: the halves are tried apart. The flush was sent twice by then, so had it been stored the retry had said so.
	if len(batch) > 1 && fault.Is(err, fault.Internal) {
		first, second := l.flush(batch[:len(batch)/2]), l.flush(batch[len(batch)/2:])
		for _, t := range batch {
			t.err = unsure(t.err)
		}
		return held{first.entries + second.entries, first.bytes + second.bytes}
	}
	for _, t := range batch {
		t.err = err
		t.place.fail()
	}
	return held{}
}

// doubtful tells errors that leave open whether the flush was stored, or is going to be: a store may carry out what its
// client has given up.
func doubtful(err error) bool {
	return fault.Is(err, fault.Unavailable) || fault.Is(err, fault.Internal)
}

// unsure is the error of a flush after another attempt at it had a doubtful one. A refusal is of the last attempt alone
// then, and must not be taken for one of the entry.
func unsure(err error) error {
	if err == nil || doubtful(err) || mutant.On == mutant.DoubtRefused {
		return err
	}
	return unavailable("the store refused to try again; whether the entry is stored is not known", err)
}

// longest is the longest time that any of the tickets has waited.
func longest(batch []*ticket, now time.Time) (d time.Duration) {
	for _, t := range batch {
		if !t.since.IsZero() {
			d = max(d, now.Sub(t.since))
		}
	}
	return d
}

// try sends one flush, again and again where that may help, always with the same id.
func (l *lane) try(batch []*ticket) (all held, err error) {
	f := eventstore.Flush{ID: eventstore.FlushID(uuid.Must(uuid.NewV7())), Shard: l.shard, Units: make([]eventstore.Unit, len(batch))}
	for i, t := range batch {
		f.Units[i] = t.unit
		all.add(t.entries(), t.bytes)
	}
	outcomes, err := l.a.send(f)
	if err == nil && len(outcomes) != all.entries {
		err = fmt.Errorf("the store gave %d outcomes for %d drafts", len(outcomes), all.entries)
	}
	if err != nil {
		return all, err
	}
	for _, t := range batch {
		n := t.entries()
		t.outcomes, outcomes = outcomes[:n:n], outcomes[n:]
	}
	return all, nil
}

// send appends the flush. Its time is its own, no caller's: others wait for it as well.
func (a *Appender) send(f eventstore.Flush) ([]eventstore.Outcome, error) {
	ctx, cancel := context.WithTimeout(context.Background(), a.opts.FlushTimeout)
	defer cancel()
	pause := a.opts.Backoff
	for attempt := 0; ; attempt++ {
		outcomes, err := a.log.Append(ctx, f)
		if err == nil {
			return outcomes, nil
		}
		if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			return nil, unavailable("the store did not answer in time; whether the entry is stored is not known", fmt.Errorf("%w: %w", ErrWaited, err))
		}
		if attempt > 0 { // only a doubtful one is followed by another
			err = unsure(err)
		}
		if !a.again(err, attempt) || !sleep(ctx, pause) {
			return nil, fmt.Errorf("append: %w", err)
		}
		pause *= 2
	}
}

// again tells whether sending a flush once more may help: when the store could not be reached, and once after an error of
// unknown nature, since it may have come after the effect.
func (a *Appender) again(err error, attempt int) bool {
	switch fault.KindOf(err) {
	case fault.Unavailable:
		return attempt < a.opts.Retries
	case fault.Internal:
		return attempt < 1
	}
	return false
}

// sleep pauses; false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
