package opensearch

import (
	"context"
	"maps"
	"net/http"
	"time"

	"auditlog/eventstore"
)

// kick asks for a refresh.
func (x *Index) kick() {
	select {
	case x.dirty <- struct{}{}:
	default:
	}
}

// refreshes makes what was applied visible as soon as that is asked for, but no two begin within Refresh, whichever process
// asks: under load each gathers what came meanwhile, from all of them, and on an idle service nobody waits for one.
func (x *Index) refreshes(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-x.dirty:
		}
		err := x.refreshTurn(ctx)
		if err == nil {
			err = x.refreshLive(ctx)
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			x.cfg.Log.WarnContext(ctx, "refresh of the search index failed, the next one goes on", "error", err)
			x.kick()
			_ = wait(ctx, x.cfg.Refresh) // ends early with ctx
		}
	}
}

// refreshTurn waits for this process's turn.
func (x *Index) refreshTurn(ctx context.Context) error {
	for {
		left, err := x.cfg.State.RefreshTurn(ctx, x.cfg.Refresh)
		if err != nil || left <= 0 {
			return err
		}
		if err := wait(ctx, left); err != nil {
			return err
		}
	}
}

func (x *Index) refreshLive(ctx context.Context) error {
	live, err := x.cfg.State.Live(ctx)
	if err != nil {
		return err
	}
	before, err := x.cfg.State.Visible(ctx, live.N)
	if err != nil {
		return err
	}
	after, err := x.makeVisible(ctx, live.N)
	if err != nil {
		return err
	}
	if !maps.Equal(before, after) {
		x.wake()
	}
	return nil
}

// makeVisible raises the marks of a generation. Cursors are read first: whatever they cover was acknowledged before the
// refresh begins.
func (x *Index) makeVisible(ctx context.Context, gen int) (marks map[eventstore.Shard]eventstore.Offset, err error) {
	if marks, err = x.cfg.State.Cursors(ctx, gen); err != nil {
		return nil, err
	}
	if err := x.refreshServer(ctx, gen); err != nil {
		return nil, err
	}
	return marks, x.cfg.State.SetVisible(ctx, gen, marks)
}

// refreshServer makes all that the server acknowledged for a generation findable.
func (x *Index) refreshServer(ctx context.Context, gen int) error {
	var answer struct {
		Shards shardAnswer `json:"_shards"`
	}
	if err := x.server.do(ctx, http.MethodPost, "/"+x.pattern(gen)+"/_refresh?allow_no_indices=true", nil, &answer); err != nil {
		return err
	}
	return answer.Shards.check("refresh")
}

// For so long after somebody asked for the next move of the marks it is looked for so much more often. Under load there is one
// a second, and who still waits then asks again.
const (
	asking   = 2 * time.Second
	hurrying = 5
)

// pause is how long until the marks are looked for again.
func (x *Index) pause() time.Duration {
	x.mu.Lock()
	defer x.mu.Unlock()
	if time.Since(x.asked) < asking {
		return x.cfg.Poll / hurrying
	}
	return x.cfg.Poll
}

// watch wakes waiters when another process moved the marks, and learns how many indices there must be.
func (x *Index) watch(ctx context.Context) {
	var last map[eventstore.Shard]eventstore.Offset
	failing := false
	for wait(ctx, x.pause()) == nil {
		marks, noted, err := x.look(ctx)
		if err != nil {
			if ctx.Err() == nil && !failing {
				x.cfg.Log.WarnContext(ctx, "state of the search index cannot be read", "error", err)
			}
			failing = true
			continue
		}
		failing = false
		x.mu.Lock()
		x.noted = noted
		x.mu.Unlock()
		if last != nil && !maps.Equal(last, marks) {
			x.wake()
		}
		last = marks
	}
}

func (x *Index) look(ctx context.Context) (marks map[eventstore.Shard]eventstore.Offset, noted int, err error) {
	live, err := x.cfg.State.Live(ctx)
	if err != nil {
		return nil, 0, err
	}
	if marks, err = x.cfg.State.Visible(ctx, live.N); err != nil {
		return nil, 0, err
	}
	names, err := x.cfg.State.Indices(ctx, live.N)
	return marks, len(names), err
}
