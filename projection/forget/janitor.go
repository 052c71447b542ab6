package forget

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"auditlog/eventstore"
	"auditlog/eventstore/format"
	"auditlog/keyring"
)

// Log is what the janitor waits on: the event store.
type Log interface {
	Shards() int
	Appended(shard eventstore.Shard) <-chan struct{}
}

// JanitorOptions of a Janitor. Zero values take the defaults.
type JanitorOptions struct {
	Page    int           // events removed in one transaction; default 500
	Period  time.Duration // between looks when nothing wakes it; default 30 s
	Log     *slog.Logger
	Removed func(events int)
}

// Janitor removes what purges cover. One runs at a time.
type Janitor struct {
	log       Log
	lifecycle eventstore.Lifecycle
	keys      Keys
	o         JanitorOptions
}

// NewJanitor makes a janitor.
func NewJanitor(log Log, lifecycle eventstore.Lifecycle, keys Keys, o JanitorOptions) *Janitor {
	if o.Page <= 0 {
		o.Page = 500
	}
	if o.Period <= 0 {
		o.Period = 30 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Removed == nil {
		o.Removed = func(int) {}
	}
	return &Janitor{log: log, lifecycle: lifecycle, keys: keys, o: o}
}

// rest keeps a busy log from making the janitor look after every append.
const rest = time.Second

// Run carries out purges, at start and whenever the log grew, until ctx ends, and returns its error. A step that fails
// is logged and tried again.
func (j *Janitor) Run(ctx context.Context) error {
	for {
		grown := j.grown()
		if err := j.Sweep(ctx); err != nil && ctx.Err() == nil {
			j.o.Log.WarnContext(ctx, "purge did not go on, trying again", "error", err)
		}
		for _, wait := range []func() error{
			func() error { return pause(ctx, rest, nil) },
			func() error { return pause(ctx, j.o.Period, grown) },
		} {
			if err := wait(); err != nil {
				return err
			}
		}
	}
}

// grown is closed after the next append to any shard, when that is one; with several the period serves.
func (j *Janitor) grown() <-chan struct{} {
	if j.log.Shards() == 1 {
		return j.log.Appended(0)
	}
	return nil
}

// Sweep carries out every purge that is under way.
func (j *Janitor) Sweep(ctx context.Context) error {
	for ctx.Err() == nil {
		p, page, err := j.lifecycle.Doomed(ctx, j.o.Page)
		if err != nil {
			return fmt.Errorf("what to purge: %w", err)
		}
		if p.ID.IsZero() {
			return nil
		}
		if err := j.remove(ctx, p, page); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// remove destroys the keys of a page and then removes its rows. After a crash in between the page is doomed again.
func (j *Janitor) remove(ctx context.Context, p eventstore.Purge, page []eventstore.Event) error {
	refs := make([]keyring.Ref, 0, len(page))
	leaves := make([]eventstore.Leaf, len(page))
	last := p.Last
	var plain []byte
	for i, ev := range page {
		if ev.Tenant != p.Tenant || ev.Position > p.Last {
			return fmt.Errorf("purge %s: the store dooms position %d, beyond %d", p.ID, ev.Position, p.Last)
		}
		var err error
		if plain, err = format.Unpack(plain[:0], ev.Public); err != nil {
			return fmt.Errorf("purge %s, position %d: %w", p.ID, ev.Position, err)
		}
		leaves[i] = eventstore.Leaf{Position: ev.Position, ID: ev.ID, Hash: format.LeafHash(ev.Tenant, ev.Position, ev.RecordedAt, plain)}
		if len(ev.Private) > 0 {
			refs = append(refs, keyring.Ref(ev.Key))
		}
		last = ev.Position
	}
	if len(refs) > 0 {
		if err := j.keys.Puncture(ctx, p.Tenant, refs); err != nil {
			return fmt.Errorf("purge %s: %w", p.ID, err)
		}
		j.keys.Forget(p.Tenant)
	}
	done := len(page) == 0 || last == p.Last
	if err := j.lifecycle.Remove(ctx, p, last, leaves, done); err != nil {
		return fmt.Errorf("purge %s: %w", p.ID, err)
	}
	j.o.Removed(len(page))
	return nil
}

// pause returns after d or at a wake-up; ctx's error when it ended.
func pause(ctx context.Context, d time.Duration, wake <-chan struct{}) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-wake:
	case <-t.C:
	}
	return ctx.Err()
}
