package opensearch

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"auditlog/eventstore"
)

// errRetiring says that an index that was written to is being taken out. The next delivery finds out what became of it.
var errRetiring = errors.New("an index of these documents is being taken out")

// retire takes an index out whole when it holds nothing but what matches, and tells whether it is gone.
//
// Writers look at Removals once their documents are acknowledged. Whoever looked before Retire has its documents met by the
// refresh and the count below, and the index stays. Whoever looks later writes again. Once DropIndex said true the name
// is spent, so the deletion harms nothing that comes after, however late it happens.
func (x *Index) retire(ctx context.Context, gen int, name string, matches clause) (gone bool, err error) {
	at, ok := x.parse(name)
	if !ok || at.month >= monthOf(eventstore.MicrosOf(x.cfg.Clock())) {
		return false, nil // more is to come
	}
	others, err := x.others(ctx, name, matches)
	if err != nil || others {
		return false, err
	}
	token, err := x.cfg.State.Retire(ctx, gen, name)
	if err != nil {
		return false, err
	}
	if token == 0 { // another dropped it, and may have died before the deletion
		return true, x.drop(ctx, name)
	}
	if others, err = x.others(ctx, name, matches); err != nil || others {
		return false, errors.Join(err, x.cfg.State.Unretire(context.WithoutCancel(ctx), gen, name, token))
	}
	if gone, err = x.cfg.State.DropIndex(ctx, gen, name, token); err != nil || !gone {
		return false, err
	}
	x.forget()
	return true, x.drop(ctx, name)
}

// others tells whether an index holds anything but what matches, after a refresh.
func (x *Index) others(ctx context.Context, name string, matches clause) (bool, error) {
	err := x.server.do(ctx, http.MethodPost, "/"+name+"/_refresh", nil, nil)
	if isRefused(err, "index_not_found_exception") {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var answer found
	body := mustJSON(clause{"size": 0, "track_total_hits": 1, "query": clause{"bool": clause{"must_not": []clause{matches}}}})
	err = x.server.do(ctx, http.MethodPost, "/"+name+"/_search?allow_partial_search_results=false&request_cache=false", body, &answer)
	if isRefused(err, "index_not_found_exception") {
		return false, nil
	}
	if err == nil {
		err = answer.Shards.check("count others in " + name)
	}
	if err == nil && answer.TimedOut {
		err = context.DeadlineExceeded
	}
	return answer.Hits.Total.Value > 0, err
}

// stillThere fails when an index that was written to is being taken out, or was.
func (x *Index) stillThere(ctx context.Context, removals Removals, names []string) error {
	for _, name := range names {
		switch {
		case removals.Retiring[name]:
			return fmt.Errorf("%w: %s", errRetiring, name)
		case removals.Dropped[name]: // it may have been made again by the write of one who did not know
			x.forget()
			return errors.Join(fmt.Errorf("%w: %s", errRetiring, name), x.drop(ctx, name))
		}
	}
	return nil
}

// forget makes the next write look again which indices there are.
func (x *Index) forget() {
	x.mu.Lock()
	defer x.mu.Unlock()
	clear(x.known)
}

// retireEmpty takes out indices of past months that hold nothing: those from which several purges removed the documents,
// each leaving some. It also ends what a process that died left half done.
func (x *Index) retireEmpty(ctx context.Context) error {
	live, err := x.cfg.State.Live(ctx)
	if err != nil {
		return err
	}
	noted, err := x.cfg.State.Indices(ctx, live.N)
	if err != nil {
		return err
	}
	removals, err := x.cfg.State.Removals(ctx, live.N, nil)
	if err != nil {
		return err
	}
	count, err := x.counts(ctx, live.N)
	if err != nil {
		return err
	}
	var errs []error
	for name, n := range count {
		switch {
		case removals.Dropped[name]:
			errs = append(errs, x.drop(ctx, name))
		case slices.Contains(noted, name) && (n == 0 || removals.Retiring[name]):
			gone, err := x.retire(ctx, live.N, name, clause{"match_none": clause{}})
			if err == nil && !gone && removals.Retiring[name] {
				err = x.unretire(ctx, live.N, name)
			}
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// counts are the documents of each index of a generation, as of its last refresh.
func (x *Index) counts(ctx context.Context, gen int) (map[string]int, error) {
	var answer struct {
		Indices map[string]struct {
			Primaries struct {
				Docs struct {
					Count int `json:"count"`
				} `json:"docs"`
			} `json:"primaries"`
		} `json:"indices"`
	}
	if err := x.server.do(ctx, http.MethodGet, "/"+x.pattern(gen)+"/_stats/docs?level=indices", nil, &answer); err != nil {
		return nil, err
	}
	out := map[string]int{}
	for name, i := range answer.Indices {
		out[name] = i.Primaries.Docs.Count
	}
	return out, nil
}

// unretire lets writers have an index that somebody who died began to take out.
func (x *Index) unretire(ctx context.Context, gen int, name string) error {
	token, err := x.cfg.State.Retire(ctx, gen, name) // makes the token of one who lives void, which harms nothing
	if err != nil || token == 0 {
		return err
	}
	return x.cfg.State.Unretire(ctx, gen, name, token)
}
