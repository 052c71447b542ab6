package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"auditlog/eventstore"
	"auditlog/internal/app"
	"auditlog/transport/httpapi/auth"
)

type serveCmd struct {
	serviceFlags `embed:""`
	Quickstart   bool `env:"AUDITLOG_QUICKSTART" help:"Create the tenant \"demo\" if it is not there, and print a token for each role and requests to paste."`
	BenchNull    bool `hidden:"" help:"Add the route that bench compares with."`
}

// Run serves until a signal comes or a part fails.
func (c *serveCmd) Run(ctx context.Context, s streams) error {
	cfg := c.config()
	cfg.BenchNull = c.BenchNull
	if err := cfg.Validate(); err != nil {
		return usage(err)
	}
	a, err := app.Start(ctx, cfg, c.logger(s.err))
	if err != nil {
		return err
	}
	if c.Quickstart {
		err = quickstart(ctx, a, s.out)
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
