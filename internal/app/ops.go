package app

import (
	"context"
	"net/http"

	"auditlog/eventstore"
	"auditlog/projection"
	"auditlog/transport/httpapi"
)

// opsHandler shows health, metrics and operations. An append needs the event store alone; what a projection lacks makes
// reads late, not writes impossible.
func (a *App) opsHandler() http.Handler {
	f := a.files
	checks := map[string]func(context.Context) error{"event_store": f.store.Ping}
	for _, p := range []projection.Projector{f.search, f.stats, f.find, f.forget} {
		checks["projection_"+p.Name()] = func(ctx context.Context) error { return a.readable(ctx, p) }
	}
	return httpapi.OpsHandler(httpapi.OpsDeps{
		Checks: checks, Required: []string{"event_store"}, Draining: a.server.Draining, Metrics: a.meters.registry,
		Extra: map[string]http.Handler{
			"POST /ops/rebuild":       http.HandlerFunc(a.serveRebuild),
			"GET /ops/parked":         http.HandlerFunc(a.serveParked),
			"POST /ops/parked/replay": http.HandlerFunc(a.serveParkedReplay),
		},
	})
}

// readable tells whether a projection's file answers.
func (a *App) readable(ctx context.Context, p projection.Projector) error {
	for shard := range a.files.store.Shards() {
		if _, err := p.Progress(ctx, eventstore.Shard(shard)); err != nil {
			return err
		}
	}
	return nil
}
