package auth

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"auditlog/internal/fault"
)

const (
	tenantA = "018f0000-0000-7000-8000-00000000000a"
	issuer  = "auditlog"
)

var (
	secret = []byte("0123456789abcdef0123456789abcdef")
	epoch  = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
)

func newVerifier(t *testing.T, now func() time.Time) *HS256 {
	t.Helper()
	v, err := NewHS256(secret, issuer, now)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// token signs raw header and claims, so that tests can say what no library would.
func token(t *testing.T, header, claims map[string]any) string {
	t.Helper()
	enc := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	body := enc(header) + "." + enc(claims)
	sig, err := jwt.SigningMethodHS256.Sign(body, secret)
	if err != nil {
		t.Fatal(err)
	}
	return body + "." + base64.RawURLEncoding.EncodeToString(sig)
}

func goodHeader() map[string]any { return map[string]any{"alg": "HS256", "typ": "JWT"} }

func goodClaims() map[string]any {
	return map[string]any{
		"iss": issuer, "sub": "svc", "aud": Audience, "exp": epoch.Add(time.Hour).Unix(), "iat": epoch.Unix(),
		"tenant_id": tenantA, "roles": []string{"writer"},
	}
}

func TestGoodTokens(t *testing.T) {
	v := newVerifier(t, func() time.Time { return epoch })
	for name, change := range map[string]func(h, c map[string]any){
		"plain":              func(h, c map[string]any) {},
		"at+jwt":             func(h, c map[string]any) { h["typ"] = "at+jwt" },
		"audience list":      func(h, c map[string]any) { c["aud"] = []string{"other", Audience} },
		"no iat":             func(h, c map[string]any) { delete(c, "iat") },
		"a life of 24 h":     func(h, c map[string]any) { c["exp"] = epoch.Add(24 * time.Hour).Unix() },
		"24 h and leeway":    func(h, c map[string]any) { c["exp"] = epoch.Add(24*time.Hour + Leeway).Unix() },
		"24 h without iat":   func(h, c map[string]any) { delete(c, "iat"); c["exp"] = epoch.Add(24 * time.Hour).Unix() },
		"exp within leeway":  func(h, c map[string]any) { c["exp"] = epoch.Add(-29 * time.Second).Unix() },
		"nbf within leeway":  func(h, c map[string]any) { c["nbf"] = epoch.Add(29 * time.Second).Unix() },
		"fractional seconds": func(h, c map[string]any) { c["exp"] = float64(epoch.Unix()) + 60.5 },
	} {
		h, c := goodHeader(), goodClaims()
		change(h, c)
		p, err := v.Verify(context.Background(), token(t, h, c))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if p.Subject != "svc" || p.Tenant.String() != tenantA || p.Roles != Writer || p.Export {
			t.Errorf("%s: got %+v", name, p)
		}
	}
}

func TestRefusedTokens(t *testing.T) {
	v := newVerifier(t, func() time.Time { return epoch })
	for name, change := range map[string]func(h, c map[string]any){
		"A2 alg none":        func(h, c map[string]any) { h["alg"] = "none" },
		"A2 alg None":        func(h, c map[string]any) { h["alg"] = "None" },
		"A2 alg HS512":       func(h, c map[string]any) { h["alg"] = "HS512" },
		"A4 jwk":             func(h, c map[string]any) { h["jwk"] = map[string]any{"kty": "oct"} },
		"A4 jku":             func(h, c map[string]any) { h["jku"] = "https://evil.example/keys" },
		"A4 x5u":             func(h, c map[string]any) { h["x5u"] = "https://evil.example/cert" },
		"A4 x5c":             func(h, c map[string]any) { h["x5c"] = []string{"AA=="} },
		"A4 kid path":        func(h, c map[string]any) { h["kid"] = "../../x" },
		"A4 kid sql":         func(h, c map[string]any) { h["kid"] = "' OR 1=1" },
		"crit":               func(h, c map[string]any) { h["crit"] = []string{"exp"} },
		"A5 exp past":        func(h, c map[string]any) { c["exp"] = epoch.Add(-31 * time.Second).Unix() },
		"A5 exp missing":     func(h, c map[string]any) { delete(c, "exp") },
		"A5 exp null":        func(h, c map[string]any) { c["exp"] = nil },
		"A5 exp string":      func(h, c map[string]any) { c["exp"] = fmt.Sprint(epoch.Add(time.Hour).Unix()) },
		"A5 exp negative":    func(h, c map[string]any) { c["exp"] = -1 },
		"A5 exp 1e300":       func(h, c map[string]any) { c["exp"] = json.Number("1e300") },
		"A5 nbf future":      func(h, c map[string]any) { c["nbf"] = epoch.Add(31 * time.Second).Unix() },
		"A5 iat future":      func(h, c map[string]any) { c["iat"] = epoch.Add(31 * time.Second).Unix() },
		"life beyond 24 h":   func(h, c map[string]any) { c["exp"] = epoch.Add(24*time.Hour + Leeway + time.Second).Unix() },
		"long life, old iat": func(h, c map[string]any) { c["iat"] = epoch.Add(-24 * time.Hour).Unix() },
		"long life, no iat": func(h, c map[string]any) {
			delete(c, "iat")
			c["exp"] = epoch.Add(24*time.Hour + Leeway + time.Second).Unix()
		},
		"life up to 9999":      func(h, c map[string]any) { c["exp"] = maxSeconds; c["iat"] = 0 },
		"A6 aud wrong":         func(h, c map[string]any) { c["aud"] = "other" },
		"A6 aud missing":       func(h, c map[string]any) { delete(c, "aud") },
		"A6 aud of ID token":   func(h, c map[string]any) { c["aud"] = "web-client"; c["nonce"] = "n" },
		"A6 iss wrong":         func(h, c map[string]any) { c["iss"] = "auditlog.evil" },
		"A6 iss missing":       func(h, c map[string]any) { delete(c, "iss") },
		"A6 typ wrong":         func(h, c map[string]any) { h["typ"] = "id+jwt" },
		"A6 typ missing":       func(h, c map[string]any) { delete(h, "typ") },
		"sub missing":          func(h, c map[string]any) { delete(c, "sub") },
		"sub with newline":     func(h, c map[string]any) { c["sub"] = "a\nb" },
		"sub too long":         func(h, c map[string]any) { c["sub"] = strings.Repeat("x", 256) },
		"tenant_id upper case": func(h, c map[string]any) { c["tenant_id"] = strings.ToUpper(tenantA) },
		"tenant_id number":     func(h, c map[string]any) { c["tenant_id"] = 7 },
	} {
		h, c := goodHeader(), goodClaims()
		change(h, c)
		if p, err := v.Verify(context.Background(), token(t, h, c)); !fault.Is(err, fault.Unauthenticated) {
			t.Errorf("%s: got %+v, %v", name, p, err)
		}
	}
}

func TestAlteredTokensAreRefused(t *testing.T) {
	v := newVerifier(t, func() time.Time { return epoch })
	good := token(t, goodHeader(), goodClaims())
	parts := strings.Split(good, ".")
	for name, bad := range map[string]string{
		"empty signature":   parts[0] + "." + parts[1] + ".",
		"two parts":         parts[0] + "." + parts[1],
		"four parts":        good + ".AA",
		"other claims":      parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"roles":["admin"]}`)) + "." + parts[2],
		"not base64":        parts[0] + ".!!." + parts[2],
		"padded":            good + "=",
		"empty":             "",
		"beyond 8 KiB":      strings.Repeat("a", 9<<10),
		"signature cut off": good[:len(good)-2],
	} {
		if _, err := v.Verify(context.Background(), bad); !fault.Is(err, fault.Unauthenticated) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestRolesAreMatchedExactly(t *testing.T) {
	v := newVerifier(t, func() time.Time { return epoch })
	for _, c := range []struct {
		roles any
		want  Role
	}{
		{[]string{"writer", "reader"}, Writer | Reader},
		{[]string{"ADMIN"}, 0}, {[]string{"tenant_admin "}, 0}, {[]string{"root"}, 0}, {[]string{}, 0}, {nil, 0},
		{"reader", 0}, {[]any{[]string{"admin", "reader"}}, 0}, {map[string]any{"reader": true}, 0},
		{[]string{"admin"}, 0}, // has a tenant, so it is not the platform's
		{[]string{"reader", "unknown"}, Reader},
	} {
		claims := goodClaims()
		claims["roles"] = c.roles
		p, err := v.Verify(context.Background(), token(t, goodHeader(), claims))
		if err != nil || p.Roles != c.want || !slices.Equal(p.RoleNames, c.want.Names()) {
			t.Errorf("roles %v: got %+v, %v", c.roles, p, err)
		}
	}
}

func TestCachedTokenStillExpires(t *testing.T) {
	now := epoch
	v := newVerifier(t, func() time.Time { return now })
	tok := token(t, goodHeader(), goodClaims())
	for range 2 {
		if _, err := v.Verify(context.Background(), tok); err != nil {
			t.Fatal(err)
		}
	}
	now = epoch.Add(time.Hour + Leeway)
	if _, err := v.Verify(context.Background(), tok); !fault.Is(err, fault.Unauthenticated) {
		t.Fatalf("after its life: %v", err)
	}
}

func TestCacheIsBounded(t *testing.T) {
	c := newCache(64)
	for i := range 1000 {
		c.put(hashOf(fmt.Sprint(i)), &Principal{Expires: epoch.Add(time.Hour)}, epoch)
	}
	if n := len(c.byID); n > 64 {
		t.Fatalf("holds %d tokens", n)
	}
}

func TestMintedTokensVerify(t *testing.T) {
	v := newVerifier(t, func() time.Time { return epoch })
	tok, err := Mint(secret, Grant{Issuer: issuer, Subject: "dev", Roles: []string{"reader"}, Tenant: tenantA,
		Rights: []string{RightExport}, IssuedAt: epoch, TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	p, err := v.Verify(context.Background(), tok)
	if err != nil || p.Roles != Reader || !p.Export || !p.Expires.Equal(epoch.Add(time.Hour)) {
		t.Fatalf("got %+v, %v", p, err)
	}
	longest := Grant{Issuer: issuer, Subject: "dev", Roles: []string{"reader"}, Tenant: tenantA, IssuedAt: epoch.Add(999 * time.Millisecond), TTL: MaxLife}
	if tok, err = Mint(secret, longest); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(context.Background(), tok); err != nil {
		t.Errorf("the longest life: %v", err)
	}
	tok, err = Mint(secret, Grant{Issuer: issuer, Subject: "root", Roles: []string{"admin"}, IssuedAt: epoch, TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if p, err = v.Verify(context.Background(), tok); err != nil || !p.Platform() || !p.Tenant.IsZero() {
		t.Fatalf("got %+v, %v", p, err)
	}
}

func TestBearer(t *testing.T) {
	for name, values := range map[string][]string{
		"A1 none": nil, "A1 basic": {"Basic dTpw"}, "A1 empty bearer": {"Bearer "}, "A1 bare": {"Bearer"},
		"A1 two headers": {"Bearer a", "Bearer a"}, "9 KiB": {"Bearer " + strings.Repeat("a", 9<<10)}, "empty": {""},
	} {
		if _, err := Bearer(http.Header{"Authorization": values}); !fault.Is(err, fault.Unauthenticated) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, value := range []string{"Bearer abc", "bearer abc", "Bearer  abc"} {
		if tok, err := Bearer(http.Header{"Authorization": {value}}); err != nil || tok != "abc" {
			t.Errorf("%q: %q, %v", value, tok, err)
		}
	}
}

func TestSecretIsMadeOnceAndPrivate(t *testing.T) {
	dir := t.TempDir()
	var wg sync.WaitGroup
	got := make([][]byte, 8)
	for i := range got {
		wg.Go(func() {
			var err error
			if got[i], err = LoadOrCreateSecret(dir); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, s := range got {
		if len(s) < MinSecret || string(s) != string(got[0]) {
			t.Fatalf("secrets differ or are short: %d bytes", len(s))
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Fatalf("left %v, %v", entries, err)
	}
	if info, err := entries[0].Info(); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v", info.Mode(), err)
	}
}

func TestUnsafeSecretIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		mode os.FileMode
	}{"readable by others": {strings.Repeat("x", 40), 0o644}, "short": {"x", 0o600}} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, SecretFile), []byte(c.text), c.mode); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadOrCreateSecret(dir); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := NewHS256([]byte("short"), issuer, nil); err == nil {
		t.Error("short secret accepted")
	}
	if _, err := NewHS256(secret, "", nil); err == nil {
		t.Error("empty issuer accepted")
	}
}

func BenchmarkVerify(b *testing.B) {
	v, err := NewHS256(secret, issuer, nil)
	if err != nil {
		b.Fatal(err)
	}
	tok, err := Mint(secret, Grant{Issuer: issuer, Subject: "s", Tenant: tenantA, Roles: []string{"writer"}, IssuedAt: time.Now(), TTL: time.Hour})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Verify(context.Background(), tok); err != nil {
			b.Fatal(err)
		}
	}
}
