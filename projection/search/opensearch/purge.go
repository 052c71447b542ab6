package opensearch

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"auditlog/eventstore"
)

// purge raises watermarks first, so that whoever writes a late document takes it back, and removes what lies at or below
// them. Cut off half way it is begun again, since the purge event's range is not recorded yet.
func (x *Index) purge(ctx context.Context, gen int, watermarks map[eventstore.TenantID]eventstore.Position) error {
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
		if err := x.deleteBelow(ctx, gen, group, tenant, last); err != nil {
			return err
		}
	}
	return nil
}

// deleteBelow removes a tenant's documents. What changes under it is its writer's to take back.
func (x *Index) deleteBelow(ctx context.Context, gen int, group string, tenant eventstore.TenantID, last eventstore.Position) error {
	noted, err := x.cfg.State.Indices(ctx, gen)
	if err != nil {
		return err
	}
	prefix := fmt.Sprintf("%s-g%d-%s-", x.cfg.Prefix, gen, group)
	query := fmt.Appendf(nil, `{"query":{"bool":{"filter":[{"term":{"tenant":%q}},{"range":{"position":{"lte":%d}}}]}}}`, tenant, last)
	for _, name := range noted {
		if len(name) != len(prefix)+len("2006.01") || name[:len(prefix)] != prefix {
			continue
		}
		if err := x.cfg.State.Scrub(ctx, gen, name); err != nil {
			return err
		}
		if err := x.deleteByQuery(ctx, name, tenant, query); err != nil {
			return fmt.Errorf("purge %s: %w", name, err)
		}
	}
	return nil
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

// dropPurged takes back documents that were written at or below a watermark. It is asked after the write: either it sees
// the watermark, or the purge that raises it sees the documents.
func (x *Index) dropPurged(ctx context.Context, gen int, documents []document, names []string) error {
	marks := map[eventstore.TenantID]eventstore.Position{}
	var items []item
	for i := range documents {
		d := &documents[i]
		last, ok := marks[d.tenant]
		if !ok {
			var err error
			if last, err = x.cfg.State.Purged(ctx, gen, d.tenant); err != nil {
				return err
			}
			marks[d.tenant] = last
		}
		if d.position > last {
			continue
		}
		if err := x.cfg.State.Scrub(ctx, gen, names[i]); err != nil {
			return err
		}
		items = append(items, deleteItem(names[i], d))
	}
	return x.write(ctx, items)
}
