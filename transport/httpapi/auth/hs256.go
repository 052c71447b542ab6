package auth

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Audience is the aud claim that every token must name.
const Audience = "auditlog"

// MinSecret is the least length of a shared secret, in bytes (RFC 7518 §3.2).
const MinSecret = 32

// Leeway is how far the issuer's clock may be off.
const Leeway = 30 * time.Second

// MaxLife is the longest time for which a token may be good, beside Leeway: what cannot be taken back must end soon.
const MaxLife = 24 * time.Hour

// HS256 verifies tokens that were signed with a shared secret. Verified ones are remembered by their hash until they
// expire, so that a busy client pays for the signature once.
type HS256 struct {
	secret []byte
	parser *jwt.Parser
	seen   *cache
	now    func() time.Time
}

// NewHS256 makes a verifier. The secret must have MinSecret bytes; issuer is compared exactly. now is the clock; nil
// means the system's.
func NewHS256(secret []byte, issuer string, now func() time.Time) (*HS256, error) {
	switch {
	case len(secret) < MinSecret:
		return nil, errorf("the JWT secret has %d bytes; it needs %d", len(secret), MinSecret)
	case issuer == "":
		return nil, errors.New("the JWT issuer is empty")
	}
	if now == nil {
		now = time.Now
	}
	return &HS256{
		secret: slices.Clone(secret), now: now, seen: newCache(cacheSize),
		parser: jwt.NewParser(jwt.WithValidMethods([]string{"HS256"}), jwt.WithIssuer(issuer), jwt.WithAudience(Audience),
			jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(Leeway), jwt.WithTimeFunc(now), jwt.WithStrictDecoding()),
	}, nil
}

// Verify implements Verifier.
func (v *HS256) Verify(_ context.Context, token string) (*Principal, error) {
	if len(token) > maxToken {
		return nil, refused(errorf("token of %d bytes", len(token)))
	}
	key := hashOf(token)
	if p := v.seen.get(key); p != nil {
		if !v.now().Before(p.Expires.Add(Leeway)) {
			return nil, refused(jwt.ErrTokenExpired)
		}
		return p, nil
	}
	var c claims
	if _, err := v.parser.ParseWithClaims(token, &c, v.key); err != nil {
		return nil, refused(err)
	}
	if err := c.checkLife(v.now()); err != nil {
		return nil, refused(err)
	}
	p, err := c.principal()
	if err != nil {
		return nil, refused(err)
	}
	v.seen.put(key, p, v.now())
	return p, nil
}

// key hands out the secret once the header asks for nothing that a shared secret cannot give.
func (v *HS256) key(t *jwt.Token) (any, error) {
	for _, name := range [...]string{"crit", "jwk", "jku", "kid", "x5u", "x5c", "x5t", "x5t#S256"} {
		if _, given := t.Header[name]; given {
			return nil, errorf("header %s is not accepted", name)
		}
	}
	typ, _ := t.Header["typ"].(string)
	if !strings.EqualFold(typ, "JWT") && !strings.EqualFold(typ, "at+jwt") {
		return nil, errors.New("typ is neither JWT nor at+jwt")
	}
	return v.secret, nil
}
