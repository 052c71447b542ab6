package bench

import (
	"crypto/rand"
	"time"

	"auditlog/transport/httpapi/auth"
)

// secret signs the tokens of a service.
type secret []byte

func newSecret() secret { return secret(rand.Text() + rand.Text()) }

// mint makes a token for a tenant, or without one for the platform's admin.
func (s secret) mint(role, tenant string) (string, error) {
	return auth.Mint(s, auth.Grant{
		Issuer: "auditlog", Subject: "bench", Tenant: tenant, Roles: []string{role}, Rights: []string{auth.RightExport}, IssuedAt: time.Now(), TTL: 24 * time.Hour,
	})
}
