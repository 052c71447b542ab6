package query

import (
	"context"
	"slices"
	"time"

	"auditlog/eventstore"
	"auditlog/internal/fault"
)

// Bounds of stats.
const (
	MaxBuckets   = 1500
	DefaultRange = 30 * 24 * time.Hour
	MaxRange     = 366 * 24 * time.Hour
	hourlyRange  = 7 * 24 * time.Hour // longer ranges count by day unless asked otherwise
)

var (
	intervals  = map[string]time.Duration{"minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour}
	groupings  = []string{"", "action", "severity", "outcome", "resource_type", "actor_id"}
	errBuckets = "the range holds more than 1500 buckets; ask for a longer interval or a shorter range"
)

// StatsRequest asks for counts of entries by occurred_at.
type StatsRequest struct {
	From, To *eventstore.Micros // half-open; To is the end of this minute by default, From 30 days before To
	Interval string             // "minute", "hour" or "day"; "": hour for up to 7 days, else day
	GroupBy  string             // as in StatsQuery

	Actions, Severities, Outcomes, ResourceTypes []string
	ActorID                                      string
}

// StatsAnswer is the counts with the range and interval that were decided on.
type StatsAnswer struct {
	Stats
	From, To   eventstore.Micros
	Interval   string
	CompleteTo CompleteTo
}

// Stats counts entries. Ranges of more than MaxRange and those that end before they start are Invalid; more than
// MaxBuckets is TooManyBuckets; an empty range counts nothing.
func (q *Queries) Stats(ctx context.Context, r Reader, req StatsRequest) (StatsAnswer, error) {
	query, err := q.statsQuery(r.Tenant, req)
	if err != nil {
		return StatsAnswer{}, err
	}
	answer := StatsAnswer{From: query.From, To: query.To, Interval: query.Interval}
	err = q.within(ctx, func(ctx context.Context) error {
		head, err := q.store.Head(ctx, r.Tenant)
		if err != nil {
			return err
		}
		// Before the counts, so that they hold at least what the answer says.
		if answer.CompleteTo, err = q.visible(ctx, r.Tenant, head.Shard, q.rollups); err != nil || query.From == query.To {
			return err
		}
		if err = q.forgotten(ctx, r.Tenant, head, q.rollups); err != nil {
			return err
		}
		answer.Stats, err = q.rollups.Stats(ctx, query)
		return costly(ctx, err)
	})
	return answer, err
}

// statsQuery fills in defaults and checks bounds.
func (q *Queries) statsQuery(tenant eventstore.TenantID, req StatsRequest) (StatsQuery, error) {
	s := StatsQuery{
		Tenant: tenant, Interval: req.Interval, GroupBy: req.GroupBy, Actions: req.Actions, Severities: req.Severities,
		Outcomes: req.Outcomes, ResourceTypes: req.ResourceTypes, ActorID: req.ActorID,
	}
	s.From, s.To = q.statsRange(req)
	length := s.To.Time().Sub(s.From.Time())
	if s.Interval == "" {
		s.Interval = "day"
		if length <= hourlyRange {
			s.Interval = "hour"
		}
	}
	var broken []fault.Field
	refuse := func(kind fault.Kind, parameter, detail string) {
		broken = append(broken, fault.Field{Kind: kind, Pointer: "?" + parameter, Detail: detail})
	}
	switch {
	case s.From > s.To:
		refuse(fault.Invalid, "from", "from must not be after to")
	case length > MaxRange:
		refuse(fault.Invalid, "from", "stats cover at most 366 days")
	}
	if !slices.Contains(groupings, s.GroupBy) {
		refuse(fault.Invalid, "group_by", "group_by must be action, severity, outcome, resource_type or actor_id")
	}
	if every, ok := intervals[s.Interval]; !ok {
		refuse(fault.Invalid, "interval", "interval must be minute, hour or day")
	} else if len(broken) == 0 && countBuckets(s.From, s.To, every) > MaxBuckets {
		refuse(fault.TooManyBuckets, "interval", errBuckets)
	}
	return s, fault.Of(broken)
}

// statsRange is the range with its defaults. They lie on minutes, where counting is cheapest.
func (q *Queries) statsRange(req StatsRequest) (from, to eventstore.Micros) {
	to = eventstore.MicrosOf(q.o.Now().Truncate(time.Minute).Add(time.Minute))
	if req.To != nil {
		to = *req.To
	}
	if req.From != nil {
		return *req.From, to
	}
	return to - eventstore.Micros(DefaultRange.Microseconds()), to
}

// countBuckets is how many intervals a half-open range touches.
func countBuckets(from, to eventstore.Micros, every time.Duration) int64 {
	if from >= to {
		return 0
	}
	width := eventstore.Micros(every.Microseconds())
	return int64(floorDiv(to-1, width) - floorDiv(from, width) + 1)
}

func floorDiv(a, b eventstore.Micros) eventstore.Micros {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
