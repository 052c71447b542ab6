package opensearch

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"auditlog/eventstore"
)

// purge raises watermarks first, so that whoever writes a late document takes it back, and removes what lies at or below
// them. Cut off half way it is begun again, since the purge event's range is not recorded yet.
func (x *Index) purge(ctx context.Context, gen int, live bool, watermarks map[eventstore.TenantID]eventstore.Position) error {
	for tenant, last := range watermarks {
		if last == 0 {
			continue
		}
		if err := x.cfg.State.Purge(ctx, gen, tenant, last); err != nil {
			return err
		}
		group, err := x.group(ctx, gen, tenant)
		if err != nil {
			return err
		}
		if err := x.refreshServer(ctx, gen); err != nil { // a deletion by query sees what is refreshed
			return err
		}
		if err := x.deleteBelow(ctx, gen, live, group, tenant, last); err != nil {
			return err
		}
	}
	return nil
}

// below matches a tenant's documents up to a position.
func below(tenant eventstore.TenantID, last eventstore.Position) clause {
	return clause{"bool": clause{"filter": []clause{{"term": clause{"tenant": tenant.String()}}, {"range": clause{"position": clause{"lte": last}}}}}}
}

// deleteBelow removes a tenant's documents: with their index where it holds nothing else, else by query. What changes
// under it is its writer's to take back.
func (x *Index) deleteBelow(ctx context.Context, gen int, live bool, group string, tenant eventstore.TenantID, last eventstore.Position) error {
	query := below(tenant, last)
	names, err := x.holding(ctx, gen, tenant, query)
	if err != nil {
		return err
	}
	for _, name := range names {
		if at, ok := x.parse(name); !ok || at.group != group {
			continue
		}
		if live {
			gone, err := x.retire(ctx, gen, name, query)
			if err != nil {
				return err
			}
			if gone {
				continue
			}
		}
		if err := x.cfg.State.Scrub(ctx, gen, name); err != nil {
			return err
		}
		if err := x.deleteByQuery(ctx, name, tenant, mustJSON(clause{"query": query})); err != nil {
			return fmt.Errorf("purge %s: %w", name, err)
		}
	}
	return nil
}

// holding are the indices of a generation with documents of a tenant that match.
func (x *Index) holding(ctx context.Context, gen int, tenant eventstore.TenantID, query clause) (names []string, err error) {
	var answer struct {
		Shards       shardAnswer `json:"_shards"`
		TimedOut     bool        `json:"timed_out"`
		Aggregations struct {
			Indices struct {
				Buckets []struct{ Key string }
			}
		}
	}
	body := mustJSON(clause{"size": 0, "query": query, "aggs": clause{"indices": clause{"terms": clause{"field": "_index", "size": 10_000}}}})
	err = x.server.do(ctx, http.MethodPost, "/"+x.pattern(gen)+"/_search?routing="+tenant.String()+"&allow_partial_search_results=false&request_cache=false", body, &answer)
	if err == nil {
		err = answer.Shards.check("look for a purge")
	}
	if err == nil && answer.TimedOut {
		err = context.DeadlineExceeded
	}
	for _, b := range answer.Aggregations.Indices.Buckets {
		names = append(names, b.Key)
	}
	slices.Sort(names)
	return names, err
}

func (x *Index) deleteByQuery(ctx context.Context, name string, tenant eventstore.TenantID, query []byte) error {
	for {
		var answer struct {
			TimedOut bool `json:"timed_out"`
			Deleted  int  `json:"deleted"`
			Total    int  `json:"total"`
			Failures []struct {
				Cause failure `json:"cause"`
			} `json:"failures"`
		}
		path := fmt.Sprintf("/%s/_delete_by_query?routing=%s&conflicts=proceed&max_docs=%d&ignore_unavailable=true", name, tenant, purgeStep)
		err := x.server.within(ctx, time.Minute, http.MethodPost, path, query, &answer)
		switch {
		case err != nil:
			return err
		case len(answer.Failures) > 0:
			return &refused{Status: http.StatusServiceUnavailable, Type: answer.Failures[0].Cause.Type, Reason: answer.Failures[0].Cause.String()}
		case answer.TimedOut:
			return context.DeadlineExceeded
		case answer.Total < purgeStep:
			return nil
		}
		if err := x.server.do(ctx, http.MethodPost, "/"+name+"/_refresh", nil, nil); err != nil { // or the same are found again
			return err
		}
	}
}

// purgeStep bounds the documents that one request removes, so that it ends within its timeout.
const purgeStep = 5000

// settle is asked after a write was acknowledged. It takes back documents at or below a watermark: either it sees the
// watermark, or the purge that raises it sees the documents. It fails, to have the envelope delivered again, when an
// index that was written to may have gone: either it sees that, or whoever takes the index out sees the documents.
func (x *Index) settle(ctx context.Context, gen int, documents []document, names []string) error {
	if len(documents) == 0 {
		return nil
	}
	tenants := make([]eventstore.TenantID, len(documents))
	for i := range documents {
		tenants[i] = documents[i].tenant
	}
	slices.SortFunc(tenants, func(a, b eventstore.TenantID) int { return slices.Compare(a[:], b[:]) })
	removals, err := x.cfg.State.Removals(ctx, gen, slices.Compact(tenants))
	if err != nil {
		return err
	}
	if err := x.stillThere(ctx, removals, names); err != nil {
		return err
	}
	var items []item
	for i := range documents {
		d := &documents[i]
		if d.position > removals.Purged[d.tenant] {
			continue
		}
		if err := x.cfg.State.Scrub(ctx, gen, names[i]); err != nil {
			return err
		}
		items = append(items, deleteItem(names[i], d))
	}
	return x.write(ctx, items)
}
