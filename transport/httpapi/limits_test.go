package httpapi_test

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"auditlog/internal/fault"
	"auditlog/internal/limit"
	"auditlog/transport/httpapi"
	"auditlog/transport/httpapi/auth"
)

// stopped is a clock that stands still, so that nothing comes back while a test counts.
func stopped() limit.Options {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	return limit.Options{Now: func() time.Time { return at }}
}

// limitedTo puts a server with rates before the world's sides.
func (w *world) limitedTo(rates httpapi.Rates, cfg httpapi.Config) {
	w.rates = rates
	w.over(w.commands, w.queries, cfg)
}

// refusals are the server's refusals for want of room, by reason.
func (w *world) refusals() map[string]float64 { return w.measured("auditlog_http_refused_total") }

// measured are the values of a metric by its one label.
func (w *world) measured(name string) map[string]float64 {
	w.tb.Helper()
	values := map[string]float64{}
	for _, family := range must(w.registry.Gather())(w.tb) {
		if family.GetName() == name {
			for _, m := range family.GetMetric() {
				values[m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return values
}

func post(token, body string) call {
	return call{method: "POST", path: "/api/v1/logs", token: token, body: body}
}

func bulkOf(token string, n int) call {
	body := `{"entries":[` + strings.Repeat(goodEntry+",", n-1) + goodEntry + `]}`
	return call{method: "POST", path: "/api/v1/logs/bulk", token: token, body: body}
}

// checkRefused holds a 429 to its quota.
func checkRefused(t *testing.T, name string, got reply, quota string, size, window int) {
	t.Helper()
	if got.status != 429 || got.slug() != "rate-limited" {
		t.Errorf("%s: %d %s", name, got.status, got.body)
		return
	}
	checkProblem(t, name, got)
	after := got.header.Get("Retry-After")
	if s, err := strconv.Atoi(after); err != nil || s < 1 {
		t.Errorf("%s: Retry-After %q", name, after)
	}
	policy := fmt.Sprintf(`"%s";q=%d;w=%d`, quota, size, window)
	if window == 0 {
		policy = fmt.Sprintf(`"%s";q=%d;qu="concurrent-requests"`, quota, size)
	}
	left := got.header.Get("RateLimit-Remaining")
	for field, want := range map[string]string{
		"RateLimit-Policy": policy, "RateLimit": fmt.Sprintf(`"%s";r=%s;t=%s`, quota, left, after),
		"RateLimit-Limit": strconv.Itoa(size), "RateLimit-Reset": after,
	} {
		if value := got.header.Get(field); value != want {
			t.Errorf("%s: %s is %s, not %s", name, field, value, want)
		}
	}
	if n, err := strconv.Atoi(left); err != nil || n < 0 || n >= size && size > 0 {
		t.Errorf("%s: RateLimit-Remaining %q", name, left)
	}
}

// TestTenantRates is row J1, over the tenant's rate: requests and entries, by whoever sends them, and nobody else's.
func TestTenantRates(t *testing.T) {
	w := newWorld(t, httpapi.Config{})
	w.limitedTo(httpapi.Rates{
		Requests: limit.New("requests", limit.PerSecond(3), stopped()), Entries: limit.New("entries", limit.PerSecond(10), stopped()),
	}, httpapi.Config{})
	writer, other := w.token("writer"), w.tokenOf(w.b.ID.String(), "writer")
	second := must(auth.Mint(secret, auth.Grant{Issuer: "auditlog", Subject: "another", Tenant: w.a.ID.String(), Roles: []string{"writer"}, IssuedAt: time.Now(), TTL: time.Hour}))(t)
	before := w.head(w.a)
	for i, c := range []struct {
		call   call
		status int
		quota  string
		size   int
	}{
		{bulkOf(writer, 15), 201, "", 0}, // of 20 entries and 6 requests
		{bulkOf(writer, 6), 429, "tenant-entries", 20},
		{bulkOf(second, 4), 201, "", 0},
		{call{method: "POST", path: "/api/v1/logs", token: w.token("reader"), body: goodEntry}, 403, "", 0}, // costs nothing
		{post(writer, goodEntry), 201, "", 0},
		{post(writer, goodEntry), 429, "tenant-entries", 20},
		{call{method: "POST", path: "/api/v1/logs", token: writer, body: "{"}, 429, "tenant-entries", 20}, // its body is not looked at
		{post(writer, goodEntry), 429, "tenant-requests", 6},
		{post(other, goodEntry), 201, "", 0},
	} {
		name := fmt.Sprintf("call %d", i)
		got := w.do(c.call)
		switch {
		case c.status == 429:
			checkRefused(t, name, got, c.quota, c.size, 2)
		case got.status != c.status:
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
	if stored := w.head(w.a) - before; stored != 20 {
		t.Errorf("%d entries stored", stored)
	}
	if got, want := w.refusals(), (map[string]float64{"tenant-entries": 3, "tenant-requests": 1}); !maps.Equal(got, want) {
		t.Errorf("refused %v, not %v", got, want)
	}
}

// TestRefusedBulkIsNotRead shows that a tenant whose entries are used up is refused while its body is still to come.
func TestRefusedBulkIsNotRead(t *testing.T) {
	w := newWorld(t, httpapi.Config{})
	w.limitedTo(httpapi.Rates{Entries: limit.New("entries", limit.PerSecond(1), stopped())}, httpapi.Config{})
	w.do(bulkOf(w.token("writer"), 2))
	res, body := w.raw(w.head1("POST", "/api/v1/logs/bulk", "Content-Type: application/json\r\nContent-Length: 4000000\r\n\r\n"))
	if res.StatusCode != 429 || !strings.Contains(body, "rate-limited") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
}

// TestPrincipalRates shows that reads are limited for who asks, by what it asks for.
func TestPrincipalRates(t *testing.T) {
	w := newWorld(t, httpapi.Config{})
	id := w.post(goodEntry)["id"].(string)
	w.limitedTo(httpapi.Rates{
		Searches: limit.New("searches", limit.PerSecond(2), stopped()), Stats: limit.New("stats", limit.PerSecond(1), stopped()),
		Exports: limit.New("exports", limit.PerHour(1), stopped()),
	}, httpapi.Config{})
	as := func(subject, tenant string) string {
		return must(auth.Mint(secret, auth.Grant{Issuer: "auditlog", Subject: subject, Tenant: tenant, Roles: []string{"auditor"}, IssuedAt: time.Now(), TTL: time.Hour}))(t)
	}
	ana := as("ana", w.a.ID.String())
	for i, path := range []string{"/api/v1/logs", "/api/v1/logs/" + id, "/api/v1/logs/" + id + "/history", "/api/v1/replay"} {
		if got := w.do(get(path, ana)); got.status != 200 {
			t.Errorf("read %d: %d %s", i, got.status, got.body)
		}
	}
	for range 2 {
		checkRefused(t, "a search", w.do(get("/api/v1/logs", ana)), "searches", 4, 2)
		w.do(get("/api/v1/logs/stats", ana))
		w.do(get("/api/v1/logs/export?format=ndjson", ana))
	}
	checkRefused(t, "statistics", w.do(get("/api/v1/logs/stats", ana)), "stats", 2, 2)
	checkRefused(t, "an export", w.do(get("/api/v1/logs/export?format=ndjson", ana)), "exports", 2, 7200)
	for _, other := range []string{as("ben", w.a.ID.String()), as("ana", w.b.ID.String())} {
		for _, path := range []string{"/api/v1/logs", "/api/v1/logs/stats", "/api/v1/logs/export?format=ndjson"} {
			if got := w.do(get(path, other)); got.status != 200 {
				t.Errorf("another principal, %s: %d %s", path, got.status, got.body)
			}
		}
	}
	if got := w.do(post(w.token("writer"), goodEntry)); got.status != 201 {
		t.Errorf("a write: %d", got.status)
	}
}

// TestForwardedForDodgesNothing is row J2: a new X-Forwarded-For with each request changes neither whom a request is counted
// for nor, from one who is not trusted, whom the log names; from a trusted proxy it says who sent it.
func TestForwardedForDodgesNothing(t *testing.T) {
	w := newWorld(t, httpapi.Config{})
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	for _, trusted := range [][]netip.Prefix{nil, loopback} { // the log is one: nobody is trusted first
		name := fmt.Sprint("trusted ", trusted)
		w.limitedTo(httpapi.Rates{Requests: limit.New("requests", limit.PerSecond(2), stopped())}, httpapi.Config{TrustedProxies: trusted})
		for i := range 8 {
			forged := fmt.Sprintf("203.0.113.%d", i)
			c := post(w.token("writer"), goodEntry)
			c.header = http.Header{"X-Forwarded-For": {forged}, "Forwarded": {"for=" + forged}, "X-Real-Ip": {forged}}
			if got := w.do(c); (got.status == 201) != (i < 4) || (got.status == 429) != (i >= 4) {
				t.Errorf("%s: request %d: %d %s", name, i, got.status, got.body)
			}
		}
		if shown := strings.Contains(w.log.String(), "203.0.113.7"); shown != (trusted != nil) {
			t.Errorf("%s: the log names the forged address: %v", name, shown)
		}
	}
	if !strings.Contains(w.log.String(), `"client":"127.0.0.1"`) {
		t.Error("the log does not name the address of the connection")
	}
}

// held opens connections that send a request's head and hold back its body. Each is a request in progress.
func (w *world) held(n int, head string) []net.Conn {
	w.tb.Helper()
	var all []net.Conn
	for range n {
		conn := must(net.Dial("tcp", w.addr))(w.tb)
		w.tb.Cleanup(func() { _ = conn.Close() })
		if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
			w.tb.Fatal(err)
		}
		if _, err := io.WriteString(conn, head); err != nil {
			w.tb.Fatal(err)
		}
		all = append(all, conn)
	}
	return all
}

// waitingExport is the request of an export that waits for more entries than there are.
func (w *world) waitingExport() string {
	return "GET /api/v1/logs/export?format=ndjson&min_position=5000&wait=9s HTTP/1.1\r\nHost: " + w.addr +
		"\r\nAuthorization: Bearer " + w.token("reader", "export") + "\r\n\r\n"
}

// used waits until as much is in hand as is said.
func (w *world) used(kind string, n float64) {
	w.tb.Helper()
	eventually(w.tb, fmt.Sprintf("%v %s in hand", n, kind), func() bool { return w.measured("auditlog_http_slots_used")[kind] == n })
}

// checkOverloaded holds a 503.
func checkOverloaded(t *testing.T, name string, got reply) {
	t.Helper()
	if got.status != 503 || got.slug() != "overloaded" {
		t.Errorf("%s: %d %s", name, got.status, got.body)
		return
	}
	checkProblem(t, name, got)
}

// TestWritesInFlight is row J1, over the process's bound: refused at once, while the body is still to come; slow bodies
// are cut, and their places free again.
func TestWritesInFlight(t *testing.T) {
	w := newWorld(t, httpapi.Config{})
	w.limitedTo(httpapi.Rates{}, httpapi.Config{InFlight: httpapi.InFlight{Writes: 7}, BodyTimeout: 1500 * time.Millisecond})
	length := "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n"
	slow := w.held(7, w.head1("POST", "/api/v1/logs", length, "{"))
	w.used("writes", 7)
	if size := w.measured("auditlog_http_slots")["writes"]; size != 7 {
		t.Errorf("a bound of %v", size)
	}
	res, body := w.raw(w.head1("POST", "/api/v1/logs", "Content-Type: application/json\r\nContent-Length: 100000\r\n\r\n"))
	if res.StatusCode != 503 || !strings.Contains(body, "/problems/overloaded") || res.Header.Get("Retry-After") == "" {
		t.Errorf("with all places taken: %d %v %s", res.StatusCode, res.Header, body)
	}
	if got := w.do(get("/api/v1/logs", w.token("reader"))); got.status != 200 {
		t.Errorf("a read beside: %d %s", got.status, got.body)
	}
	for _, conn := range slow {
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || res.StatusCode != 408 || !res.Close {
			t.Errorf("a slow body: %v, %v", res, err)
		}
	}
	w.used("writes", 0)
	w.used("body_bytes", 0)
	if got := w.do(post(w.token("writer"), goodEntry)); got.status != 201 {
		t.Errorf("when the places are free: %d %s", got.status, got.body)
	}
	if got := w.refusals(); got["writes"] != 1 {
		t.Errorf("refused %v", got)
	}
}

// TestOneTenantLeavesPlaces shows that a tenant which holds back its bodies does not shut out others.
func TestOneTenantLeavesPlaces(t *testing.T) {
	w := newWorld(t, httpapi.Config{})
	w.limitedTo(httpapi.Rates{}, httpapi.Config{InFlight: httpapi.InFlight{Writes: 16}, BodyTimeout: time.Minute})
	slow := w.held(16, w.head1("POST", "/api/v1/logs", "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"))
	w.used("writes", 14)
	if got := w.do(post(w.tokenOf(w.b.ID.String(), "writer"), goodEntry)); got.status != 201 {
		t.Errorf("another tenant: %d %s", got.status, got.body)
	}
	checkOverloaded(t, "the same tenant", w.do(post(w.token("writer"), goodEntry)))
	for _, conn := range slow {
		_ = conn.Close()
	}
	w.used("writes", 0) // clients that are gone hold nothing
}

// TestBodiesInFlight shows that no more of bodies is in memory than is allowed, whatever the clients say of their length.
func TestBodiesInFlight(t *testing.T) {
	w := newWorld(t, httpapi.Config{})
	const room = 128 << 10
	w.limitedTo(httpapi.Rates{}, httpapi.Config{InFlight: httpapi.InFlight{Bodies: room}, BodyTimeout: time.Minute})
	padded := func(size int) string {
		return goodEntry[:len(goodEntry)-1] + strings.Repeat(" ", size-len(goodEntry)) + "}"
	}
	used := func() float64 {
		n := w.measured("auditlog_http_slots_used")["body_bytes"]
		if n > room {
			t.Errorf("%v bytes in hand", n)
		}
		return n
	}

	announced := w.held(1, w.head1("POST", "/api/v1/logs", "Content-Type: application/json\r\nContent-Length: 100000\r\n\r\n{"))[0]
	w.used("body_bytes", 100_001)
	res, _ := w.raw(w.head1("POST", "/api/v1/logs", "Content-Type: application/json\r\nContent-Length: 70000\r\n\r\n"))
	if res.StatusCode != 503 || !res.Close || res.Header.Get("Retry-After") == "" {
		t.Errorf("announced too much: %d", res.StatusCode)
	}
	if got := w.do(post(w.token("writer"), goodEntry)); got.status != 201 {
		t.Errorf("a small one beside: %d %s", got.status, got.body)
	}
	chunked := w.head1("POST", "/api/v1/logs", "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
	body := padded(60_000)
	res, text := w.raw(chunked + fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body))
	if res.StatusCode != 503 || !strings.Contains(text, "/problems/overloaded") {
		t.Errorf("grew beyond what is left: %d %s", res.StatusCode, text)
	}
	bomb := call{method: "POST", path: "/api/v1/logs/bulk", token: w.token("writer"), body: gzipped([]byte(padded(60_000))), header: http.Header{"Content-Encoding": {"gzip"}}}
	checkOverloaded(t, "unpacked beyond what is left", w.do(bomb))
	used()
	_ = announced.Close()
	w.used("body_bytes", 0)

	var many sync.WaitGroup
	for i := range 20 {
		many.Go(func() {
			size := 1000 * (i + 1)
			body := padded(size)
			request := chunked + fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body)
			if i%2 == 0 {
				request = w.head1("POST", "/api/v1/logs", fmt.Sprintf("Content-Type: application/json\r\nContent-Length: %d\r\n\r\n", len(body)), body)
			}
			if res, text := w.raw(request); res.StatusCode != 201 && res.StatusCode != 503 {
				t.Errorf("%d bytes: %d %s", size, res.StatusCode, text)
			}
			used()
		})
	}
	many.Wait()
	w.used("body_bytes", 0)
	if got := w.do(post(w.token("writer"), padded(100_000))); got.status != 201 {
		t.Errorf("alone, it has room: %d %s", got.status, got.body)
	}
	if got := w.refusals(); got["bodies"] < 3 {
		t.Errorf("refused %v", got)
	}
}

// TestReadsInFlight shows that reads have places of their own, of which exports and replays take half at most.
func TestReadsInFlight(t *testing.T) {
	w := newWorld(t, httpapi.Config{})
	w.limitedTo(httpapi.Rates{}, httpapi.Config{InFlight: httpapi.InFlight{Reads: 2}})
	var waiting sync.WaitGroup
	for range 2 {
		waiting.Go(func() {
			if got := w.do(get("/api/v1/logs?min_position=2&wait=9s", w.token("reader"))); got.status != 200 {
				t.Errorf("a waiting search: %d %s", got.status, got.body)
			}
		})
	}
	w.used("reads", 2)
	checkOverloaded(t, "a third read", w.do(get("/api/v1/logs", w.token("reader"))))
	if got := w.do(post(w.token("writer"), goodEntry)); got.status != 201 { // ends the wait
		t.Errorf("a write beside: %d %s", got.status, got.body)
	}
	waiting.Wait()
	w.used("reads", 0)

	waits := w.held(1, w.waitingExport())[0]
	w.used("downloads", 1)
	checkOverloaded(t, "a replay beside an export", w.do(get("/api/v1/replay", w.token("auditor"))))
	if got := w.do(get("/api/v1/logs", w.token("reader"))); got.status != 200 {
		t.Errorf("a search beside: %d %s", got.status, got.body)
	}
	_ = waits.Close()
	w.used("downloads", 0)
	w.used("reads", 0)
}

// TestFullLanesSayWhenToComeBack shows that what the append lanes refuse is told as they say.
func TestFullLanesSayWhenToComeBack(t *testing.T) {
	w := newWorld(t, httpapi.Config{})
	w.over(fullLanes{w.commands}, w.queries, httpapi.Config{})
	got := w.do(post(w.token("writer"), goodEntry))
	checkOverloaded(t, "a full lane", got)
	if got.header.Get("Retry-After") != "7" || got.header.Get("RateLimit") != "" {
		t.Errorf("%v", got.header)
	}
}

// TestEveryRouteHasARate keeps a new route from having none: only what has bounds of its own may.
func TestEveryRouteHasARate(t *testing.T) {
	free := []string{"streamEntries"}
	doc := readOpenAPI(t)
	for path, methods := range doc.Paths {
		for _, op := range methods {
			limits := op.Responses["503"].Description
			if strings.Contains(limits, fault.Overloaded.String()) == slices.Contains(free, op.OperationID) {
				t.Errorf("%s %s: 503 is %q", path, op.OperationID, limits)
			}
			for status, fields := range map[string][]string{"429": {"Retry-After", "RateLimit", "RateLimit-Policy"}, "503": {"Retry-After"}} {
				for _, field := range fields {
					if _, ok := op.Responses[status].Headers[field]; !ok {
						t.Errorf("%s: %s has no %s", op.OperationID, status, field)
					}
				}
			}
		}
	}
}

// TestThirdExportHasItsQuota is of row I7: exports of a tenant at the same time.
func TestThirdExportHasItsQuota(t *testing.T) {
	w := newWorld(t, httpapi.Config{})
	w.held(2, w.waitingExport())
	w.used("downloads", 2)
	checkRefused(t, "a third export", w.do(get("/api/v1/logs/export?format=ndjson", w.token("reader", "export"))), "exports-at-once", 2, 0)
}
