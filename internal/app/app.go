package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"auditlog/command"
	"auditlog/eventstore"
	"auditlog/internal/fault"
	"auditlog/projection/feed"
	"auditlog/query"
	"auditlog/transport/httpapi"
	"auditlog/transport/httpapi/auth"
)

// App is a running service. Make it with Start, end it with Stop.
type App struct {
	cfg    Config
	log    *slog.Logger
	secret []byte
	meters *meters
	failed chan error // the first part that ended by itself

	public, ops net.Listener // public is nil for workers alone
	parts       *parts
	appender    *command.Appender // nil for workers alone, as the next two
	commands    *command.Commands
	server      *httpapi.Server
	live        *stage    // the feed
	pipeline    *pipeline // nil for requests alone
	opsServer   *http.Server
	serving     *stage
	draining    atomic.Bool

	stopping sync.Once
	stopped  error
}

// Start wires and starts the service; it can take an entry when Start returns. What fails to start leaves nothing behind.
func Start(ctx context.Context, cfg Config, log *slog.Logger) (_ *App, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	failed := make(chan error, 1)
	a := &App{cfg: cfg.withDefaults(), log: log, meters: newMeters(), failed: failed, live: newStage(failed), serving: newStage(failed)}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.stop(context.WithoutCancel(ctx)))
		}
	}()
	if err := a.listen(ctx); err != nil {
		return nil, err
	}
	if a.parts, err = openParts(ctx, a.cfg, log); err != nil {
		return nil, err
	}
	if a.cfg.KeysRestored {
		if err := a.parts.startEpochs(ctx); err != nil {
			return nil, err
		}
	}
	if a.cfg.works() {
		if a.pipeline, err = startPipeline(ctx, a.parts, a.cfg, log, a.meters, failed); err != nil {
			return nil, err
		}
	}
	if a.cfg.serves() {
		if err := a.serve(ctx); err != nil {
			return nil, err
		}
	}
	a.serveOps()
	a.serving.run("pace of the collector", paceCollector)
	log.InfoContext(ctx, "ready", a.cfg.Parts.describe("addr", a.Addr(), "ops_addr", a.OpsAddr())...)
	return a, nil
}

// listen takes the ports first, so that a taken one is told before anything is made.
func (a *App) listen(ctx context.Context) (err error) {
	var lc net.ListenConfig
	if a.cfg.serves() {
		if a.public, err = lc.Listen(ctx, "tcp", a.cfg.Addr); err != nil {
			return fmt.Errorf("%s: %w", setAddr, err)
		}
	}
	if a.ops, err = lc.Listen(ctx, "tcp", a.cfg.OpsAddr); err != nil {
		return fmt.Errorf("%s: %w", setOps, err)
	}
	return nil
}

// serve makes both sides and puts HTTP before them.
func (a *App) serve(ctx context.Context) (err error) {
	p := a.parts
	if a.secret, err = a.cfg.SigningSecret(); err != nil {
		return err
	}
	verifier, err := auth.NewHS256(a.secret, a.cfg.JWTIssuer, nil)
	if err != nil {
		return err
	}
	cursors, err := cursorSecret(a.secret)
	if err != nil {
		return err
	}
	grouping := command.AppenderOptions{QueueEntries: a.cfg.QueueEntries, QueueBytes: a.cfg.QueueBytes, Observer: a.meters}
	if a.cfg.BenchAlone {
		grouping.FlushEntries = 1
	}
	a.appender = command.NewAppender(p.store, p.store.Shards(), grouping)
	a.meters.lanes(p.store.Shards(), a.appender.Waiting)
	a.commands = command.New(p.store, p.lifecycle, p.ring, a.appender, command.Options{RetentionFloor: a.cfg.RetentionFloor})
	live := feed.New(p.store, p.opener(), feed.Options{Log: a.log})
	a.live.run("live feed", live.Run)
	queries := query.New(p.store, p.opener(), p.search, p.stats, live, cursors, query.Options{})
	rates, err := a.rates(ctx)
	if err != nil {
		return err
	}
	proxies, err := a.cfg.Limits.proxies()
	if err != nil {
		return named(setTrustedProxies, err)
	}
	a.server = httpapi.New(
		httpapi.Deps{Commands: a.commands, Queries: queries, Tenants: p.store, Verifier: verifier, Rates: rates, Log: a.log, Metrics: a.meters.registry},
		httpapi.Config{Origins: a.cfg.Origins, InFlight: a.cfg.Limits.inFlight(), TrustedProxies: proxies, BenchNull: a.cfg.BenchNull, Version: a.cfg.Version},
	)
	a.serving.run("public listener", func(context.Context) error { return a.server.Serve(a.public) })
	return nil
}

func (a *App) serveOps() {
	a.opsServer = &http.Server{
		Handler: a.opsHandler(), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute,
		ErrorLog: slog.NewLogLogger(a.log.Handler(), slog.LevelDebug),
	}
	a.serving.run("ops listener", func(context.Context) error { return a.opsServer.Serve(a.ops) })
}

// Addr is the public listener's address, host:port; "" for workers alone.
func (a *App) Addr() string {
	if a.public == nil {
		return ""
	}
	return a.public.Addr().String()
}

// OpsAddr is the ops listener's address, host:port.
func (a *App) OpsAddr() string { return a.ops.Addr().String() }

// Wait returns nil when ctx ends, or the error of the first part that failed by itself. Stop is due in either case.
func (a *App) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-a.failed:
		return err
	}
}

// Stop drains within the configured time, or until ctx ends, then closes everything. Stopping again gives the same answer.
func (a *App) Stop(ctx context.Context) error {
	a.stopping.Do(func() {
		a.log.InfoContext(ctx, "stopping", "drain", a.cfg.Drain)
		a.stopped = a.stop(ctx)
	})
	return a.stopped
}

// stop takes down what is up, in the direction in which data flows.
func (a *App) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, a.cfg.Drain)
	defer cancel()
	var all []error
	a.draining.Store(true)
	if a.server != nil {
		all = append(all, a.server.Shutdown(ctx))
	}
	if a.appender != nil {
		all = append(all, a.appender.Close(ctx))
	}
	if a.pipeline != nil {
		all = append(all, a.pipeline.stop(ctx))
	}
	all = append(all, a.live.stop(ctx))
	if a.opsServer != nil {
		all = append(all, a.opsServer.Close())
	}
	for _, l := range []net.Listener{a.public, a.ops} {
		if l != nil {
			if err := l.Close(); !errors.Is(err, net.ErrClosed) {
				all = append(all, err)
			}
		}
	}
	all = append(all, a.serving.stop(ctx))
	if a.parts != nil {
		all = append(all, a.parts.close())
	}
	return errors.Join(all...)
}

// EnsureTenant is the tenant of that slug, created when there is none.
func (a *App) EnsureTenant(ctx context.Context, slug, name string) (eventstore.Tenant, error) {
	t, err := a.parts.store.TenantBySlug(ctx, slug)
	if !fault.Is(err, fault.NotFound) {
		return t, err
	}
	return a.commands.CreateTenant(ctx, command.Caller{Sub: "auditlog serve", Roles: []string{"admin"}},
		command.NewTenant{Slug: slug, Name: name, RetentionDays: command.DefaultRetentionDays})
}

// Token mints a token that this service accepts.
func (a *App) Token(g auth.Grant) (string, error) {
	g.Issuer = a.cfg.JWTIssuer
	return auth.Mint(a.secret, g)
}
