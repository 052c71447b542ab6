package auth

import (
	"context"
	"time"

	"auditlog/eventstore"
)

// Principal is who a verified credential speaks for. It is shared between requests: never change one.
type Principal struct {
	Subject   string
	Tenant    eventstore.TenantID // zero: the platform, or nobody's
	Roles     Role
	RoleNames []string // of Roles
	Export    bool     // holds the right "export"
	Expires   time.Time
}

// Platform tells a platform admin, who names the tenant by a header.
func (p *Principal) Platform() bool { return p.Roles.Has(Admin) }

// Verifier checks a bearer token. Its errors are fault.Unauthenticated, or Unavailable when keys cannot be had.
type Verifier interface {
	Verify(ctx context.Context, token string) (*Principal, error)
}
