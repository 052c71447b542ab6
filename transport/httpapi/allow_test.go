package httpapi_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"auditlog/transport/httpapi"
)

// TestAllowIsTheTable asks every path for every method: what Allow lists is served, and nothing else is.
func TestAllowIsTheTable(t *testing.T) {
	w := newWorld(t, httpapi.Config{})
	id := w.post(goodEntry)["id"].(string)
	want := map[string][]string{"/": {"GET", "HEAD"}, "/docs": {"GET", "HEAD"}, "/openapi.json": {"GET", "HEAD"}, "/start.css": {"GET", "HEAD"}}
	for _, rt := range httpapi.Routes() {
		path := strings.ReplaceAll(rt.Path, ":id", id)
		want[path] = append(want[path], rt.Method)
		if rt.Method == "GET" && !slices.Contains([]string{"streamEntries", "exportEntries", "replay"}, rt.Name) {
			want[path] = append(want[path], "HEAD")
		}
	}
	for path, methods := range want {
		methods = append(methods, "OPTIONS")
		slices.Sort(methods)
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "BREW", "PROPFIND"} {
			res, body := w.rawBodiless(method, "/"+strings.TrimPrefix(path, "/"))
			allow := strings.Split(res.Header.Get("Allow"), ", ")
			slices.Sort(allow)
			switch {
			case method == "OPTIONS":
				if res.StatusCode != 204 || !slices.Equal(allow, methods) || body != "" {
					t.Errorf("OPTIONS %s: %d, Allow %v, want %v", path, res.StatusCode, allow, methods)
				}
			case slices.Contains(methods, method):
				if res.StatusCode == 405 || res.Header.Get("Allow") != "" {
					t.Errorf("%s %s: %d, Allow %v", method, path, res.StatusCode, allow)
				}
			case res.StatusCode != 405 || !slices.Equal(allow, methods) || method != "HEAD" && !strings.Contains(body, "/problems/method"):
				t.Errorf("%s %s: %d, Allow %v, want %v: %.100s", method, path, res.StatusCode, allow, methods, body)
			}
		}
	}
	if res, _ := w.rawBodiless("PUT", "/api/v1/logs/a%2Fb"); res.StatusCode != 405 || !strings.HasPrefix(res.Header.Get("Allow"), "GET, HEAD, PATCH") {
		t.Errorf("an escaped id: %d %v", res.StatusCode, res.Header)
	}
	for _, method := range []string{"GET", "OPTIONS", "TRACE", "CONNECT"} {
		if res, _ := w.rawBodiless(method, "/api/v1/nothing"); res.StatusCode != 404 || res.Header.Get("Allow") != "" {
			t.Errorf("%s of nothing: %d %v", method, res.StatusCode, res.Header)
		}
	}
}

// rawBodiless sends a request that needs no body, also with methods that a client library would not send.
func (w *world) rawBodiless(method, path string) (*http.Response, string) {
	w.tb.Helper()
	return w.raw(w.head1(method, path, "Connection: close\r\nContent-Length: 0\r\n\r\n"))
}

// TestHeadIsGetWithoutABody compares the answers to both, problems included.
func TestHeadIsGetWithoutABody(t *testing.T) {
	w := newWorld(t, httpapi.Config{})
	id := w.post(goodEntry)["id"].(string)
	const stats = "/api/v1/logs/stats?from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z"
	eventually(t, "the counts are complete", func() bool { return strings.Contains(w.do(get(stats, w.token("reader"))).body, `"position":2`) })
	for _, path := range []string{"/api/v1/logs?limit=1&min_position=2&wait=8s", "/api/v1/logs?limit=0", "/api/v1/logs/" + id, "/api/v1/logs/" + w.a.ID.String(), "/api/v1/logs/" + id + "/history",
		stats, "/docs", "/openapi.json"} {
		read := w.do(call{method: "GET", path: path, token: w.token("reader"), header: http.Header{"X-Request-Id": {"r"}}})
		head := w.do(call{method: "HEAD", path: path, token: w.token("reader"), header: http.Header{"X-Request-Id": {"r"}}})
		read.header.Del("Date")
		head.header.Del("Date")
		if head.status != read.status || head.body != "" || len(head.header) != len(read.header) {
			t.Errorf("%s: %d %v %q, GET %d %v", path, head.status, head.header, head.body, read.status, read.header)
		}
		for name := range read.header {
			if head.header.Get(name) != read.header.Get(name) {
				t.Errorf("%s: %s is %q, of GET %q", path, name, head.header.Get(name), read.header.Get(name))
			}
		}
	}
	if got := w.do(call{method: "HEAD", path: "/api/v1/logs", token: w.token("writer")}); got.status != 403 {
		t.Errorf("as a writer: %d", got.status)
	}
}
