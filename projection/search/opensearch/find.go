package opensearch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"auditlog/eventstore"
	"auditlog/internal/criteria"
	"auditlog/internal/fault"
	"auditlog/internal/text"
	"auditlog/query"
)

// Find gives the keys of at most q.Limit matching entries in order; fewer mean that there are no more.
// Errors: fault.Unavailable and fault.Overloaded when the server does not answer, or not for all of the index, and
// fault.QueryTooCostly when it was at work on the question for the time that ctx gives.
func (x *Index) Find(ctx context.Context, q query.IndexQuery) ([]query.Key, error) {
	body := search{Size: q.Limit, Query: filter(q), TotalHits: false}
	order := "desc"
	if q.Sort.Ascending {
		order = "asc"
	}
	if q.Sort.Occurred {
		body.Sort = append(body.Sort, map[string]string{"occurred_at": order})
	}
	body.Sort = append(body.Sort, map[string]string{"position": order})
	if q.After != nil {
		if q.Sort.Occurred {
			body.After = append(body.After, int64(q.After.Occurred))
		}
		body.After = append(body.After, int64(q.After.Position))
	}
	answer, err := x.search(ctx, q.Tenant, &body)
	if err != nil {
		return nil, err
	}
	keys := make([]query.Key, len(answer.Hits.Hits))
	for i, hit := range answer.Hits.Hits {
		if len(hit.Sort) != len(body.Sort) {
			return nil, unavailable(fmt.Errorf("a hit has %d sort values, not %d", len(hit.Sort), len(body.Sort)))
		}
		keys[i].Position = eventstore.Position(hit.Sort[len(hit.Sort)-1])
		if q.Sort.Occurred {
			keys[i].Occurred = eventstore.Micros(hit.Sort[0])
		}
	}
	return keys, nil
}

// Count counts matches of q up to limit; exact when the answer is at most limit. After is not regarded.
func (x *Index) Count(ctx context.Context, q query.IndexQuery, limit int) (int, error) {
	answer, err := x.search(ctx, q.Tenant, &search{Query: filter(q), TotalHits: limit})
	return min(answer.Hits.Total.Value, limit), err
}

// search is the body of a _search.
type search struct {
	Size      int                 `json:"size"`
	Query     clause              `json:"query"`
	Sort      []map[string]string `json:"sort,omitempty"`
	After     []int64             `json:"search_after,omitempty"`
	TotalHits any                 `json:"track_total_hits"` // up to which hits are counted; false: not at all
	Timeout   string              `json:"timeout"`          // of the server's own work on one index, not of its queue
}

type found struct {
	Shards   shardAnswer `json:"_shards"`
	TimedOut bool        `json:"timed_out"`
	Hits     struct {
		Total struct {
			Value int `json:"value"`
		} `json:"total"`
		Hits []struct {
			Sort []int64 `json:"sort"`
		} `json:"hits"`
	} `json:"hits"`
}

// search asks the live generation through its alias.
func (x *Index) search(ctx context.Context, tenant eventstore.TenantID, body *search) (answer found, err error) {
	body.Timeout = strconv.FormatInt(x.workTime(ctx).Milliseconds(), 10) + "ms"
	b, err := json.Marshal(body)
	if err != nil {
		return answer, err
	}
	path := fmt.Sprintf("/%s/_search?routing=%s&ignore_unavailable=true&allow_partial_search_results=false&request_cache=false"+
		"&filter_path=_shards.total,_shards.failed,timed_out,hits.total.value,hits.hits.sort", x.cfg.Prefix, tenant)
	err = x.server.do(ctx, http.MethodPost, path, b, &answer)
	switch {
	case err == nil && answer.TimedOut:
		return answer, costly(errors.New("opensearch answered for a part of the index, timed_out"))
	case err == nil:
		err = answer.Shards.check("search")
	}
	if err == nil && answer.Shards.Total < x.expected() {
		err = x.incomplete(ctx)
	}
	if err != nil {
		return answer, searchError(ctx, err)
	}
	return answer, nil
}

// workTime is what the server may work on a question: less than the caller waits, so that it can still tell that this
// was not enough.
func (x *Index) workTime(ctx context.Context) time.Duration {
	left := x.cfg.Requests.Timeout
	if end, ok := ctx.Deadline(); ok {
		left = min(left, time.Until(end))
	}
	return max(left*3/4, time.Millisecond)
}

// expected is how many indices a search must meet at least, as of the last look at State. Routing takes one shard of each.
func (x *Index) expected() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.noted
}

// incomplete tells an index that the server lost from a swap of generations just now.
func (x *Index) incomplete(ctx context.Context) error {
	live, err := x.cfg.State.Live(ctx)
	if err != nil {
		return err
	}
	lost, err := x.lost(ctx, live.N)
	if err == nil && lost {
		err = errLost
	}
	return err
}

// searchError says what the reader can do. A question asks too much only when the server says so: what was not answered
// by the end of ctx may have waited for others all the time.
func searchError(ctx context.Context, err error) error {
	var r *refused
	known := errors.As(err, &r)
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return fmt.Errorf("search: %w", err)
	case ctx.Err() != nil, known && r.Status == http.StatusTooManyRequests:
		return &fault.Error{Kind: fault.Overloaded, Detail: "search has too much to do; try again", RetryAfter: time.Second, Cause: err}
	case known && r.usedItsTime():
		return costly(err)
	case known && !passing(r.Status):
		return fmt.Errorf("search: %w", err) // our defect
	}
	return unavailable(err)
}

func costly(err error) error {
	return fault.Wrap(fault.QueryTooCostly, err, "the search took too long; narrow it by time or by another filter")
}

func unavailable(err error) error {
	return &fault.Error{Kind: fault.Unavailable, Detail: "search is not available; try again", RetryAfter: 5 * time.Second, Cause: err}
}

// clause is one query clause of the server's language: values are data, whatever they hold.
type clause map[string]any

// filter is all that q asks but order and place. Every clause is a filter: nothing is scored.
func filter(q query.IndexQuery) clause {
	all := []clause{{"term": clause{"tenant": q.Tenant.String()}}}
	and := func(c clause) { all = append(all, c) }
	c := &q.Criteria
	switch c.Kind {
	case "", criteria.Entries:
		and(clause{"term": clause{"kind": kindEntries}})
	case criteria.Access:
		and(clause{"term": clause{"kind": kindAccess}})
	}
	if q.Floor > 0 {
		and(clause{"range": clause{"position": clause{"gt": q.Floor}}})
	}
	if q.Bound > 0 {
		and(clause{"range": clause{"position": clause{"lte": q.Bound}}})
	}
	at := "occurred_at"
	if c.RecordedTime {
		at = "recorded_at"
	}
	if c.From != nil {
		and(clause{"range": clause{at: clause{"gte": int64(*c.From)}}})
	}
	if c.To != nil {
		and(clause{"range": clause{at: clause{"lt": int64(*c.To)}}})
	}
	for _, cl := range c.Clauses() {
		terms := make([]string, len(cl.Values))
		for i, v := range cl.Values {
			terms[i] = string(appendTerm(nil, cl.Field, v))
		}
		and(clause{"terms": clause{"terms": terms}})
	}
	words(c.Text.Root(), and)
	return clause{"bool": clause{"filter": all}}
}

// words prints the query's tree into the conjunction.
func words(n text.Node, and func(clause)) {
	switch n := n.(type) {
	case text.Token:
		and(clause{"term": clause{"words": string(n)}})
	case text.And:
		for _, e := range n {
			words(e, and)
		}
	case text.Never:
		and(clause{"match_none": clause{}})
	}
}
