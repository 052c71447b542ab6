package httpapi_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"auditlog/eventstore"
	"auditlog/transport/httpapi"
	"auditlog/transport/httpapi/auth"
)

// matrix is the contract's table of roles, written down a second time: who may call what. "reader+export" is a reader
// with that right. A route without a row here fails the test.
var matrix = map[string]string{
	"createEntry":   "writer",
	"createEntries": "writer",
	"amendEntry":    "writer",
	"listEntries":   "admin tenant_admin auditor reader reader+export",
	"getEntry":      "admin tenant_admin auditor reader reader+export",
	"getHistory":    "admin tenant_admin auditor reader reader+export",
	"getStats":      "admin tenant_admin auditor reader reader+export",
	"streamEntries": "admin tenant_admin auditor reader reader+export",
	"createTicket":  "admin tenant_admin auditor reader reader+export",
	"exportEntries": "admin tenant_admin auditor reader+export",
	"replay":        "admin auditor",
	"eraseEntry":    "admin tenant_admin",
	"cleanUp":       "admin tenant_admin",
	"getCleanup":    "admin tenant_admin",
	"createTenant":  "admin",
	"listTenants":   "admin tenant_admin",
}

// credential is one column of the matrix.
type credential struct {
	name   string
	header http.Header // beside the token
	token  string
}

func credentials(w *world) []credential {
	columns := []credential{
		{name: "admin", token: w.tokenOf("", "admin"), header: http.Header{"X-Tenant-Id": {w.a.ID.String()}}},
		{name: "nobody", token: w.token()},
		{name: "writer+export", token: w.token("writer", "export")},
		{name: "admin with a tenant", token: w.token("admin")},
		{name: "reader+export", token: w.token("reader", "export")},
	}
	for _, role := range []string{"tenant_admin", "auditor", "writer", "reader"} {
		columns = append(columns, credential{name: role, token: w.token(role)})
	}
	return columns
}

// TestRoleMatrix asserts every cell of the table both ways, from the routes that are really served.
func TestRoleMatrix(t *testing.T) {
	w := newWorld(t, httpapi.Config{})
	for _, rt := range httpapi.Routes() {
		row, known := matrix[rt.Name]
		if !known {
			t.Errorf("%s %s has no row in the matrix", rt.Method, rt.Path)
			continue
		}
		allowed := strings.Fields(row)
		for _, c := range credentials(w) {
			got := w.do(call{method: rt.Method, path: strings.ReplaceAll(rt.Path, ":id", w.b.ID.String()), token: c.token, header: c.header})
			refused := got.status == http.StatusForbidden && got.slug() == "forbidden"
			may := slices.Contains(allowed, c.name) || c.name == "writer+export" && slices.Contains(allowed, "writer")
			if refused == may || got.status == http.StatusUnauthorized || got.status >= 500 {
				t.Errorf("%s as %s: %d %s, allowed: %v", rt.Name, c.name, got.status, got.slug(), may)
			}
		}
		for name, token := range refusedTokens(t, w) {
			got := w.do(call{method: rt.Method, path: strings.ReplaceAll(rt.Path, ":id", w.b.ID.String()), token: token})
			if got.status != http.StatusUnauthorized || got.slug() != "unauthenticated" {
				t.Errorf("%s with %s: %d %s", rt.Name, name, got.status, got.body)
			}
		}
	}
}

// refusedTokens would open every door if they were believed.
func refusedTokens(t *testing.T, w *world) map[string]string {
	t.Helper()
	all := auth.Any.Names()
	mint := func(key []byte, g auth.Grant) string {
		g.Subject, g.Roles, g.Tenant, g.Rights = "svc", all, w.a.ID.String(), []string{auth.RightExport}
		return must(auth.Mint(key, g))(t)
	}
	return map[string]string{
		"no token":     "",
		"expired":      mint(secret, auth.Grant{Issuer: "auditlog", IssuedAt: time.Now().Add(-2 * time.Hour), TTL: time.Hour}),
		"other issuer": mint(secret, auth.Grant{Issuer: "other", IssuedAt: time.Now(), TTL: time.Hour}),
		"other key":    mint([]byte(strings.Repeat("k", 32)), auth.Grant{Issuer: "auditlog", IssuedAt: time.Now(), TTL: time.Hour}),
	}
}

// TestAccessEventsNeedARole covers kind=access and kind=all wherever the parameter exists.
func TestAccessEventsNeedARole(t *testing.T) {
	w := newWorld(t, httpapi.Config{})
	for _, path := range []string{"/api/v1/logs?", "/api/v1/logs/export?format=ndjson&"} {
		for _, kind := range []string{"access", "all"} {
			if got := w.do(get(path+"kind="+kind, w.token("reader", "export"))); got.status != 403 {
				t.Errorf("%s as reader: %d", kind, got.status)
			}
			for _, role := range []string{"auditor", "tenant_admin"} {
				eventually(t, kind+" as "+role, func() bool {
					got := w.do(get(path+"kind="+kind, w.token(role)))
					return got.status == 200 && strings.Contains(got.body, `"type":"tenant.created"`)
				})
			}
		}
	}
}

func TestTenantComesFromTheCredential(t *testing.T) {
	w := newWorld(t, httpapi.Config{})
	w.post(goodEntry)
	platform := w.tokenOf("", "admin")
	named := func(values ...string) reply {
		return w.do(call{method: "GET", path: "/api/v1/logs", token: platform, header: http.Header{"X-Tenant-Id": values}})
	}
	for _, c := range []struct {
		got    reply
		status int
		slug   string
	}{
		{named(), 400, "tenant-required"}, {named(w.a.ID.String(), w.a.ID.String()), 400, "tenant-required"}, {named("x"), 400, "bad-id"},
		{named("018f0000-0000-7000-8000-00000000dead"), 404, "not-found"}, {named(w.a.ID.String()), 200, ""},
		{w.do(get("/api/v1/logs", w.tokenOf("018f0000-0000-7000-8000-00000000dead", "reader"))), 403, "tenant-inactive"},
		{w.do(get("/api/v1/logs", w.tokenOf("", "reader"))), 403, "forbidden"},
		{w.do(call{method: "GET", path: "/api/v1/logs", token: w.token("reader"), header: http.Header{"X-Tenant-Id": {w.a.ID.String()}}}), 200, ""},
	} {
		if c.got.status != c.status || c.got.slug() != c.slug {
			t.Errorf("got %d %s, want %d %s: %s", c.got.status, c.got.slug(), c.status, c.slug, c.got.body)
		}
	}
}

// TestForeignEntriesLookAbsent is row B3: another tenant's id gets the very answer of an id that never was.
func TestForeignEntriesLookAbsent(t *testing.T) {
	w := newWorld(t, httpapi.Config{})
	foreign := w.post(goodEntry)["id"].(string)
	absent := "018f0000-0000-7000-8000-00000000dead"
	token := w.tokenOf(w.b.ID.String(), "reader", "writer", "tenant_admin")
	for _, c := range []call{
		{method: "GET", path: "/api/v1/logs/ID"}, {method: "GET", path: "/api/v1/logs/ID/history"}, {method: "GET", path: "/api/v1/logs/cleanup/ID"},
		{method: "PATCH", path: "/api/v1/logs/ID", body: `{"message":"m","reason":"r"}`}, {method: "DELETE", path: "/api/v1/logs/ID", body: `{"reason":"r"}`},
	} {
		answer := func(id string) string {
			got := w.do(call{method: c.method, path: strings.Replace(c.path, "ID", id, 1), body: c.body, token: token, header: http.Header{"X-Request-Id": {"same"}}})
			if got.status != 404 || got.slug() != "not-found" {
				t.Errorf("%s %s: %d %s", c.method, c.path, got.status, got.body)
			}
			return got.body
		}
		if a, b := answer(foreign), answer(absent); a != b {
			t.Errorf("%s %s tells them apart:\n%s\n%s", c.method, c.path, a, b)
		}
	}
	if head := w.head(w.a); head != 2 {
		t.Errorf("the foreign log moved to %d", head)
	}
}

// TestForeignCursorsAndKeys is row B9.
func TestForeignCursorsAndKeys(t *testing.T) {
	w := newWorld(t, httpapi.Config{})
	key := http.Header{"Idempotency-Key": {"shared"}}
	of := func(tenant eventstore.Tenant) reply {
		return w.do(call{method: "POST", path: "/api/v1/logs", token: w.tokenOf(tenant.ID.String(), "writer"), body: goodEntry, header: key})
	}
	first, second := of(w.a), of(w.b)
	if first.status != 201 || second.status != 201 || second.header.Get("Idempotency-Replayed") != "" || strings.Contains(second.body, w.a.ID.String()) {
		t.Errorf("a key of A met one of B: %d %s", second.status, second.body)
	}
	w.post(goodEntry)
	page := object(t, w.do(get("/api/v1/logs?limit=1&min_position=3&wait=8s", w.token("reader"))).body)
	got := w.do(get("/api/v1/logs?cursor="+page["next_cursor"].(string), w.tokenOf(w.b.ID.String(), "reader")))
	if got.status != 400 || got.slug() != "bad-cursor" {
		t.Errorf("a cursor of A used by B: %d %s", got.status, got.body)
	}
	mine := w.do(get("/api/v1/logs?cursor="+page["next_cursor"].(string), w.token("reader")))
	if mine.status != 200 || len(object(t, mine.body)["items"].([]any)) != 1 {
		t.Errorf("the same cursor used by A: %d %s", mine.status, mine.body)
	}
}
