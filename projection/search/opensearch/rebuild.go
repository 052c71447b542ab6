package opensearch

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"auditlog/eventstore"
	"auditlog/projection"
)

// rebuildPage is how many events one step of a rebuild reads and records.
const rebuildPage = 1000

// Rebuilt tells what a rebuild found.
type Rebuilt struct {
	Documents   int64        // in the new generation when it was compared
	Differences []Difference // between it and the one it replaced
	Skipped     []Skipped    // events that cannot be indexed, as if they had been parked
}

// Skipped is an event that a rebuild went past.
type Skipped struct {
	Shard  eventstore.Shard
	Offset eventstore.Offset
	Reason string
}

// Rebuild makes a new generation from the event store beside the live one, compares both, and swaps the alias. Writes and
// searches go on meanwhile; only the last step, over the events that came since the one before, makes writers wait, those
// of other processes too. Differences are reported, not refused: the new one is what the store says. report, if any, is
// told how far it has come, by offset.
func (x *Index) Rebuild(ctx context.Context, report func(shard eventstore.Shard, done, head eventstore.Offset)) (r Rebuilt, err error) {
	if report == nil {
		report = func(eventstore.Shard, eventstore.Offset, eventstore.Offset) {}
	}
	x.rebuild.Lock()
	defer x.rebuild.Unlock()
	x.swapping.RLock()
	old, err := x.open(ctx)
	x.swapping.RUnlock()
	if errors.Is(err, errLost) {
		return r, errors.Join(err, x.replaceLost(ctx))
	}
	if err != nil {
		return r, fmt.Errorf("rebuild search index: %w", err)
	}
	gen, err := x.cfg.State.Build(ctx)
	if err != nil {
		return r, err
	}
	b := &builder{x: x, gen: gen, report: report}
	suspects, err := b.fill(ctx, old, &r)
	if err == nil {
		err = b.swap(ctx, old, suspects, &r)
	}
	r.Skipped = b.skipped
	if err != nil {
		err = fmt.Errorf("rebuild search index: %w", err)
		if b.aliased { // whoever applies next finishes it
			return r, err
		}
		return r, errors.Join(err, x.dropGeneration(context.WithoutCancel(ctx), gen))
	}
	x.wake()
	return r, x.dropGeneration(context.WithoutCancel(ctx), old)
}

// builder fills one generation. Only it writes to it.
type builder struct {
	x       *Index
	gen     int
	report  func(shard eventstore.Shard, done, head eventstore.Offset)
	last    bool // writers wait
	aliased bool // readers may meet it

	mu      sync.Mutex // guards skipped, and is held for report
	skipped []Skipped
}

func (b *builder) fill(ctx context.Context, old int, r *Rebuilt) (suspects []bucket, err error) {
	if err := b.catchUp(ctx); err != nil {
		return nil, err
	}
	have, want, err := b.x.digests(ctx, old, b.gen)
	if err != nil {
		return nil, err
	}
	for _, d := range want {
		r.Documents += d.count
	}
	return differing(have, want), nil
}

// swap shuts the old generation, brings the new one to the head, and puts it into the old one's place.
func (b *builder) swap(ctx context.Context, old int, suspects []bucket, r *Rebuilt) (err error) {
	x := b.x
	x.swapping.Lock()
	defer x.swapping.Unlock()
	until := eventstore.MicrosOf(x.cfg.Clock().Add(x.shutFor()))
	if err := x.cfg.State.Shut(ctx, old, until); err != nil {
		return err
	}
	defer func() {
		if !b.aliased {
			err = errors.Join(err, x.cfg.State.Reopen(context.WithoutCancel(ctx), old))
		}
	}()
	b.last = true
	if err := b.catchUp(ctx); err != nil {
		return err
	}
	if len(suspects) > 0 { // again, now that nothing moves
		have, want, err := x.digests(ctx, old, b.gen)
		if err != nil {
			return err
		}
		r.Differences = differences(have, want, suspects)
	}
	if _, err := x.makeVisible(ctx, b.gen); err != nil {
		return err
	}
	if eventstore.MicrosOf(x.cfg.Clock()) >= until-eventstore.Micros(x.cfg.Requests.Timeout.Microseconds()) {
		return fmt.Errorf("the last step took longer than %s", lastStep)
	}
	b.aliased = true // from here on, since a lost answer leaves it open
	if err := x.swapAlias(ctx, old, b.gen); err != nil {
		return err
	}
	return x.cfg.State.Promote(context.WithoutCancel(ctx), b.gen)
}

// swapAlias takes one generation out of the alias and puts another in, in one step of the server.
func (x *Index) swapAlias(ctx context.Context, old, gen int) error {
	names, err := x.cfg.State.Indices(ctx, gen)
	if err != nil {
		return err
	}
	there, err := x.present(ctx)
	if err != nil {
		return err
	}
	type add struct {
		Index string `json:"index"`
		Alias string `json:"alias"`
	}
	var actions []map[string]add
	for name := range there {
		if generation(name) == old {
			actions = append(actions, map[string]add{"remove": {name, x.cfg.Prefix}})
		}
	}
	for _, name := range names {
		actions = append(actions, map[string]add{"add": {name, x.cfg.Prefix}})
	}
	if len(actions) == 0 {
		return nil
	}
	return x.server.do(ctx, http.MethodPost, "/_aliases", mustJSON(map[string]any{"actions": actions}), nil)
}

// catchUp applies what the store holds above the new generation's cursors.
func (b *builder) catchUp(ctx context.Context) error {
	for shard := range eventstore.Shard(b.x.cfg.Store.Shards()) {
		if err := b.catchUpShard(ctx, shard); err != nil {
			return err
		}
	}
	return nil
}

func (b *builder) catchUpShard(ctx context.Context, shard eventstore.Shard) error {
	head, err := b.x.cfg.Store.ShardHead(ctx, shard)
	if err != nil {
		return err
	}
	applied, err := b.x.cfg.State.Ranges(ctx, b.gen, shard)
	if err != nil {
		return err
	}
	at := applied.Cursor()
	b.tell(shard, at, head.Offset)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	slots := make(chan struct{}, b.x.cfg.Requests.Parallel+1) // pages under way: one is made while others are sent
	var all sync.WaitGroup
	for at < head.Offset && ctx.Err() == nil {
		env, err := projection.ReadEnvelope(ctx, b.x.cfg.Store, shard, projection.Range{From: at, To: head.Offset}, rebuildPage)
		if err != nil {
			cancel(err)
			break
		}
		at = env.To
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			if err := b.page(ctx, env); err != nil {
				cancel(err)
				return
			}
			b.tell(shard, env.To, head.Offset)
		})
	}
	all.Wait()
	return context.Cause(ctx)
}

func (b *builder) tell(shard eventstore.Shard, done, head eventstore.Offset) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.report(shard, done, max(head, done))
}

// rebuildPatience is for a server that is away during a rebuild: hours of work do not end with a restart of it.
const rebuildPatience = 5 * time.Minute

// page applies an envelope and records its range, again and again while the server is away; not while writers wait.
func (b *builder) page(ctx context.Context, env projection.Envelope) error {
	deadline := time.Now().Add(rebuildPatience)
	for pause := 200 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		err := b.apply(ctx, env)
		if err == nil {
			err = b.x.cfg.State.Add(ctx, b.gen, env.Shard, projection.Range{From: env.From, To: env.To})
		}
		if err == nil || b.last || errors.Is(err, ErrClosed) || errors.Is(err, errLost) || time.Now().After(deadline) {
			return err
		}
		if wait(ctx, pause) != nil {
			return err
		}
	}
}

// apply makes the effect of an envelope, past events that can never be indexed.
func (b *builder) apply(ctx context.Context, env projection.Envelope) error {
	err := b.x.effect(ctx, b.gen, false, env, nil)
	var poison *projection.Poison
	if !errors.As(err, &poison) {
		return err
	}
	if len(env.Events) == 1 {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.skipped = append(b.skipped, Skipped{env.Shard, env.Events[0].Offset, poison.Error()})
		return nil
	}
	left, right := env, env
	mid := len(env.Events) / 2
	left.Events, right.Events = env.Events[:mid], env.Events[mid:]
	if err := b.apply(ctx, left); err != nil {
		return err
	}
	return b.apply(ctx, right)
}

// dropGeneration deletes the indices of a generation that is not live.
func (x *Index) dropGeneration(ctx context.Context, gen int) error {
	there, err := x.present(ctx)
	if err != nil {
		return err
	}
	names := slices.DeleteFunc(slices.Collect(maps.Keys(there)), func(name string) bool { return generation(name) != gen })
	return x.drop(ctx, names...)
}
