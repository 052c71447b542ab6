package httpapi_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"auditlog/transport/httpapi"
)

func TestLifeOfAnEntry(t *testing.T) {
	w := newWorld(t, httpapi.Config{})
	got := w.do(call{method: "POST", path: "/api/v1/logs", token: w.token("writer"), body: goodEntry, header: http.Header{
		"Idempotency-Key": {"k1"}, "X-Request-Id": {"req-1"}, "Traceparent": {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
	}})
	e := object(t, got.body)
	id := fmt.Sprint(e["id"])
	if got.status != 201 || got.header.Get("Location") != "/api/v1/logs/"+id || got.header.Get("X-Request-Id") != "req-1" ||
		e["request_id"] != "req-1" || e["trace_id"] != "4bf92f3577b34da6a3ce929d0e0e4736" || e["position"] != 2.0 {
		t.Fatalf("post: %d %v %s", got.status, got.header, got.body)
	}
	again := w.do(call{method: "POST", path: "/api/v1/logs", token: w.token("writer"), body: goodEntry, header: http.Header{"Idempotency-Key": {"k1"}}})
	if again.status != 201 || again.header.Get("Idempotency-Replayed") != "true" || again.body != got.body {
		t.Fatalf("replay: %d %v\n%s\n%s", again.status, again.header, again.body, got.body)
	}
	read := w.do(call{method: "GET", path: "/api/v1/logs/" + id, token: w.token("reader")})
	if read.status != 200 || read.body != got.body {
		t.Fatalf("get: %d %s", read.status, read.body)
	}

	list := w.do(call{method: "GET", path: "/api/v1/logs?q=budget&metadata.n=7&min_position=2&wait=8s&total=true", token: w.token("reader")})
	page := object(t, list.body)
	if list.status != 200 || len(page["items"].([]any)) != 1 || page["next_cursor"] != nil || page["complete_to"].(map[string]any)["position"] != 2.0 ||
		page["total"].(map[string]any)["value"] != 1.0 {
		t.Fatalf("list: %d %s", list.status, list.body)
	}

	amended := w.do(call{method: "PATCH", path: "/api/v1/logs/" + id, token: w.token("writer"), body: `{"message":"not Ben but Bea","reason":"typo"}`})
	if amended.status != 201 || object(t, amended.body)["revision"] != 2.0 {
		t.Fatalf("amend: %d %s", amended.status, amended.body)
	}
	if bare := w.do(call{method: "DELETE", path: "/api/v1/logs/" + id, token: w.token("tenant_admin")}); bare.status != 422 {
		t.Fatalf("erase without a body: %d %s", bare.status, bare.body)
	}
	erased := w.do(call{method: "DELETE", path: "/api/v1/logs/" + id, token: w.token("tenant_admin"), body: `{"reason":"asked to"}`})
	if erased.status != 202 {
		t.Fatalf("erase: %d %s", erased.status, erased.body)
	}
	event := object(t, erased.body)["event_id"]
	read = w.do(call{method: "GET", path: "/api/v1/logs/" + id, token: w.token("reader")})
	if o := object(t, read.body); read.status != 200 || o["message"] != nil || o["erased"].(map[string]any)["by_event"] != event {
		t.Fatalf("get after erasure: %d %s", read.status, read.body)
	}
	again = w.do(call{method: "POST", path: "/api/v1/logs", token: w.token("writer"), body: goodEntry, header: http.Header{"Idempotency-Key": {"k1"}}})
	if o := object(t, again.body); again.status != 201 || o["id"] != id || o["position"] != 2.0 || o["erased"] == nil || len(o) != 3 {
		t.Fatalf("replay after erasure: %d %s", again.status, again.body)
	}
	late := w.do(call{method: "PATCH", path: "/api/v1/logs/" + id, token: w.token("writer"), body: `{"message":"x","reason":"y"}`})
	if late.status != 409 || late.slug() != "erased" {
		t.Fatalf("amend after erasure: %d %s", late.status, late.body)
	}
	eventually(t, "keys destroyed", func() bool {
		h := w.do(call{method: "GET", path: "/api/v1/logs/" + id + "/history", token: w.token("reader")})
		items := object(t, h.body)["items"].([]any)
		return len(items) == 3 && items[2].(map[string]any)["keys"] == "destroyed" && !strings.Contains(h.body, "budget")
	})
}
