package httpapi_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"auditlog/eventstore"
	"auditlog/internal/criteria"
	"auditlog/query"
	"auditlog/transport/httpapi"
	"auditlog/transport/httpapi/auth"
)

// message is what comes over a stream.
type message struct {
	Type     string
	Position int64
	Entry    struct {
		ID       string
		Position int64
		Erased   any
		Revision int
	}
}

func (w *world) dial(path, token string) (*websocket.Conn, *http.Response, error) {
	w.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	header := http.Header{}
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	conn, res, err := websocket.Dial(ctx, "ws://"+w.addr+path, &websocket.DialOptions{HTTPHeader: header})
	if err == nil {
		w.tb.Cleanup(func() { _ = conn.CloseNow() })
	}
	return conn, res, err
}

// watch opens a stream that must open.
func (w *world) watch(path, token string) *websocket.Conn {
	w.tb.Helper()
	conn, res, err := w.dial(path, token)
	if err != nil {
		w.tb.Fatalf("%s: %v %v", path, err, res)
	}
	return conn
}

func next(tb testing.TB, conn *websocket.Conn) (m message, err error) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, b, err := conn.Read(ctx)
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(b, &m); err != nil {
		tb.Fatalf("%q: %v", b, err)
	}
	return m, nil
}

func mustNext(tb testing.TB, conn *websocket.Conn) message {
	tb.Helper()
	return must(next(tb, conn))(tb)
}

// nextItem is the next message that is no heartbeat: those come when the clock says so, on a busy machine before any item.
func nextItem(tb testing.TB, conn *websocket.Conn) message {
	tb.Helper()
	for {
		if m := mustNext(tb, conn); m.Type != "heartbeat" {
			return m
		}
	}
}

// wantHeartbeat reads heartbeats, and nothing else, until one tells the position.
func wantHeartbeat(tb testing.TB, conn *websocket.Conn, at int64) {
	tb.Helper()
	for {
		m := mustNext(tb, conn)
		if m.Type != "heartbeat" || m.Position > at {
			tb.Fatalf("waiting for the heartbeat of position %d: %+v", at, m)
		}
		if m.Position == at {
			return
		}
	}
}

// ended reads until the connection closes and gives its code and reason.
func ended(tb testing.TB, conn *websocket.Conn) (websocket.StatusCode, string) {
	tb.Helper()
	for {
		if _, err := next(tb, conn); err != nil {
			var closed websocket.CloseError
			if !errors.As(err, &closed) {
				tb.Fatalf("ended without a close frame: %v", err)
			}
			return closed.Code, closed.Reason
		}
	}
}

func TestStreamOverWebSocket(t *testing.T) {
	w := newWorld(t, httpapi.Config{Stream: httpapi.StreamConfig{Heartbeat: 50 * time.Millisecond}})
	first := w.post(goodEntry)["id"].(string)
	past := w.watch("/api/v1/logs/stream?after=0", w.token("reader"))
	if m := nextItem(t, past); m.Type != "entry" || m.Entry.ID != first {
		t.Fatalf("after=0: %+v", m)
	}
	wantHeartbeat(t, past, 2)
	live := w.watch("/api/v1/logs/stream?action=document.shared", w.token("auditor"))
	second := w.post(goodEntry)["id"].(string)
	w.post(strings.Replace(goodEntry, "document.shared", "other", 1))
	w.do(call{method: "PATCH", path: "/api/v1/logs/" + second, token: w.token("writer"), body: `{"message":"m","reason":"r"}`})
	w.do(call{method: "DELETE", path: "/api/v1/logs/" + second, token: w.token("tenant_admin"), body: `{"reason":"r"}`})
	var seen []string
	for len(seen) < 3 {
		m := nextItem(t, live)
		if m.Entry.ID != second {
			t.Fatalf("a stream of one action delivered %+v", m)
		}
		seen = append(seen, m.Type)
	}
	if fmt.Sprint(seen) != "[entry amended erased]" {
		t.Errorf("saw %v", seen)
	}
	wantHeartbeat(t, live, 6)
	w.server.Drain()
	if code, reason := ended(t, live); code != websocket.StatusGoingAway || reason != "position 6" {
		t.Errorf("drained with %v %q", code, reason)
	}
}

func TestStreamOverEvents(t *testing.T) {
	w := newWorld(t, httpapi.Config{Stream: httpapi.StreamConfig{Heartbeat: 50 * time.Millisecond}})
	id := w.post(goodEntry)["id"].(string)
	w.post(goodEntry)
	open := func(path, token, last string) (*http.Response, *bufio.Scanner) {
		req := must(http.NewRequest("GET", "http://"+w.addr+path, nil))(t)
		req.Header.Set("Accept", "text/event-stream")
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		if last != "" {
			req.Header.Set("Last-Event-ID", last)
		}
		res := must(http.DefaultTransport.RoundTrip(req))(t)
		t.Cleanup(func() { _ = res.Body.Close() })
		return res, bufio.NewScanner(res.Body)
	}
	message := func(lines *bufio.Scanner) (got []string) {
		for lines.Scan() && lines.Text() != "" {
			got = append(got, lines.Text())
		}
		return got
	}
	event := func(lines *bufio.Scanner) []string { // heartbeats come when the clock says so
		for {
			if got := message(lines); len(got) == 0 || got[0] != "event: heartbeat" {
				return got
			}
		}
	}
	res, lines := open("/api/v1/logs/stream?after=0", w.token("reader"), "")
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != "text/event-stream" || event(lines)[0][0] != ':' {
		t.Fatalf("%d %v", res.StatusCode, res.Header)
	}
	got := event(lines)
	if len(got) != 3 || got[0] != "event: entry" || got[1] != "id: 2" || !strings.HasPrefix(got[2], `data: {"type":"entry","entry":{"id":"`+id) {
		t.Errorf("first event: %q", got)
	}
	if got := event(lines); got[1] != "id: 3" {
		t.Errorf("second event: %q", got)
	}
	got = message(lines)
	for len(got) == 3 && got[0] == "event: heartbeat" && got[1] != "id: 3" { // of a moment before the second event was passed
		got = message(lines)
	}
	if len(got) != 3 || got[0] != "event: heartbeat" || got[1] != "id: 3" || got[2] != `data: {"type":"heartbeat","position":3}` {
		t.Errorf("heartbeat: %q", got)
	}
	// An EventSource comes back to its first URL with the id that it saw last.
	ticket := object(t, w.do(call{method: "POST", path: "/api/v1/logs/stream/tickets", token: w.token("reader")}).body)["ticket"].(string)
	_, lines = open("/api/v1/logs/stream?after=0&ticket="+ticket, "", "2")
	event(lines)
	if got := event(lines); got[1] != "id: 3" {
		t.Errorf("resumed at %q", got)
	}
	for _, bad := range []string{"x", "-1", "1e3", "+5", "05"} {
		if res, _ := open("/api/v1/logs/stream", w.token("reader"), bad); res.StatusCode != 422 {
			t.Errorf("Last-Event-ID %q: %d", bad, res.StatusCode)
		}
	}
}

// TestTickets shows that a ticket opens one stream, for its own tenant, while it is young.
func TestTickets(t *testing.T) {
	var later atomic.Int64 // what the server's clock is ahead
	w := newWorld(t, httpapi.Config{Now: func() time.Time { return time.Now().Add(time.Duration(later.Load())) }})
	issue := func() string {
		got := w.do(call{method: "POST", path: "/api/v1/logs/stream/tickets", token: w.token("reader")})
		if got.status != 201 || got.header.Get("Cache-Control") != "no-store" {
			t.Fatalf("%d %s", got.status, got.body)
		}
		return object(t, got.body)["ticket"].(string)
	}
	ticket := issue()
	w.watch("/api/v1/logs/stream?ticket="+ticket, "")
	refused := func(name, query, token string) {
		t.Helper()
		if _, res, err := w.dial("/api/v1/logs/stream?"+query, token); err == nil || res.StatusCode != 401 {
			t.Errorf("%s: %v %v", name, err, res)
		}
	}
	refused("a used ticket", "ticket="+ticket, "")
	refused("a made-up ticket", "ticket=AAAA", "")
	old := issue()
	later.Store(int64(31 * time.Second))
	refused("an old ticket", "ticket="+old, "")
	if got := w.do(get("/api/v1/logs?ticket="+issue(), "")); got.status != 401 {
		t.Errorf("a ticket opened another route: %d", got.status)
	}
	for range 25 {
		if got := w.do(call{method: "POST", path: "/api/v1/logs/stream/tickets", token: w.token("reader")}); got.status == 429 {
			return
		}
	}
	t.Error("tickets are not limited")
}

// TestStreamRefusals is row K4: neither another tenant nor more than the role may see.
func TestStreamRefusals(t *testing.T) {
	w := newWorld(t, httpapi.Config{})
	for query, want := range map[string]int{
		"kind=access": 403, "kind=all": 403, "tenant_id=" + w.b.ID.String(): 403, "after=-1": 422, "after=99": 422, "colour=red": 422, "q=" + strings.Repeat("a+", 100): 422,
	} {
		if _, res, err := w.dial("/api/v1/logs/stream?"+query, w.token("reader")); err == nil || res.StatusCode != want {
			t.Errorf("%s: %v %v", query, err, res)
		}
	}
}

// TestStreamRefusesFrames is row K6.
func TestStreamRefusesFrames(t *testing.T) {
	w := newWorld(t, httpapi.Config{})
	for _, c := range []struct {
		name string
		kind websocket.MessageType
		sent string
		code websocket.StatusCode
	}{
		{"binary", websocket.MessageBinary, "x", websocket.StatusUnsupportedData},
		{"not UTF-8", websocket.MessageText, "\xff", websocket.StatusInvalidFramePayloadData},
		{"a command", websocket.MessageText, `{"subscribe":"*"}`, websocket.StatusPolicyViolation},
		{"too long", websocket.MessageText, strings.Repeat("a", 5000), websocket.StatusMessageTooBig},
	} {
		conn := w.watch("/api/v1/logs/stream", w.token("reader"))
		if err := conn.Write(context.Background(), c.kind, []byte(c.sent)); err != nil {
			t.Fatal(err)
		}
		if code, reason := ended(t, conn); code != c.code {
			t.Errorf("%s: %v %q", c.name, code, reason)
		}
	}
}

// TestStreamEndsWithItsCredential is row K7: expiry, and a tenant that is suspended meanwhile.
func TestStreamEndsWithItsCredential(t *testing.T) {
	w := newWorld(t, httpapi.Config{Stream: httpapi.StreamConfig{Recheck: 50 * time.Millisecond}})
	expiring := must(auth.Mint(secret, auth.Grant{Issuer: "auditlog", Subject: "svc", Tenant: w.a.ID.String(), Roles: []string{"reader"},
		IssuedAt: time.Now().Add(-time.Hour), TTL: time.Hour - auth.Leeway + 2*time.Second}))(t)
	conn := w.watch("/api/v1/logs/stream", expiring)
	if code, reason := ended(t, conn); code != websocket.StatusPolicyViolation || !strings.Contains(reason, "position 1") {
		t.Errorf("expired: %v %q", code, reason)
	}
	suspend := &suspendLater{Commands: w.commands}
	w.over(suspend, w.queries, httpapi.Config{Stream: httpapi.StreamConfig{Recheck: 50 * time.Millisecond}})
	conn = w.watch("/api/v1/logs/stream", w.token("reader"))
	suspend.now.Store(true)
	if code, reason := ended(t, conn); code != websocket.StatusPolicyViolation {
		t.Errorf("suspended: %v %q", code, reason)
	}
}

// TestStreamLimits is row K9: places are counted and given back, and who falls behind is told where.
func TestStreamLimits(t *testing.T) {
	w := newWorld(t, httpapi.Config{Stream: httpapi.StreamConfig{PerUser: 2, PerTenant: 3, PerProcess: 4}})
	as := func(subject, tenant string) string {
		return must(auth.Mint(secret, auth.Grant{Issuer: "auditlog", Subject: subject, Tenant: tenant, Roles: []string{"reader"}, IssuedAt: time.Now(), TTL: time.Hour}))(t)
	}
	a, b := w.a.ID.String(), w.b.ID.String()
	full := func(name, token string) {
		t.Helper()
		_, res, err := w.dial("/api/v1/logs/stream", token)
		if err == nil || res.StatusCode != 429 || res.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %v %v", name, err, res)
		}
	}
	first := w.watch("/api/v1/logs/stream", as("ana", a))
	w.watch("/api/v1/logs/stream", as("ana", a))
	full("third of a user", as("ana", a))
	w.watch("/api/v1/logs/stream", as("ben", a))
	full("fourth of a tenant", as("cy", a))
	w.watch("/api/v1/logs/stream", as("ana", b))
	full("fifth of the process", as("ben", b))
	_ = first.Close(websocket.StatusNormalClosure, "")
	eventually(t, "the place is given back", func() bool {
		_, _, err := w.dial("/api/v1/logs/stream", as("ben", b))
		return err == nil
	})

	w.over(w.commands, lagging{w.queries, w.store, w}, httpapi.Config{})
	conn := w.watch("/api/v1/logs/stream", w.token("reader"))
	if m := mustNext(t, conn); m.Type != "lagged" || m.Position != 7 {
		t.Errorf("fell behind: %+v", m)
	}
	if code, reason := ended(t, conn); code != websocket.StatusTryAgainLater || reason != "position 7" {
		t.Errorf("fell behind: %v %q", code, reason)
	}
}

// lagging is a read side whose streams fall behind at once.
type lagging struct {
	*query.Queries
	store query.Store
	w     *world
}

func (l lagging) Stream(ctx context.Context, r query.Reader, after *eventstore.Position, c criteria.Criteria) (*query.Stream, error) {
	return query.New(l.store, l.w.opener, nil, nil, laggingFeed{}, [32]byte{}, query.Options{}).Stream(ctx, r, after, c)
}

type laggingFeed struct{}

func (laggingFeed) Subscribe(context.Context, eventstore.TenantID, eventstore.Position) (query.Subscription, error) {
	return laggingFeed{}, nil
}

func (laggingFeed) Next(context.Context) (query.StreamItem, error) {
	return query.StreamItem{}, &query.LaggedError{After: 7}
}

func (laggingFeed) Close() {}

// TestPingsFindDeadClients shows that a connection whose other end is gone silent is given up.
func TestPingsFindDeadClients(t *testing.T) {
	w := newWorld(t, httpapi.Config{Stream: httpapi.StreamConfig{Ping: 50 * time.Millisecond, Pong: 50 * time.Millisecond, PerUser: 1}})
	w.watch("/api/v1/logs/stream", w.token("reader")) // answers pings only while it reads, which it does not
	eventually(t, "the dead stream is given up", func() bool {
		_, _, err := w.dial("/api/v1/logs/stream", w.token("reader"))
		return err == nil
	})
}
