package opensearch

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// tends clears removed words from the server's files, takes out empty indices, and finds out when the server lost one.
func (x *Index) tends(ctx context.Context) {
	for wait(ctx, x.cfg.Scrub) == nil {
		if err := errors.Join(x.replaceLost(ctx), x.retireEmpty(ctx), x.ScrubNow(ctx)); err != nil && ctx.Err() == nil {
			x.cfg.Log.WarnContext(ctx, "tending the search index failed, the next time goes on", "error", err)
		}
	}
}

// scrubTimeout bounds one step of rewriting an index.
const scrubTimeout = 10 * time.Minute

// removal is a demand for a scrub; State counts how often an index was asked for.
type removal struct {
	index string
	token int64
}

// ScrubNow clears the indices for which it was asked, if the server lets go of what was removed: it holds operations for
// its replicas until their leases are renewed, every 30 s. What is still held stays due.
func (x *Index) ScrubNow(ctx context.Context) error {
	live, err := x.cfg.State.Live(ctx)
	if err != nil {
		return err
	}
	due, err := x.cfg.State.Scrubs(ctx, live.N)
	if err != nil {
		return err
	}
	x.scrubbing.Lock()
	defer x.scrubbing.Unlock()
	for r := range x.removals {
		if due[r.index] != r.token {
			delete(x.removals, r)
		}
	}
	var errs []error
	for name, token := range due {
		done, err := x.scrub(ctx, removal{name, token})
		if err == nil && done {
			err = x.cfg.State.Scrubbed(ctx, live.N, name, token)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// scrub rewrites the parts of an index that hold removed documents, and empties its transaction log of them.
func (x *Index) scrub(ctx context.Context, r removal) (done bool, err error) {
	newest, held, err := x.operations(ctx, r.index)
	switch {
	case isRefused(err, "index_not_found_exception"):
		return true, nil
	case err != nil:
		return false, err
	}
	upTo, ok := x.removals[r]
	if !ok {
		x.removals[r], upTo = newest, newest // the removal is one of these
	}
	for shard, seq := range upTo {
		if held[shard] <= seq {
			return false, nil
		}
	}
	for _, step := range []string{"_flush?force=true&wait_if_ongoing=true", "_forcemerge?only_expunge_deletes=true", "_flush?force=true&wait_if_ongoing=true", "_refresh"} {
		var answer struct {
			Shards shardAnswer `json:"_shards"`
		}
		err := x.server.within(ctx, scrubTimeout, http.MethodPost, "/"+r.index+"/"+step, nil, &answer)
		if err == nil {
			err = answer.Shards.check("scrub " + r.index)
		}
		if err != nil {
			return false, err
		}
	}
	return true, nil
}

// operations are the newest operation of each shard, and the oldest that it holds for a copy of it.
func (x *Index) operations(ctx context.Context, index string) (newest, held map[string]int64, err error) {
	var answer struct {
		Indices map[string]struct {
			Shards map[string][]struct {
				Seq struct {
					Max int64 `json:"max_seq_no"`
				} `json:"seq_no"`
				Retention struct {
					Leases []struct {
						From int64 `json:"retaining_seq_no"`
					} `json:"leases"`
				} `json:"retention_leases"`
			} `json:"shards"`
		} `json:"indices"`
	}
	err = x.server.do(ctx, http.MethodGet, "/"+index+"/_stats?level=shards&filter_path=indices.*.shards.*.seq_no,indices.*.shards.*.retention_leases", nil, &answer)
	newest, held = map[string]int64{}, map[string]int64{}
	for shard, copies := range answer.Indices[index].Shards {
		held[shard] = 1<<62 - 1
		for _, c := range copies {
			newest[shard] = max(newest[shard], c.Seq.Max)
			for _, l := range c.Retention.Leases {
				held[shard] = min(held[shard], l.From)
			}
		}
	}
	return newest, held, err
}
