package auth

import (
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Grant is what a token minted for development says.
type Grant struct {
	Issuer   string
	Subject  string
	Tenant   string // "" for a platform admin
	Roles    []string
	Rights   []string
	IssuedAt time.Time
	TTL      time.Duration
}

// Mint signs a token that NewHS256 with the same secret and issuer accepts.
func Mint(secret []byte, g Grant) (string, error) {
	if len(secret) < MinSecret {
		return "", errorf("the JWT secret has %d bytes; it needs %d", len(secret), MinSecret)
	}
	c := jwt.MapClaims{
		"iss": g.Issuer, "sub": g.Subject, "aud": Audience, "roles": g.Roles,
		"iat": g.IssuedAt.Unix(), "exp": g.IssuedAt.Add(g.TTL).Unix(),
	}
	if g.Tenant != "" {
		c["tenant_id"] = g.Tenant
	}
	if len(g.Rights) > 0 {
		c["rights"] = g.Rights
	}
	return jwt.NewWithClaims(jwt.SigningMethodHS256, c).SignedString(secret)
}
