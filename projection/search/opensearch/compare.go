package opensearch

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"auditlog/eventstore"
)

// Difference is a tenant's month of recorded_at in which two generations do not hold the same.
type Difference struct {
	Tenant   eventstore.TenantID
	Month    string // "2006-01"
	Old, New int64  // documents
}

type bucket struct {
	tenant eventstore.TenantID
	month  string
}

// digest is the count of documents and the sum of their digests: exact up to four million documents of a tenant's month.
type digest struct {
	count int64
	sum   float64
}

// digests compares two generations among what both have applied, after a refresh. An amendment that only one has seen
// counts as a difference.
func (x *Index) digests(ctx context.Context, old, gen int) (have, want map[bucket]digest, err error) {
	var both []clause
	for shard := range eventstore.Shard(x.cfg.Store.Shards()) {
		upTo := eventstore.Offset(1<<62 - 1)
		for _, g := range []int{old, gen} {
			applied, err := x.cfg.State.Ranges(ctx, g, shard)
			if err != nil {
				return nil, nil, err
			}
			upTo = min(upTo, applied.Cursor())
		}
		both = append(both, clause{"bool": clause{"filter": []clause{{"term": clause{"shard": shard}}, {"range": clause{"offset": clause{"lte": upTo}}}}}})
	}
	query := clause{"bool": clause{"should": both, "minimum_should_match": 1}}
	if have, err = x.generationDigests(ctx, old, query); err != nil {
		return nil, nil, err
	}
	want, err = x.generationDigests(ctx, gen, query)
	return have, want, err
}

func (x *Index) generationDigests(ctx context.Context, gen int, query clause) (map[bucket]digest, error) {
	if err := x.refreshServer(ctx, gen); err != nil {
		return nil, err
	}
	names, err := x.cfg.State.Indices(ctx, gen)
	if err != nil {
		return nil, err
	}
	out := map[bucket]digest{}
	for _, name := range names {
		at, _ := x.parse(name)
		month := strings.ReplaceAll(at.month, ".", "-")
		if err := x.indexDigests(ctx, name, month, query, out); err != nil {
			return nil, fmt.Errorf("compare %s: %w", name, err)
		}
	}
	return out, nil
}

// indexDigests adds the digests of one index, by pages of tenants.
func (x *Index) indexDigests(ctx context.Context, name, month string, query clause, out map[bucket]digest) error {
	for after := (json.RawMessage)(nil); ; {
		composite := clause{"size": 1000, "sources": []clause{{"tenant": clause{"terms": clause{"field": "tenant"}}}}}
		if after != nil {
			composite["after"] = after
		}
		body := mustJSON(clause{"size": 0, "query": query, "aggs": clause{
			"tenants": clause{"composite": composite, "aggs": clause{"digest": clause{"sum": clause{"field": "digest"}}}},
		}})
		var answer struct {
			Shards       shardAnswer `json:"_shards"`
			Aggregations struct {
				Tenants struct {
					After   json.RawMessage `json:"after_key"`
					Buckets []struct {
						Key    struct{ Tenant string }
						Count  int64 `json:"doc_count"`
						Digest struct{ Value float64 }
					}
				}
			}
		}
		err := x.server.do(ctx, http.MethodPost, "/"+name+"/_search?allow_partial_search_results=false", body, &answer)
		if err == nil {
			err = answer.Shards.check("search")
		}
		if err != nil {
			return err
		}
		for _, b := range answer.Aggregations.Tenants.Buckets {
			tenant, err := eventstore.ParseTenantID(b.Key.Tenant)
			if err != nil {
				return err
			}
			key := bucket{tenant, month}
			d := out[key]
			out[key] = digest{d.count + b.Count, d.sum + b.Digest.Value}
		}
		if after = answer.Aggregations.Tenants.After; after == nil {
			return nil
		}
	}
}

// differing are the buckets that are not alike.
func differing(have, want map[bucket]digest) (out []bucket) {
	all := maps.Clone(want)
	maps.Copy(all, have)
	for key := range all {
		if have[key] != want[key] {
			out = append(out, key)
		}
	}
	return out
}

// differences tells of the suspects that are not alike.
func differences(have, want map[bucket]digest, suspects []bucket) (out []Difference) {
	for _, key := range suspects {
		if have[key] != want[key] {
			out = append(out, Difference{key.tenant, key.month, have[key].count, want[key].count})
		}
	}
	slices.SortFunc(out, func(a, b Difference) int {
		return cmp.Or(slices.Compare(a.Tenant[:], b.Tenant[:]), cmp.Compare(a.Month, b.Month))
	})
	return out
}

// mustJSON encodes what is always encodable.
func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}
