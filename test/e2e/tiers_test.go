package e2e

import (
	"testing"

	"auditlog/test/stack"
)

// tiers are the ways to run the service that must answer alike. The retention floor is low enough for a cleanup.
var tiers = []struct {
	name  string
	serve func(t *testing.T) *server
}{
	{"embedded", func(t *testing.T) *server { return serve(t, t.TempDir(), "--retention-floor", "1s") }},
	{"distributed", func(t *testing.T) *server {
		w := newWorld(t)
		return w.server(w.API(), w.Worker())
	}},
}

// onBothTiers runs a test on either tier.
func onBothTiers(t *testing.T, test func(*server)) {
	for _, tier := range tiers {
		t.Run(tier.name, func(t *testing.T) { test(tier.serve(t)) })
	}
}

// world is a service of the distributed tier.
type world struct {
	*stack.World
	t *testing.T
}

func newWorld(t *testing.T) world {
	t.Helper()
	w := world{stack.New(t, binary, servers(t)), t}
	w.Settings["AUDITLOG_RETENTION_FLOOR"] = "1s"
	return w
}

// server is what the clients of a new tenant see, over one API; projections are rebuilt by one worker.
func (w world) server(api, worker *stack.Node) *server {
	w.t.Helper()
	tenant := w.Tenant(api, "demo")
	return &server{t: w.t, url: api.URL, ops: worker.Ops, tenant: tenant.ID, tokens: tenant.Tokens}
}

// over is the same service over another API.
func (s *server) over(api *stack.Node) *server {
	c := *s
	c.url = api.URL
	return &c
}
