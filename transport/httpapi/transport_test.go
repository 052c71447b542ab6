package httpapi_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"auditlog/command"
	"auditlog/internal/fault"
	"auditlog/transport/httpapi"
)

// raw sends bytes as they are and gives what comes back until the connection closes or the answer is whole.
func (w *world) raw(request string) (*http.Response, string) {
	w.tb.Helper()
	conn := must(net.Dial("tcp", w.addr))(w.tb)
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		w.tb.Fatal(err)
	}
	go func() { _, _ = io.WriteString(conn, request) }() // the server may answer and hang up before it has read all
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		w.tb.Fatalf("%.60q: %v", request, err)
	}
	defer func() { _ = res.Body.Close() }()
	body, _ := io.ReadAll(res.Body) // a reset behind the answer is fine
	return res, string(body)
}

func (w *world) head1(method, path string, lines ...string) string {
	return method + " " + path + " HTTP/1.1\r\nHost: " + w.addr + "\r\nAuthorization: Bearer " + w.token("writer", "reader") + "\r\n" + strings.Join(lines, "")
}

// TestBodyLimits is row D1: a byte too many, announced, chunked, or lied about.
func TestBodyLimits(t *testing.T) {
	w := newWorld(t, httpapi.Config{})
	fits := func(size int) string {
		start, end := `{"action":"a","actor":{"id":"x"},"resource":{"type":"t"}`, `}`
		return start + strings.Repeat(" ", size-len(start)-len(end)) + end
	}
	const limit = 256 << 10
	length := func(n int) string {
		return fmt.Sprintf("Content-Type: application/json\r\nContent-Length: %d\r\n\r\n", n)
	}
	chunked := "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
	chunk := func(body string) string { return fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body) }
	for _, c := range []struct {
		name, request string
		status        int
	}{
		{"announced, at the limit", w.head1("POST", "/api/v1/logs", length(limit), fits(limit)), 201},
		{"announced, beyond", w.head1("POST", "/api/v1/logs", length(limit+1), fits(limit+1)), 413},
		{"announced, body withheld", w.head1("POST", "/api/v1/logs", length(1<<40)), 413},
		{"chunked, at the limit", w.head1("POST", "/api/v1/logs", chunked, chunk(fits(limit))), 201},
		{"chunked, beyond", w.head1("POST", "/api/v1/logs", chunked, chunk(fits(limit+1))), 413},
		{"bulk, beyond", w.head1("POST", "/api/v1/logs/bulk", length(5<<20+1), fits(5<<20+1)), 413},
		{"bulk chunked, beyond", w.head1("POST", "/api/v1/logs/bulk", chunked, chunk(fits(5<<20+1))), 413},
		{"announced less than sent", w.head1("POST", "/api/v1/logs", length(20), fits(limit)), 400},
		{"broken chunk", w.head1("POST", "/api/v1/logs", chunked, "zz\r\n"), 400},
		{"two lengths", w.head1("POST", "/api/v1/logs", "Content-Length: 1\r\nContent-Length: 2\r\n\r\n"), 400},
		{"length and chunks", w.head1("POST", "/api/v1/logs", "Content-Type: application/json\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", chunk("{}")), 422},
	} {
		before := w.head(w.a)
		res, body := w.raw(c.request)
		if res.StatusCode != c.status {
			t.Errorf("%s: %d %.200s", c.name, res.StatusCode, body)
		}
		if c.status == 413 && !res.Close {
			t.Errorf("%s: the connection stays open", c.name)
		}
		if stored := w.head(w.a) - before; (stored == 1) != (c.status == 201) {
			t.Errorf("%s: stored %d", c.name, stored)
		}
	}
}

// TestHeadLimits is row D3, and what the head of a request can hold besides.
func TestHeadLimits(t *testing.T) {
	w := newWorld(t, httpapi.Config{})
	for _, c := range []struct {
		name, lines string
		problem     bool
	}{
		{"17 KiB", "X-A: " + strings.Repeat("a", 17<<10) + "\r\n\r\n", true},
		{"60 KiB", "X-A: " + strings.Repeat("a", 60<<10) + "\r\n\r\n", true},
		{"200 headers", strings.Repeat("X-A: a\r\n", 200) + "\r\n", true},
		{"a cookie of 1 MB", "Cookie: a=" + strings.Repeat("a", 1<<20) + "\r\n\r\n", false}, // net/http's own words
	} {
		res, body := w.raw(w.head1("GET", "/api/v1/logs", c.lines))
		if res.StatusCode != 431 || !res.Close || (res.Header.Get("Content-Type") == "application/problem+json") != c.problem {
			t.Errorf("%s: %d %v %.200s", c.name, res.StatusCode, res.Header, body)
		}
	}
	for _, lines := range []string{"X-A: a\nX-B\x00: b\r\n\r\n", "X A: a\r\n\r\n", ": a\r\n\r\n"} {
		if res, _ := w.raw(w.head1("GET", "/api/v1/logs", lines)); res.StatusCode != 400 {
			t.Errorf("%q: %d", lines, res.StatusCode)
		}
	}
}

// TestSlowClients is row D4: whoever is too slow is cut off, and holds nobody up.
func TestSlowClients(t *testing.T) {
	w := newWorld(t, httpapi.Config{HeaderTimeout: 200 * time.Millisecond, BodyTimeout: 200 * time.Millisecond, IdleTimeout: 200 * time.Millisecond})
	dial := func(request string) net.Conn {
		conn := must(net.Dial("tcp", w.addr))(t)
		t.Cleanup(func() { _ = conn.Close() })
		if _, err := io.WriteString(conn, request); err != nil {
			t.Fatal(err)
		}
		if err := conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	slowHead := dial("GET /api/v1/logs HTTP/1.1\r\nHost: x\r\nX-A: ")
	unread := dial("POST /api/v1/logs HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{") // refused before its body is looked at
	slowBody := dial(w.head1("POST", "/api/v1/logs", "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n", "{"))
	idle := dial(w.head1("GET", "/api/v1/logs", "\r\n"))
	w.post(goodEntry) // others are not affected

	if rest, err := io.ReadAll(slowHead); err != nil || len(rest) > 0 && !strings.Contains(string(rest), " 408 ") && !strings.Contains(string(rest), " 400 ") {
		t.Errorf("slow head: %q, %v", rest, err)
	}
	rest, err := io.ReadAll(slowBody)
	if err != nil || !strings.HasPrefix(string(rest), "HTTP/1.1 408 ") || !strings.Contains(string(rest), "/problems/timeout") || !strings.Contains(string(rest), "Connection: close") {
		t.Errorf("slow body: %q, %v", rest, err)
	}
	if rest, err := io.ReadAll(unread); err != nil || !strings.HasPrefix(string(rest), "HTTP/1.1 401 ") {
		t.Errorf("refused with its body withheld: %.60q, %v", rest, err)
	}
	if rest, err := io.ReadAll(idle); err != nil || !strings.HasPrefix(string(rest), "HTTP/1.1 200 ") {
		t.Errorf("idle connection: %.60q, %v", rest, err)
	}
	if head := w.head(w.a); head != 2 {
		t.Errorf("a slow client stored something: head %d", head)
	}
}

// TestMethods is row D6: 405 with Allow, on paths with and without an id, and no method by header.
func TestMethods(t *testing.T) {
	w := newWorld(t, httpapi.Config{})
	id := w.post(goodEntry)["id"].(string)
	for _, c := range []struct{ method, path, allow string }{
		{"PUT", "/api/v1/logs/" + id, "PATCH"}, {"PATCH", "/api/v1/logs", "POST"}, {"TRACE", "/api/v1/logs", "GET"}, {"CONNECT", "/api/v1/logs", "GET"},
		{"GET", "/api/v1/logs/bulk", "POST"}, {"DELETE", "/api/v1/logs/stats", "GET"}, {"PATCH", "/api/v1/logs/cleanup", "DELETE"}, {"POST", "/docs", "GET"},
		{"BREW", "/api/v1/logs", "GET"}, {"DELETE", "/api/v1/tenants", "GET"},
	} {
		res, body := w.raw(w.head1(c.method, c.path, "Content-Length: 0\r\n\r\n"))
		if res.StatusCode != 405 || !strings.Contains(res.Header.Get("Allow"), c.allow) || !strings.Contains(body, "/problems/method") {
			t.Errorf("%s %s: %d, Allow %q, %.100s", c.method, c.path, res.StatusCode, res.Header.Get("Allow"), body)
		}
	}
	for _, header := range []string{"X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method"} {
		res, _ := w.raw(w.head1("GET", "/api/v1/logs/"+id, header+": DELETE\r\n\r\n"))
		if res.StatusCode != 200 {
			t.Errorf("%s: %d", header, res.StatusCode)
		}
	}
	for _, path := range []string{"/api/v1/nothing", "/api", "/api/v1/logs/" + id + "/proof", "/api/v1/checkpoint", "/../../etc/passwd", "//api/v1/logs", "/api/v1/logs/" + id + "/history/x"} {
		got := w.do(get(path, w.token("reader")))
		if got.status != 404 || got.slug() != "not-found" {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
}

// TestDraining is row J3: new requests are turned away, accepted ones are finished.
func TestDraining(t *testing.T) {
	w := newWorld(t, httpapi.Config{})
	w.post(goodEntry)
	waiting := make(chan reply, 1)
	go func() { waiting <- w.do(get("/api/v1/logs?min_position=3&wait=9s", w.token("reader"))) }()
	eventually(t, "the request is being served", func() bool { return strings.Contains(goroutines(), "query.(*Queries).completeTo") })
	w.server.Drain()
	w.server.Drain()
	got := w.do(get("/api/v1/logs", w.token("reader")))
	if got.status != 503 || got.slug() != "unavailable" || got.header.Get("Retry-After") == "" || !got.closed {
		t.Errorf("while draining: %d %v %s", got.status, got.header, got.body)
	}
	w.record()
	if got := <-waiting; got.status != 200 {
		t.Errorf("the accepted request: %d %s", got.status, got.body)
	}
}

// TestPanicsAreAnswered keeps a defect in one request from being seen by others, or by the client.
func TestPanicsAreAnswered(t *testing.T) {
	w := newWorld(t, httpapi.Config{})
	w.over(panicking{w.commands}, w.queries, httpapi.Config{})
	got := w.do(get("/api/v1/logs", w.token("reader")))
	if got.status != 500 || got.slug() != "internal" || strings.Contains(got.body, "boom") {
		t.Errorf("%d %s", got.status, got.body)
	}
	p := got.problem(t)
	if log := w.log.String(); !strings.Contains(log, "boom") || !strings.Contains(log, p.Instance) {
		t.Error("the log does not tell why")
	}
}

// TestLogsTellWhy: what a client is not told stands in the log, where an operator sees it.
func TestLogsTellWhy(t *testing.T) {
	why := errors.New("the pool is used up")
	for _, c := range []struct {
		err   error
		level string // of the line that tells why
	}{
		{fault.Wrap(fault.Unavailable, why, "the store does not answer"), "WARN"},
		{fmt.Errorf("search: %w", fault.Wrap(fault.Overloaded, why, "the search was not answered in time")), "WARN"},
		{fault.New(fault.Overloaded, "the queue is full"), "DEBUG"},
		{fault.Wrap(fault.Overloaded, command.ErrWaited, "the entry waited too long for its turn"), "DEBUG"},
		{fault.Wrap(fault.Conflict, why, "the slug is taken"), "DEBUG"},
		{why, "ERROR"},
	} {
		w := newWorld(t, httpapi.Config{})
		w.over(failing{w.commands, c.err}, w.queries, httpapi.Config{})
		got := w.do(get("/api/v1/logs", w.token("reader")))
		if strings.Contains(got.body, why.Error()) {
			t.Errorf("%v: the client is told why: %s", c.err, got.body)
		}
		var told []string
		for line := range strings.Lines(w.log.String()) {
			if strings.Contains(line, `"request failed"`) && strings.Contains(line, got.problem(t).Instance) && strings.Contains(line, c.err.Error()) {
				told = append(told, line)
			}
		}
		if len(told) != 1 || !strings.Contains(told[0], `"level":"`+c.level+`"`) {
			t.Errorf("%v: the log tells %q, want one line of level %s", c.err, told, c.level)
		}
	}
}

// TestInactiveTenant is row A12.
func TestInactiveTenant(t *testing.T) {
	w := newWorld(t, httpapi.Config{})
	w.over(suspended{w.commands}, w.queries, httpapi.Config{})
	for _, c := range []call{get("/api/v1/logs", w.token("reader")), {method: "POST", path: "/api/v1/logs", token: w.token("writer"), body: goodEntry}} {
		if got := w.do(c); got.status != 403 || got.slug() != fault.TenantInactive.String() {
			t.Errorf("%s: %d %s", c.method, got.status, got.body)
		}
	}
}

// TestWhatNetHTTPRefuses keeps the list of what is answered in plain text, since no request of it reaches the server's own
// code: the connection ends, and nothing is stored.
func TestWhatNetHTTPRefuses(t *testing.T) {
	w := newWorld(t, httpapi.Config{})
	host := "Host: " + w.addr + "\r\n"
	for request, status := range map[string]int{
		"GET\r\n\r\n":                               400,
		"GET /api/v1/logs HTTP/1.1\r\n\r\n":         400,
		"GET / HTTP/1.1\r\n" + host + host + "\r\n": 400,
		"POST /api/v1/logs HTTP/1.1\r\n" + host + "Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}": 400,
		"POST /api/v1/logs HTTP/1.1\r\n" + host + "Content-Length: x\r\n\r\n{}":                      400,
		"POST /api/v1/logs HTTP/1.1\r\n" + host + "Transfer-Encoding: gzip\r\n\r\n{}":                501,
		"GET / HTTP/3.7\r\n" + host + "\r\n":                                                         505,
	} {
		res, body := w.raw(request)
		if res.StatusCode != status || !res.Close || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/plain") {
			t.Errorf("%q: %d %v %.100q", request, res.StatusCode, res.Header, body)
		}
	}
	if head := w.head(w.a); head != 1 {
		t.Errorf("stored something: head %d", head)
	}
}
