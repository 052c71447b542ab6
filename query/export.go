package query

import (
	"bytes"
	"context"
	"time"

	"auditlog/eventstore"
	"auditlog/internal/criteria"
	"auditlog/internal/entry"
)

// ExportRequest asks for every match, in ascending position.
type ExportRequest struct {
	Criteria    criteria.Criteria
	MinPosition eventstore.Position // as in SearchRequest
	Wait        time.Duration
}

// ExportResult tells what a whole export held.
type ExportResult struct {
	Count      int
	CompleteTo CompleteTo
}

// ExportSink takes an export. Begin comes first, once nothing about the request can be refused any more; End comes last
// and only when the export is whole.
type ExportSink interface {
	Begin() error
	Entry(e *entry.Entry) error
	End(r ExportResult) error
}

// Export gives every match to the sink, one page in memory at a time. An error before Begin is an answer to the request;
// one after it means that the output was cut: it has no end, and its receiver must not be shown one.
func (q *Queries) Export(ctx context.Context, r Reader, req ExportRequest, sink ExportSink) (ExportResult, error) {
	check := SearchRequest{Criteria: req.Criteria, MinPosition: req.MinPosition, Wait: req.Wait}
	if err := check.check(); err != nil {
		return ExportResult{}, err
	}
	if err := r.checkKind(req.Criteria.Kind); err != nil {
		return ExportResult{}, err
	}
	to, head, err := q.completeTo(ctx, r.Tenant, req.MinPosition, req.Wait)
	if err != nil {
		return ExportResult{}, err
	}
	all := restrictsNothing(&req.Criteria)
	if all && head.Position > to.Position { // the store needs no index
		to = CompleteTo{Position: head.Position, RecordedAt: head.RecordedAt}
	}
	if err := sink.Begin(); err != nil {
		return ExportResult{}, err
	}
	result := ExportResult{CompleteTo: to}
	give := func(e *entry.Entry) error {
		result.Count++
		return sink.Entry(e)
	}
	if all {
		err = q.exportAll(ctx, r.Tenant, req.Criteria.Kind, to.Position, give)
	} else {
		err = q.exportMatches(ctx, IndexQuery{
			Tenant: r.Tenant, Criteria: req.Criteria, Sort: Sort{Ascending: true}, Floor: head.Purged, Bound: to.Position,
		}, give)
	}
	if err != nil {
		return ExportResult{}, err
	}
	return result, sink.End(result)
}

// restrictsNothing tells criteria that ask for every entry of their kind.
func restrictsNothing(c *criteria.Criteria) bool {
	bare := criteria.Criteria{Kind: c.Kind}
	return bytes.Equal(c.AppendCanonical(nil), bare.AppendCanonical(nil))
}

// exportAll walks the store up to bound.
func (q *Queries) exportAll(ctx context.Context, tenant eventstore.TenantID, kind criteria.Kind, bound eventstore.Position, give func(*entry.Entry) error) error {
	c := criteria.Criteria{Kind: kind}
	var entries []entry.Entry
	for after := eventstore.Position(0); after < bound; {
		events, err := q.store.ReadTenant(ctx, tenant, after, q.o.PageEvents)
		if err != nil {
			return err
		}
		if len(events) == 0 {
			return nil // what is left was purged meanwhile
		}
		after = events[len(events)-1].Position
		if entries, err = q.fold(ctx, tenant, entries[:0], upTo(events, bound)); err != nil {
			return err
		}
		for i := range entries {
			if !c.Match(&entries[i]) {
				continue
			}
			if err := give(&entries[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// upTo cuts ascending events at a position.
func upTo(events []eventstore.Event, bound eventstore.Position) []eventstore.Event {
	for i := range events {
		if events[i].Position > bound {
			return events[:i]
		}
	}
	return events
}

// exportMatches walks the index.
func (q *Queries) exportMatches(ctx context.Context, query IndexQuery, give func(*entry.Entry) error) error {
	w := walk{q: q, query: query, want: q.o.PageEvents}
	for !w.ended {
		var hits []hit
		err := q.within(ctx, func(ctx context.Context) (err error) {
			hits, err = w.fill(ctx)
			return err
		})
		if err != nil {
			return err
		}
		for i := range hits {
			if err := give(&hits[i].entry); err != nil {
				return err
			}
		}
		if len(hits) < w.want {
			return nil
		}
	}
	return nil
}
