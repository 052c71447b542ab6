package httpapi_test

import (
	"net/http"
	"strings"
	"testing"

	"auditlog/transport/httpapi"
)

// TestWhatIsObserved looks at metrics and log: routes by their pattern, no identities, no secrets.
func TestWhatIsObserved(t *testing.T) {
	w := newWorld(t, httpapi.Config{})
	id := w.post(goodEntry)["id"].(string)
	w.do(get("/api/v1/logs/"+id+"?secret-in-query=1", w.token("reader")))
	w.do(get("/no/such/path/hunter2", ""))
	w.do(call{method: "GET", path: "/api/v1/logs?access_token=" + w.token("reader")})
	families := must(w.registry.Gather())(t)
	var text strings.Builder
	for _, f := range families {
		text.WriteString(f.String())
	}
	for _, want := range []string{"auditlog_http_requests_total", "auditlog_http_request_seconds", "auditlog_http_streams", "/api/v1/logs/:id", `"unknown"`} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("metrics lack %s", want)
		}
	}
	eventually(t, "the access log is written", func() bool { return strings.Count(w.log.String(), `"msg":"request"`) == 4 })
	for _, secret := range []string{id, w.a.ID.String(), "hunter2", "secret-in-query", w.token("reader"), "budget"} {
		if strings.Contains(text.String(), secret) || strings.Contains(w.log.String(), secret) {
			t.Errorf("%q is in metrics or log", secret)
		}
	}
}

// TestRequestIDs covers what a client may call its request.
func TestRequestIDs(t *testing.T) {
	w := newWorld(t, httpapi.Config{})
	for _, c := range []struct {
		given []string
		kept  bool
	}{
		{[]string{"req-1"}, true}, {[]string{strings.Repeat("x", 128)}, true}, {[]string{strings.Repeat("x", 129)}, false}, {[]string{"a b"}, false}, {[]string{"é"}, false},
		{[]string{"a", "b"}, false}, {[]string{""}, false},
	} {
		got := w.do(call{method: "POST", path: "/api/v1/logs", token: w.token("writer"), body: goodEntry, header: http.Header{"X-Request-Id": c.given}})
		answered := got.header.Get("X-Request-Id")
		stored, _ := object(t, got.body)["request_id"].(string)
		if c.kept != (answered == c.given[0]) || answered == "" || c.kept != (stored == c.given[0] && stored != "") {
			t.Errorf("%.20q: answered %q, stored %q", c.given, answered, stored)
		}
	}
	for _, trace := range []string{"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
		"00-4BF92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "x", ""} {
		got := w.do(call{method: "POST", path: "/api/v1/logs", token: w.token("writer"), body: goodEntry, header: http.Header{"Traceparent": {trace}}})
		stored, _ := object(t, got.body)["trace_id"].(string)
		want := ""
		if trace == "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01" || strings.HasPrefix(trace, "01-") {
			want = "4bf92f3577b34da6a3ce929d0e0e4736"
		}
		if stored != want {
			t.Errorf("traceparent %q: stored %q", trace, stored)
		}
	}
	// fields of the body go before headers
	got := w.do(call{method: "POST", path: "/api/v1/logs", token: w.token("writer"), header: http.Header{"X-Request-Id": {"header"}},
		body: strings.Replace(goodEntry, "{", `{"request_id":"body",`, 1)})
	if object(t, got.body)["request_id"] != "body" {
		t.Errorf("request_id: %s", got.body)
	}
}

func TestTenantsArePaged(t *testing.T) {
	w := newWorld(t, httpapi.Config{})
	platform, path := w.tokenOf("", "admin"), "/api/v1/tenants?limit=1"
	var slugs []string
	for cursor := ""; ; {
		got := w.do(get(path+cursor, platform))
		page := object(t, got.body)
		for _, item := range page["items"].([]any) {
			slugs = append(slugs, item.(map[string]any)["slug"].(string))
		}
		next, more := page["next_cursor"].(string)
		if !more {
			break
		}
		cursor = "&cursor=" + next
	}
	if strings.Join(slugs, " ") != "tenant-a tenant-b" {
		t.Errorf("listed %v", slugs)
	}
	own := w.do(get("/api/v1/tenants", w.token("tenant_admin")))
	if items := object(t, own.body)["items"].([]any); own.status != 200 || len(items) != 1 || strings.Contains(own.body, "tenant-b") {
		t.Errorf("own: %s", own.body)
	}
	for _, bad := range []string{"x", "AAAA", "!"} {
		if got := w.do(get("/api/v1/tenants?cursor="+bad, platform)); got.status != 400 || got.slug() != "bad-cursor" {
			t.Errorf("cursor %q: %d", bad, got.status)
		}
	}
	made := w.do(call{method: "POST", path: "/api/v1/tenants", token: platform, body: `{"slug":"tenant-c","name":"C","retention_days":90}`})
	c := object(t, made.body)
	if made.status != 201 || c["slug"] != "tenant-c" || c["status"] != "active" || c["retention_days"] != 90.0 || c["created_at"] == "" {
		t.Errorf("created: %d %s", made.status, made.body)
	}
	written := w.do(call{method: "POST", path: "/api/v1/logs", token: w.tokenOf(c["id"].(string), "writer"), body: goodEntry})
	if written.status != 201 || object(t, written.body)["position"] != 2.0 {
		t.Errorf("a new tenant's first entry: %d %s", written.status, written.body)
	}
}

// TestConfigIsValidated keeps wrong settings from being served.
func TestConfigIsValidated(t *testing.T) {
	for name, c := range map[string]httpapi.Config{
		"WriteTimeout": {WriteTimeout: -1}, "Stream.PerUser": {Stream: httpapi.StreamConfig{PerUser: -1}}, "app.example": {Origins: []string{"app.example"}},
		"https://a/b": {Origins: []string{"https://a/b"}},
	} {
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := (httpapi.Config{Origins: []string{"https://app.example:8443"}}).Validate(); err != nil {
		t.Error(err)
	}
}

// TestNullRoute shows that the benchmark's other side stores nothing, and exists only when asked for.
func TestNullRoute(t *testing.T) {
	w := newWorld(t, httpapi.Config{})
	c := call{method: "POST", path: "/api/v1/bench/null", token: w.token("writer"), body: goodEntry}
	if got := w.do(c); got.status != 404 {
		t.Errorf("without the setting: %d", got.status)
	}
	w.over(w.commands, w.queries, httpapi.Config{BenchNull: true})
	got := w.do(c)
	real := w.do(call{method: "POST", path: "/api/v1/logs", token: w.token("writer"), body: goodEntry})
	if got.status != 201 || object(t, got.body)["action"] != "document.shared" || w.head(w.a) != 2 {
		t.Errorf("%d %s", got.status, got.body)
	}
	if a, b := len(got.body), len(real.body); a < b*9/10 || a > b*11/10 {
		t.Errorf("answers %d bytes where a POST answers %d", a, b)
	}
	if got := w.do(call{method: "POST", path: "/api/v1/bench/null", body: goodEntry}); got.status != 401 {
		t.Errorf("without a token: %d", got.status)
	}
	if body := w.do(get("/openapi.json", "")).body; strings.Contains(body, "bench") {
		t.Error("it is in the document")
	}
}
