package auth

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"auditlog/eventstore"
)

func errorf(format string, args ...any) error { return fmt.Errorf(format, args...) }

// seconds is a NumericDate (RFC 7519 §2): a JSON number from 1970 to the year 9999. The library's own type would wrap
// 1e300 into some other time.
type seconds struct{ at *jwt.NumericDate }

const maxSeconds = 253402300799 // 9999-12-31T23:59:59Z

func (s *seconds) UnmarshalJSON(b []byte) error {
	v, err := strconv.ParseFloat(string(b), 64)
	if err != nil || !(v >= 0 && v <= maxSeconds) {
		return errorf("a date that is not a number of seconds from 1970 to 9999")
	}
	s.at = jwt.NewNumericDate(time.UnixMicro(int64(v * 1e6)))
	return nil
}

// claims are read strictly where a wrong type must refuse the token, and raw where it only grants nothing.
type claims struct {
	Iss    string           `json:"iss"`
	Sub    string           `json:"sub"`
	Aud    jwt.ClaimStrings `json:"aud"`
	Exp    seconds          `json:"exp"`
	Nbf    seconds          `json:"nbf"`
	Iat    seconds          `json:"iat"`
	Tenant string           `json:"tenant_id"`
	Roles  json.RawMessage  `json:"roles"`
	Rights json.RawMessage  `json:"rights"`
}

func (c *claims) GetExpirationTime() (*jwt.NumericDate, error) { return c.Exp.at, nil }
func (c *claims) GetIssuedAt() (*jwt.NumericDate, error)       { return c.Iat.at, nil }
func (c *claims) GetNotBefore() (*jwt.NumericDate, error)      { return c.Nbf.at, nil }
func (c *claims) GetIssuer() (string, error)                   { return c.Iss, nil }
func (c *claims) GetSubject() (string, error)                  { return c.Sub, nil }
func (c *claims) GetAudience() (jwt.ClaimStrings, error)       { return c.Aud, nil }

// checkLife refuses tokens that are good for too long, counted from their issue, or from now when that is not told.
func (c *claims) checkLife(now time.Time) error {
	if c.Iat.at != nil {
		now = c.Iat.at.Time
	}
	if life := c.Exp.at.Sub(now); life > MaxLife+Leeway {
		return errorf("a token that is good for %v", life)
	}
	return nil
}

// maxSubject bounds sub, which is stored with every entry its bearer writes, in bytes.
const maxSubject = 255

// principal is what verified claims say.
func (c *claims) principal() (*Principal, error) {
	if c.Sub == "" || len(c.Sub) > maxSubject || bytes.ContainsFunc([]byte(c.Sub), isControl) {
		return nil, errorf("sub is missing, too long, or holds control characters")
	}
	p := &Principal{Subject: c.Sub, Expires: c.Exp.at.Time}
	if c.Tenant != "" {
		var err error
		if p.Tenant, err = eventstore.ParseTenantID(c.Tenant); err != nil {
			return nil, fmt.Errorf("tenant_id: %w", err)
		}
	}
	for _, name := range stringList(c.Roles) {
		p.Roles |= ParseRole(name)
	}
	if !p.Tenant.IsZero() {
		p.Roles &^= Admin // the platform's admin belongs to no tenant
	}
	p.RoleNames = p.Roles.Names()
	p.Export = slices.Contains(stringList(c.Rights), RightExport)
	return p, nil
}

func isControl(r rune) bool { return r < 0x20 || r >= 0x7f && r < 0xa0 }

// stringList is a JSON list of strings; anything else is the empty list.
func stringList(raw json.RawMessage) []string {
	var list []string
	if json.Unmarshal(raw, &list) != nil {
		return nil
	}
	return list
}
