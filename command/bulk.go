package command

import (
	"context"
	"crypto/rand"
	"errors"
	"strconv"
	"sync"

	"auditlog/eventstore"
	"auditlog/internal/fault"
)

// MaxBulk is the most entries of one bulk.
const MaxBulk = 1000

// BulkItem is one entry of a bulk: read, or refused for what is wrong with it.
type BulkItem struct {
	Entry   *Entry
	Problem *fault.Error
}

// BulkResult is the answer for one item, in the order of the items. Problem is nil when the entry is stored.
type BulkResult struct {
	ID         eventstore.EventID
	Position   eventstore.Position
	RecordedAt eventstore.Micros
	Replayed   bool
	Problem    *fault.Error
}

// Bulk appends up to 1,000 entries as one unit. Atomic: all or none; what is wrong with any item is the error, with the
// JSON pointers of all. Otherwise each item stands for itself, and the error only says that the whole failed. Errors
// beside those are Record's, without InFlight.
func (c *Commands) Bulk(ctx context.Context, who Caller, items []BulkItem, atomic bool) ([]BulkResult, error) {
	return c.bulk(ctx, who, items, atomic, nil)
}

// BulkInSequence is Bulk, not atomic, for a bulk of a sequence: it is made ready beside those before it and appended after
// them. Errors beside Bulk's: Conflict when one before it was not stored.
func (c *Commands) BulkInSequence(ctx context.Context, who Caller, items []BulkItem, place *Place) ([]BulkResult, error) {
	return c.bulk(ctx, who, items, false, place)
}

func (c *Commands) bulk(ctx context.Context, who Caller, items []BulkItem, atomic bool, place *Place) ([]BulkResult, error) {
	if len(items) == 0 || len(items) > MaxBulk {
		return nil, fault.At(fault.Invalid, "/entries", "must hold 1 to "+strconv.Itoa(MaxBulk)+" entries")
	}
	results, good := sound(items)
	if atomic && len(good) < len(items) {
		return nil, joined(results)
	}
	if len(good) == 0 {
		if err := place.wait(ctx); err != nil {
			return nil, err
		}
		place.enter()
		place.keep()
		return results, nil
	}
	t, err := c.Tenant(ctx, who.Tenant)
	if err != nil {
		return nil, err
	}
	drafts, err := c.drafts(ctx, who, items, good)
	if err != nil {
		return nil, err
	}
	if err := place.wait(ctx); err != nil {
		return nil, err
	}
	out, err := c.appender.submit(ctx, t.Shard, eventstore.Unit{Tenant: who.Tenant, Drafts: drafts, Atomic: atomic}, place)
	if err != nil {
		return nil, err
	}
	place.keep()
	for i, at := range good {
		results[at] = resultOf(out[i], items[at].Entry.base)
	}
	if !atomic {
		return results, nil
	}
	if err := joined(results); err != nil {
		return nil, err
	}
	return results, nil
}

// sound starts the results with the items that were refused before, and lists the others.
func sound(items []BulkItem) (results []BulkResult, good []int) {
	results, good = make([]BulkResult, len(items)), make([]int, 0, len(items))
	for i, item := range items {
		if item.Problem != nil {
			results[i].Problem = item.Problem
			continue
		}
		good = append(good, i)
	}
	return results, good
}

func resultOf(o eventstore.Outcome, base string) BulkResult {
	if o.Status == eventstore.Aborted {
		return BulkResult{} // another item says why
	}
	if p := refusal(o.Status, base); p != nil {
		return BulkResult{Problem: p}
	}
	return BulkResult{ID: o.ID, Position: o.Position, RecordedAt: o.RecordedAt, Replayed: o.Status == eventstore.Replayed}
}

// joined makes one error of all problems; nil when there is none.
func joined(results []BulkResult) error {
	var fields []fault.Field
	for _, r := range results {
		switch {
		case r.Problem == nil:
		case len(r.Problem.Fields) == 0:
			return r.Problem // it is about the whole: no such tenant
		default:
			fields = append(fields, r.Problem.Fields...)
		}
	}
	return fault.Of(fields)
}

// twoHands is the number of entries from which sealing is shared by two goroutines.
const twoHands = 256

// slabSize is how much memory for sealed parts a bulk takes at once.
const slabSize = 64 << 10

// drafts makes the events of the good items.
func (c *Commands) drafts(ctx context.Context, who Caller, items []BulkItem, good []int) ([]eventstore.Draft, error) {
	drafts := make([]eventstore.Draft, len(good))
	tokens := make([]eventstore.Idempotency, len(good))
	salts := make([]byte, 16*len(good))
	rand.Read(salts) //nolint:errcheck // never fails: crypto/rand
	for i := range drafts {
		drafts[i].ID = eventstore.NewEventID() // in order, so that ids ascend with positions
	}
	part := func(from, to int) error {
		d := c.drafter()
		defer d.release()
		d.slabLen = min(slabSize, (to-from)<<9)
		for i := from; i < to; i++ {
			e := items[good[i]].Entry
			pub, priv := recorded(who, e, drafts[i].ID, [16]byte(salts[16*i:]))
			draft, err := d.draft(ctx, who.Tenant, &pub, &priv)
			if err != nil {
				return err
			}
			if e.private.IdempotencyKey != "" {
				if err := d.idempotency(ctx, who.Tenant, e, &tokens[i]); err != nil {
					return err
				}
				draft.Idempotency = &tokens[i]
			}
			drafts[i] = draft
		}
		return nil
	}
	if len(good) < twoHands {
		return drafts, part(0, len(good))
	}
	var other error
	var wg sync.WaitGroup
	wg.Go(func() { other = part(0, len(good)/2) })
	err := part(len(good)/2, len(good))
	wg.Wait()
	return drafts, errors.Join(err, other)
}
