package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"time"

	"auditlog/eventstore"
	"auditlog/internal/app"
	"auditlog/transport/httpapi/auth"
)

type serveCmd struct {
	apiFlags   `embed:""`
	Workers    string `env:"AUDITLOG_WORKERS" default:"on" enum:"on,off" help:"Relay, projections, erasure and purge work in this process: ${enum} (${default}). While no process does it, reads do not see new entries."`
	Quickstart bool   `env:"AUDITLOG_QUICKSTART" help:"Create the tenant \"demo\" if it is not there, and print a token for each role and requests to paste."`
}

// Run serves until a signal comes or a part fails.
func (c *serveCmd) Run(ctx context.Context, s streams) error {
	cfg := c.config()
	cfg.WorkersOff = c.Workers == "off"
	return serve(ctx, cfg, c.logger(s.err), func(a *app.App) error {
		if !c.Quickstart {
			return nil
		}
		return quickstart(ctx, a, s.out)
	})
}

type apiCmd struct {
	apiFlags `embed:""`
}

// Run answers requests until a signal comes or a part fails.
func (c *apiCmd) Run(ctx context.Context, s streams) error {
	cfg := c.config()
	cfg.Duty = app.APIOnly
	return serve(ctx, cfg, c.logger(s.err), nil)
}

type workerCmd struct {
	dataFlags   `embed:""`
	opsFlags    `embed:""`
	Projections []string `env:"AUDITLOG_WORKER_PROJECTIONS" placeholder:"NAME" help:"Projections that this process applies: search, stats, find, forget (all). Others need workers of their own."`
	logFlags    `embed:""`
}

// Run works until a signal comes or a part fails.
func (c *workerCmd) Run(ctx context.Context, s streams) error {
	cfg := c.config()
	cfg.Duty, cfg.Only, cfg.OpsAddr, cfg.Drain = app.WorkersOnly, c.Projections, c.OpsAddr, c.Drain
	return serve(ctx, cfg, c.logger(s.err), nil)
}

// serve runs a process of the service. started, when not nil, is called once it is up.
func serve(ctx context.Context, cfg app.Config, log *slog.Logger, started func(*app.App) error) error {
	if err := cfg.Validate(); err != nil {
		return usage(err)
	}
	a, err := app.Start(ctx, cfg, log)
	if err != nil {
		return err
	}
	if started != nil {
		err = started(a)
	}
	if err == nil {
		err = a.Wait(ctx)
	}
	return errors.Join(err, a.Stop(context.WithoutCancel(ctx)))
}

// quickTTL is how long the tokens of a quick start are good for.
const quickTTL = 24 * time.Hour

// quickstart prints all that a first request takes.
func quickstart(ctx context.Context, a *app.App, w io.Writer) error {
	tenant, err := a.EnsureTenant(ctx, "demo", "Demo")
	if err != nil {
		return fmt.Errorf("quickstart: %w", err)
	}
	tokens, err := quickTokens(a, tenant.ID)
	if err != nil {
		return fmt.Errorf("quickstart: %w", err)
	}
	var b strings.Builder
	url, ops := "http://"+dialable(a.Addr()), "http://"+dialable(a.OpsAddr())
	fmt.Fprintf(&b, "auditlog serves %s (docs at %s/docs, health at %s/readyz)\n\n", url, url, ops)
	fmt.Fprintf(&b, "tenant demo: %s\ntokens, good for %v:\n", tenant.ID, quickTTL)
	for _, role := range quickRoles {
		fmt.Fprintf(&b, "  %-12s %s\n", role, tokens[role])
	}
	fmt.Fprintf(&b, "\nrecord an entry, then list the newest:\n\n")
	fmt.Fprintf(&b, "curl -sS %s/api/v1/logs -H 'Authorization: Bearer %s' -H 'Content-Type: application/json' "+
		`-d '{"action":"document.shared","actor":{"id":"ann"},"resource":{"type":"document","id":"42"},"message":"shared with bob"}'`+"\n\n", url, tokens["writer"])
	fmt.Fprintf(&b, "curl -sS '%s/api/v1/logs?limit=5' -H 'Authorization: Bearer %s'\n\n", url, tokens["reader"])
	_, err = io.WriteString(w, b.String())
	return err
}

var quickRoles = []string{"writer", "reader", "auditor", "tenant_admin", "admin"}

func quickTokens(a *app.App, tenant eventstore.TenantID) (map[string]string, error) {
	tokens := map[string]string{}
	for _, role := range quickRoles {
		g := auth.Grant{Subject: "demo-" + role, Tenant: tenant.String(), Roles: []string{role}, IssuedAt: time.Now(), TTL: quickTTL}
		switch role {
		case "admin": // belongs to the platform, not to a tenant
			g.Tenant = ""
		case "reader":
			g.Rights = []string{auth.RightExport}
		}
		token, err := a.Token(g)
		if err != nil {
			return nil, err
		}
		tokens[role] = token
	}
	return tokens, nil
}

// dialable is a listener's address as a client on this machine reaches it.
func dialable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); err == nil && ip != nil && ip.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return addr
}
