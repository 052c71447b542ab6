package app

import (
	"context"
	"maps"
	"net/http"
	"slices"

	"auditlog/eventstore"
	"auditlog/projection"
	"auditlog/transport/httpapi"
)

// opsHandler shows health, metrics and operations.
func (a *App) opsHandler() http.Handler {
	checks, required := a.checks()
	return httpapi.OpsHandler(httpapi.OpsDeps{
		Checks: checks, Required: required, Draining: a.draining.Load, Metrics: a.meters.registry,
		Extra: map[string]http.Handler{
			"POST /ops/rebuild":       http.HandlerFunc(a.serveRebuild),
			"GET /ops/parked":         http.HandlerFunc(a.serveParked),
			"POST /ops/parked/replay": http.HandlerFunc(a.serveParkedReplay),
		},
	})
}

// checks are what readiness looks at, and those without which the process is not ready. An append needs the event store
// and the keys; what a projection lacks makes reads late, not writes impossible. Workers alone are of no use without
// anything of theirs.
func (a *App) checks() (checks map[string]func(context.Context) error, required []string) {
	p := a.parts
	checks = map[string]func(context.Context) error{"event_store": p.store.Ping}
	required = []string{"event_store"}
	if p.keys != nil {
		checks["keys"] = p.keys
		required = append(required, "keys")
	}
	if !a.cfg.Parts.embeddedSearch() {
		checks["search"] = p.search.ping
	}
	if a.pipeline != nil && a.pipeline.queues != nil {
		checks["bus"] = a.pipeline.queues
	}
	for _, projector := range p.projectors(Projections) {
		checks["projection_"+projector.Name()] = func(ctx context.Context) error { return a.readable(ctx, projector) }
	}
	if !a.cfg.serves() {
		required = slices.Collect(maps.Keys(checks))
	}
	return checks, required
}

// readable tells whether a projection's file or database answers.
func (a *App) readable(ctx context.Context, p projection.Projector) error {
	for shard := range a.parts.store.Shards() {
		if _, err := p.Progress(ctx, eventstore.Shard(shard)); err != nil {
			return err
		}
	}
	return nil
}
