package main

import (
	"fmt"
	"time"

	"auditlog/eventstore"
	"auditlog/transport/httpapi/auth"
)

type tokenCmd struct {
	secretFlags `embed:""`
	Roles       []string      `required:"" placeholder:"ROLE" help:"Roles, separated by commas: admin (of the platform), tenant_admin, auditor, writer, reader."`
	Tenant      string        `placeholder:"ID" help:"Tenant that the token is for; every role but admin needs one."`
	Sub         string        `default:"developer" placeholder:"NAME" help:"Who the token speaks for (${default})."`
	TTL         time.Duration `name:"ttl" default:"1h" placeholder:"TIME" help:"How long it is good for (${default}; at most 24h)."`
	Rights      []string      `placeholder:"RIGHT" help:"Rights beside the roles: export lets a reader export."`
}

const maxTTL = 24 * time.Hour

// Run prints the token.
func (c *tokenCmd) Run(s streams) error {
	if err := c.check(); err != nil {
		return usage(err)
	}
	cfg := c.config()
	if err := cfg.Validate(); err != nil {
		return usage(err)
	}
	secret, err := cfg.SigningSecret()
	if err != nil {
		return err
	}
	token, err := auth.Mint(secret, auth.Grant{
		Issuer: c.JWTIssuer, Subject: c.Sub, Tenant: c.Tenant, Roles: c.Roles, Rights: c.Rights, IssuedAt: time.Now(), TTL: c.TTL,
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(s.out, token)
	return err
}

func (c *tokenCmd) check() error {
	var roles auth.Role
	for _, name := range c.Roles {
		role := auth.ParseRole(name)
		if role == 0 {
			return fmt.Errorf("--roles: there is no role %q", name)
		}
		roles |= role
	}
	for _, right := range c.Rights {
		if right != auth.RightExport {
			return fmt.Errorf("--rights: there is no right %q", right)
		}
	}
	switch {
	case c.TTL <= 0 || c.TTL > maxTTL:
		return fmt.Errorf("--ttl: must lie between 0 and %v", maxTTL)
	case c.Tenant == "" && roles != auth.Admin:
		return fmt.Errorf("--tenant: every role but admin is a tenant's")
	case c.Tenant != "" && roles.Has(auth.Admin):
		return fmt.Errorf("--tenant: the role admin is the platform's and has none")
	case c.Tenant != "":
		if _, err := eventstore.ParseTenantID(c.Tenant); err != nil {
			return fmt.Errorf("--tenant: %w", err)
		}
	}
	return nil
}
