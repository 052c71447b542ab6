package httpapi_test

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"auditlog/transport/httpapi"
	"auditlog/web"
)

// TestOpenAPIIsTheRouteTable keeps document and server from differing, and every reference from leading nowhere.
func TestOpenAPIIsTheRouteTable(t *testing.T) {
	document := httpapi.OpenAPI()
	var doc struct {
		OpenAPI    string
		Paths      map[string]map[string]struct{ OperationID string }
		Components struct{ Schemas map[string]json.RawMessage }
	}
	if err := json.Unmarshal(document, &doc); err != nil {
		t.Fatal(err)
	}
	if doc.OpenAPI != "3.1.0" {
		t.Errorf("openapi: %s", doc.OpenAPI)
	}
	operations := 0
	for _, methods := range doc.Paths {
		operations += len(methods)
	}
	routes := httpapi.Routes()
	for _, rt := range routes {
		if doc.Paths[strings.ReplaceAll(rt.Path, ":id", "{id}")][strings.ToLower(rt.Method)].OperationID != rt.Name {
			t.Errorf("%s %s is not in the document", rt.Method, rt.Path)
		}
	}
	if operations != len(routes) {
		t.Errorf("%d operations for %d routes", operations, len(routes))
	}
	for _, ref := range regexp.MustCompile(`"\$ref":"#/components/schemas/([^"]+)"`).FindAllSubmatch(document, -1) {
		if doc.Components.Schemas[string(ref[1])] == nil {
			t.Errorf("%s leads nowhere", ref[0])
		}
	}
}

// TestAnswersHaveTheDocumentedForm decodes what is served into the types from which the schemas are made, refusing
// members that they do not have and missing those that they require.
func TestAnswersHaveTheDocumentedForm(t *testing.T) {
	w := newWorld(t, httpapi.Config{})
	full := `{"occurred_at":"2026-01-01T00:00:00Z","action":"document.changed","actor":{"type":"service","id":"x","name":"X","email":"x@example.org","session_id":"s"},
		"on_behalf_of":[{"type":"user","id":"u","name":"U"}],"resource":{"type":"t","id":"r","name":"R"},"related":[{"type":"t","id":"q"}],"severity":"error","outcome":"denied",
		"message":"m","source":{"ip":"192.0.2.1","user_agent":"ua","service":"svc","version":"1"},"request_id":"q","trace_id":"z","before":{"a":1,"b":2},"after":{"a":2,"c":3},
		"metadata":{"k":[1,"two",null]},"idempotency_key":"key","subjects":["s1"]}`
	id := w.post(full)["id"].(string)
	amended := w.do(call{method: "PATCH", path: "/api/v1/logs/" + id, token: w.token("writer"), body: `{"message":"n","metadata":{"x":1},"reason":"r"}`})
	form(t, "amended entry", amended.body, &httpapi.EntryView{})
	form(t, "minimal entry", w.do(call{method: "POST", path: "/api/v1/logs", token: w.token("writer"), body: goodEntry}).body, &httpapi.EntryView{})
	form(t, "list", w.do(get("/api/v1/logs?total=true&limit=1&min_position=4&wait=8s", w.token("auditor"))).body, &httpapi.ListView{})
	form(t, "history", w.do(get("/api/v1/logs/"+id+"/history", w.token("reader"))).body, &httpapi.HistoryView{})
	form(t, "stats", w.do(get("/api/v1/logs/stats?group_by=action", w.token("reader"))).body, &httpapi.StatsView{})
	form(t, "tenants", w.do(get("/api/v1/tenants", w.tokenOf("", "admin"))).body, &httpapi.TenantsView{})
	bulk := `{"entries":[` + goodEntry + `,` + goodEntry + `]}`
	form(t, "bulk", w.do(call{method: "POST", path: "/api/v1/logs/bulk", token: w.token("writer"), body: bulk}).body, &httpapi.BulkView{})
	form(t, "partial bulk", w.do(call{method: "POST", path: "/api/v1/logs/bulk?mode=partial", token: w.token("writer"), body: `{"entries":[` + goodEntry + `,{}]}`}).body, &httpapi.PartialView{})
	job := object(t, w.do(call{method: "DELETE", path: "/api/v1/logs/cleanup?before=2020-01-01T00:00:00Z", token: w.token("tenant_admin")}).body)
	form(t, "cleanup", w.do(get("/api/v1/logs/cleanup/"+job["id"].(string), w.token("tenant_admin"))).body, &httpapi.CleanupJobView{})
	w.do(call{method: "DELETE", path: "/api/v1/logs/" + id, token: w.token("tenant_admin"), body: `{"reason":"r"}`})
	form(t, "erased entry", w.do(get("/api/v1/logs/"+id, w.token("reader"))).body, &httpapi.EntryView{})
}

// form decodes strictly, encodes again, and compares: a member lost or made up on the way shows.
func form(t *testing.T, name, body string, view any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(view); err != nil {
		t.Errorf("%s: %v in %s", name, err, body)
		return
	}
	again, err := json.Marshal(view)
	if err != nil {
		t.Fatal(err)
	}
	var a, b any
	if json.Unmarshal([]byte(body), &a) != nil || json.Unmarshal(again, &b) != nil || !reflect.DeepEqual(a, b) {
		t.Errorf("%s: served\n%s\ndocumented\n%s", name, body, again)
	}
}

// TestPages shows that the pages load, under a strict policy, and that nothing of ours refers to another host.
func TestPages(t *testing.T) {
	w := newWorld(t, httpapi.Config{})
	for path, kind := range map[string]string{
		"/": "text/html; charset=utf-8", "/docs": "text/html; charset=utf-8", "/openapi.json": "application/json", "/start.css": "text/css; charset=utf-8",
		"/start.js": "text/javascript; charset=utf-8", "/docs.js": "text/javascript; charset=utf-8", "/favicon.svg": "image/svg+xml",
		"/swagger-ui/swagger-ui-bundle.js": "text/javascript; charset=utf-8", "/swagger-ui/swagger-ui.css": "text/css; charset=utf-8",
	} {
		got := w.do(get(path, ""))
		if got.status != 200 || got.header.Get("Content-Type") != kind || got.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %d %v", path, got.status, got.header)
		}
		if strings.HasPrefix(kind, "text/html") && got.header.Get("Content-Security-Policy") != web.ContentSecurityPolicy {
			t.Errorf("%s has no policy", path)
		}
		if again := w.do(call{method: "GET", path: path, header: http.Header{"If-None-Match": {got.header.Get("ETag")}}}); again.status != 304 || again.body != "" {
			t.Errorf("%s again: %d", path, again.status)
		}
		for _, asset := range regexp.MustCompile(`(?:src|href)="([^"]+)"`).FindAllStringSubmatch(got.body, -1) {
			if strings.HasPrefix(kind, "text/html") && !strings.HasPrefix(asset[1], "#") && w.do(get(asset[1], "")).status != 200 {
				t.Errorf("%s refers to %s, which is not there", path, asset[1])
			}
		}
	}
	err := fs.WalkDir(web.Files(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(name, "swagger-ui/") {
			return err // the bundle holds addresses as text; the policy keeps it from using them
		}
		body, err := fs.ReadFile(web.Files(), name)
		if err != nil {
			return err
		}
		for _, address := range regexp.MustCompile(`https?://[^\s"'<]+`).FindAllString(string(body), -1) {
			if !slices.ContainsFunc([]string{"http://127.0.0.1:8080", "http://www.w3.org/"}, func(own string) bool { return strings.HasPrefix(address, own) }) {
				t.Errorf("%s refers to %s", name, address)
			}
		}
		if bytes.Contains(body, []byte("<script>")) || bytes.Contains(body, []byte("style=")) || regexp.MustCompile(`\son[a-z]+=`).Match(body) {
			t.Errorf("%s holds inline script or style", name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
