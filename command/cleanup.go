package command

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"auditlog/eventstore"
	"auditlog/eventstore/format"
	"auditlog/internal/canon"
	"auditlog/internal/fault"
)

// CleanupAnswer is what ordering a cleanup yields: Matching for a dry run, else the job.
type CleanupAnswer struct {
	Matching int64
	ID       eventstore.EventID
	Status   string
	Started  bool // by this call; false: the same one was running already
}

// Cleanup hides the tenant's events recorded before a time at once, and has them removed. Errors: Invalid (before lies in
// the future), RetentionFloor, Conflict (another cleanup is running), NotFound (no such tenant).
func (c *Commands) Cleanup(ctx context.Context, who Caller, before time.Time, dryRun bool) (CleanupAnswer, error) {
	if _, err := c.Tenant(ctx, who.Tenant); err != nil {
		return CleanupAnswer{}, err
	}
	now, limit := c.opts.Now(), eventstore.MicrosOf(before)
	switch {
	case before.After(now):
		return CleanupAnswer{}, fault.At(fault.Invalid, "?before", "must not lie in the future")
	case before.After(now.Add(-c.opts.RetentionFloor)):
		return CleanupAnswer{}, fault.At(fault.RetentionFloor, "?before", "lies inside the time for which entries must be kept")
	}
	if dryRun {
		n, err := c.life.Matching(ctx, who.Tenant, limit)
		if err != nil {
			return CleanupAnswer{}, fmt.Errorf("count what a cleanup matches: %w", err)
		}
		return CleanupAnswer{Matching: n}, nil
	}
	p, started, err := c.life.Purge(ctx, who.Tenant, limit, func(p eventstore.Purge) (eventstore.Draft, error) {
		return c.purged(ctx, who, p)
	})
	if err != nil {
		return CleanupAnswer{}, fmt.Errorf("order a cleanup: %w", err)
	}
	return CleanupAnswer{ID: p.ID, Status: p.Status, Started: started}, nil
}

// purged drafts the event that says what a purge took. It is the purge's certificate: its private part names the range,
// the limit and who asked.
func (c *Commands) purged(ctx context.Context, who Caller, p eventstore.Purge) (eventstore.Draft, error) {
	m := append([]byte(`{"before":"`), p.Before.String()...)
	m = append(m, `","first":`...)
	m = strconv.AppendInt(m, int64(p.First), 10)
	m = append(m, `,"last":`...)
	m = strconv.AppendInt(m, int64(p.Last), 10)
	m = append(m, `,"requested_by":`...)
	m = append(canon.AppendString(m, who.Sub), '}')
	return c.about(ctx, who,
		format.Public{
			ID: p.ID, Type: eventstore.LifecyclePurged, Action: string(eventstore.LifecyclePurged), ActorType: "user",
			ResourceType: "tenant", Severity: severities[0], Outcome: outcomes[0],
		},
		format.Private{Actor: format.Actor{ID: who.Sub}, Resource: format.Resource{ID: who.Tenant.String()}, Metadata: m})
}

// CleanupJob is how far a cleanup got.
type CleanupJob struct {
	ID          eventstore.EventID
	Status      string // "running" or "done"
	Before      eventstore.Micros
	First, Last eventstore.Position // Last < First: nothing matched
	Matching    int64
	Removed     int64
	RequestedAt eventstore.Micros
	CompletedAt eventstore.Micros // 0 while running
	Certificate Certificate
}

// Certificate says what was removed, when, and on whose order; the event EventID at Position holds the same, sealed into
// the tenant's log.
type Certificate struct {
	Tenant      eventstore.TenantID
	First, Last eventstore.Position
	Before      eventstore.Micros
	RequestedBy string
	EventID     eventstore.EventID
	Position    eventstore.Position
	CompletedAt eventstore.Micros // 0 while running
}

// CleanupJob reads one cleanup of the tenant by the id that Cleanup gave. Errors: NotFound.
func (c *Commands) CleanupJob(ctx context.Context, tenant eventstore.TenantID, id eventstore.EventID) (CleanupJob, error) {
	purges, err := c.store.Purges(ctx, tenant)
	if err != nil {
		return CleanupJob{}, fmt.Errorf("read cleanups: %w", err)
	}
	for _, p := range purges {
		if p.ID == id {
			return c.job(ctx, p)
		}
	}
	return CleanupJob{}, fault.New(fault.NotFound, "there is no such cleanup")
}

func (c *Commands) job(ctx context.Context, p eventstore.Purge) (CleanupJob, error) {
	by, err := c.requestedBy(ctx, p)
	if err != nil {
		return CleanupJob{}, err
	}
	return CleanupJob{
		ID: p.ID, Status: p.Status, Before: p.Before, First: p.First, Last: p.Last, Removed: p.Removed,
		Matching: max(0, int64(p.Last-p.First)+1), RequestedAt: p.RequestedAt, CompletedAt: p.CompletedAt,
		Certificate: Certificate{
			Tenant: p.Tenant, First: p.First, Last: p.Last, Before: p.Before, RequestedBy: by,
			EventID: p.ID, Position: p.Position, CompletedAt: p.CompletedAt,
		},
	}, nil
}

// requestedBy reads who asked from the purge's event; "" once that event itself was purged.
func (c *Commands) requestedBy(ctx context.Context, p eventstore.Purge) (string, error) {
	ev, err := c.store.Get(ctx, p.Tenant, p.ID)
	if fault.Is(err, fault.Purged) || fault.Is(err, fault.NotFound) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read a cleanup's event: %w", err)
	}
	opened, err := c.opener.Open(ctx, ev)
	if err != nil || opened.Priv == nil {
		return "", err
	}
	return opened.Priv.Emitter, nil
}
