package httpapi

import (
	"context"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"auditlog/eventstore"
	"auditlog/internal/fault"
	"auditlog/transport/httpapi/auth"
)

// serve makes Echo's handler for a route: every check in the order in which a client should hear of them, then the
// route's own work.
func (s *Server) serve(rt *route) echo.HandlerFunc {
	return func(c echo.Context) error {
		r, err := s.admit(c, rt)
		if err != nil {
			return unread(err, c.Request())
		}
		defer func() { r.stop() }()
		if err := s.enter(r); err != nil {
			s.leave(r)
			return unread(err, r.Request)
		}
		defer s.leave(r)
		if rt.body == nil {
			s.startClock(c.Response(), r)
		}
		return rt.handle(s, c.Response(), r)
	}
}

// startClock begins the time for the work on a request, and the one for its answer behind that, once the request is there
// whole: how long a body takes to arrive has bounds of its own.
func (s *Server) startClock(w http.ResponseWriter, r *request) {
	timeout := r.route.timeout
	switch {
	case timeout < 0:
		return
	case timeout == 0:
		timeout = s.cfg.HandlerTimeout
	}
	r.ctx, r.stop = context.WithTimeout(r.ctx, timeout)
	writeBy(w, timeout+s.cfg.WriteTimeout)
}

// admit checks credential, tenant, role, rates, representation and parameters.
func (s *Server) admit(c echo.Context, rt *route) (*request, error) {
	if s.allow.literal[c.Request().URL.Path] != "" && strings.Contains(rt.path, ":") {
		return nil, errMethod // e.g. GET /logs/bulk, which would be taken for an id
	}
	r := &request{Request: c.Request(), route: rt, id: c.Response().Header().Get("X-Request-Id"), ctx: c.Request().Context(), stop: func() {}}
	r.given = clientRequestID(r.Header)
	pairs, err := splitQuery(r.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	if r.who, pairs, err = s.identify(r, pairs); err != nil {
		return nil, err
	}
	if err := s.authorize(r, pairs); err != nil {
		return nil, err
	}
	if err := s.charge(r); err != nil {
		return nil, err
	}
	if !rt.live {
		if err := acceptable(r.Header, rt.answerTypes()); err != nil {
			return nil, err
		}
	}
	if strings.HasSuffix(rt.path, "/:id") || strings.Contains(rt.path, "/:id/") {
		if r.entry, err = eventstore.ParseEventID(c.Param("id")); err != nil {
			return nil, fault.Wrap(fault.BadID, err, "an id is a UUID in its canonical form: lower-case digits with hyphens")
		}
	}
	r.args, err = rt.readArgs(pairs)
	return r, err
}

// identify finds out who asks, by the Authorization header or, where the route takes one, by a ticket.
func (s *Server) identify(r *request, pairs []pair) (*auth.Principal, []pair, error) {
	if r.route.live && len(r.Header["Authorization"]) == 0 {
		for i, p := range pairs {
			if p.name == "ticket" {
				grant, err := s.tickets.redeem(p.value)
				if err != nil {
					return nil, nil, err
				}
				r.tenant = grant.tenant
				return grant.who, append(pairs[:i:i], pairs[i+1:]...), nil
			}
		}
	}
	token, err := auth.Bearer(r.Header)
	if err != nil {
		return nil, nil, err
	}
	who, err := s.deps.Verifier.Verify(r.Context(), token)
	return who, pairs, err
}

// authorize checks role and tenant, and settles r.tenant.
func (s *Server) authorize(r *request, pairs []pair) error {
	if err := foreignTenant(r, pairs); err != nil {
		return err
	}
	if !r.route.allows(r.who) {
		return fault.New(fault.Forbidden, "the credential's roles do not allow this")
	}
	if err := s.nameTenant(r); err != nil {
		return err
	}
	if r.tenant.IsZero() {
		return nil
	}
	_, err := s.deps.Commands.Tenant(r.Context(), r.tenant)
	if fault.Is(err, fault.NotFound) && !r.who.Platform() {
		return fault.New(fault.TenantInactive, "the credential's tenant is not active") // not a hint whether it ever was
	}
	return err
}

// foreignTenant refuses attempts to name another tenant than the credential's, before anything else can be told from
// the answer.
func foreignTenant(r *request, pairs []pair) error {
	if r.who.Platform() {
		return nil
	}
	for _, named := range r.Header["X-Tenant-Id"] {
		if named != r.who.Tenant.String() {
			return fault.New(fault.TenantMismatch, "the credential is for another tenant")
		}
	}
	for _, p := range pairs {
		if p.name == "tenant_id" && p.value != r.who.Tenant.String() {
			return fault.New(fault.Forbidden, "the tenant comes from the credential")
		}
	}
	return nil
}

// allows tells whether the principal's roles open the route.
func (rt *route) allows(p *auth.Principal) bool {
	roles := p.Roles & rt.who
	if rt.exportRight && !p.Export {
		roles &^= auth.Reader
	}
	return roles != 0
}

// nameTenant settles which tenant the request works on.
func (s *Server) nameTenant(r *request) error {
	switch {
	case r.route.scope == noTenant, !r.tenant.IsZero(): // a ticket has named it already
		return nil
	case !r.who.Platform():
		r.tenant = r.who.Tenant
		if r.tenant.IsZero() {
			return fault.New(fault.Forbidden, "the credential names no tenant")
		}
		return nil
	case r.route.scope == ownOrAll:
		return nil
	}
	named := r.Header["X-Tenant-Id"]
	if len(named) != 1 {
		return fault.New(fault.TenantRequired, "a platform admin names one tenant in the header X-Tenant-ID")
	}
	var err error
	if r.tenant, err = eventstore.ParseTenantID(named[0]); err != nil {
		return fault.Wrap(fault.BadID, err, "X-Tenant-ID is a UUID in its canonical form")
	}
	return nil
}

// answerTypes are the media types of the route's successful answers.
func (rt *route) answerTypes() []string {
	var types []string
	for _, a := range rt.answers {
		switch {
		case len(a.types) > 0:
			types = append(types, a.types...)
		case a.schema != nil:
			types = append(types, "application/json")
		}
	}
	return types
}

// securityHeaders go with every answer.
func securityHeaders(h http.Header) {
	h["X-Content-Type-Options"] = nosniff
	h["Cache-Control"] = noStore
}

// Shared so that setting them allocates nothing; nobody appends to them.
var (
	nosniff = []string{"nosniff"}
	noStore = []string{"no-store"}
)
