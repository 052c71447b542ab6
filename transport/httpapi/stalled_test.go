package httpapi_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"auditlog/transport/httpapi"
)

// fill records more than the buffers of a connection hold: some 8 MB.
func (w *world) fill() {
	w.tb.Helper()
	big := strings.Replace(goodEntry, "shared the budget", strings.Repeat("x", 8000), 1)
	bulk := `{"entries":[` + strings.Repeat(big+",", 499) + big + `]}`
	for range 2 {
		if got := w.do(call{method: "POST", path: "/api/v1/logs/bulk", token: w.token("writer"), body: bulk}); got.status != 201 {
			w.tb.Fatalf("%d %.200s", got.status, got.body)
		}
	}
}

// smallBuffer dials with little room at the client's end, but enough for the large segments of a loopback.
func smallBuffer(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return conn, conn.(*net.TCPConn).SetReadBuffer(256 << 10)
}

// openStalled opens a stream of all that is stored and waits until the server's write of a message blocks.
func (w *world) openStalled() *websocket.Conn {
	w.tb.Helper()
	conn, _, err := websocket.Dial(context.Background(), "ws://"+w.addr+"/api/v1/logs/stream?after=0", &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: &http.Transport{DialContext: smallBuffer}}, HTTPHeader: http.Header{"Authorization": {"Bearer " + w.token("reader")}},
	})
	if err != nil {
		w.tb.Fatal(err)
	}
	w.tb.Cleanup(func() { _ = conn.CloseNow() })
	conn.SetReadLimit(1 << 20)
	eventually(w.tb, "the server's write blocks", func() bool { return blockedIn("httpapi.(*socket).send") })
	return conn
}

// blockedIn tells whether a goroutine waits for the network within a function.
func blockedIn(function string) bool {
	for goroutine := range strings.SplitSeq(goroutines(), "\n\n") {
		if strings.Contains(goroutine, "[IO wait") && strings.Contains(goroutine, function) {
			return true
		}
	}
	return false
}

// A late client does not read for stall, of which a write may take lateAfter, and writePatience times that in all: some
// 1 s of room to either side.
const (
	lateAfter = 2 * time.Second
	stall     = 2900 * time.Millisecond
)

// TestLateReaderIsToldWhere is row K9: who reads again within the time is told that it fell behind, and where.
func TestLateReaderIsToldWhere(t *testing.T) {
	w := newWorld(t, httpapi.Config{Stream: httpapi.StreamConfig{WriteTimeout: lateAfter}})
	w.fill()
	conn := w.openStalled()
	time.Sleep(stall)
	last := int64(0)
	for {
		m := mustNext(t, conn)
		if m.Type == "lagged" {
			if m.Position != last || last == 0 {
				t.Errorf("lagged at %d after %d", m.Position, last)
			}
			break
		}
		last = m.Entry.Position
	}
	if code, reason := ended(t, conn); code != websocket.StatusTryAgainLater || reason != "position "+strconv.FormatInt(last, 10) {
		t.Errorf("closed with %v %q after position %d", code, reason, last)
	}
}

// TestStalledReaderIsReset shows that a client that stops reading for good is cut off, and that its place is given back.
func TestStalledReaderIsReset(t *testing.T) {
	w := newWorld(t, httpapi.Config{Stream: httpapi.StreamConfig{WriteTimeout: 500 * time.Millisecond, PerUser: 1}})
	w.fill()
	conn := w.openStalled()
	eventually(t, "the stalled stream is cut off", func() bool {
		other, _, err := w.dial("/api/v1/logs/stream", w.token("reader"))
		if err == nil {
			_ = other.CloseNow()
		}
		return err == nil
	})
	for {
		if _, err := next(t, conn); err != nil {
			if !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the stalled stream ends with %v", err)
			}
			return
		}
	}
}

// openEvents opens the same as Server-Sent Events.
func (w *world) openEvents() *bufio.Reader {
	w.tb.Helper()
	conn := must(smallBuffer(context.Background(), "tcp", w.addr))(w.tb)
	w.tb.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		w.tb.Fatal(err)
	}
	request := w.head1("GET", "/api/v1/logs/stream?after=0", "Accept: text/event-stream\r\n\r\n")
	if _, err := io.WriteString(conn, request); err != nil {
		w.tb.Fatal(err)
	}
	eventually(w.tb, "the server's write blocks", func() bool { return blockedIn("httpapi.(*events).write") })
	return bufio.NewReader(conn)
}

// TestLateEventsEndWithLagged is the same over Server-Sent Events: lagged is the last event, and the answer ends whole.
func TestLateEventsEndWithLagged(t *testing.T) {
	w := newWorld(t, httpapi.Config{Stream: httpapi.StreamConfig{WriteTimeout: lateAfter}})
	w.fill()
	conn := w.openEvents()
	time.Sleep(stall)
	res := must(http.ReadResponse(conn, nil))(t)
	body, err := io.ReadAll(res.Body)
	events := strings.Split(strings.TrimSuffix(string(body), "\n\n"), "\n\n")
	if err != nil || len(events) < 3 {
		t.Fatalf("%d events, %v", len(events), err)
	}
	_, id, _ := strings.Cut(events[len(events)-2], "\nid: ")
	id, _, _ = strings.Cut(id, "\n")
	if want := "event: lagged\nid: " + id + "\ndata: {\"type\":\"lagged\",\"position\":" + id + "}"; events[len(events)-1] != want || id == "" {
		t.Errorf("the last event is %.200q, want %q", events[len(events)-1], want)
	}
}

// TestStalledEventsAreReset shows that an answer which was given up never looks ended.
func TestStalledEventsAreReset(t *testing.T) {
	w := newWorld(t, httpapi.Config{Stream: httpapi.StreamConfig{WriteTimeout: 500 * time.Millisecond}})
	w.fill()
	conn := w.openEvents()
	eventually(t, "the stalled stream is cut off", func() bool { return !strings.Contains(goroutines(), "httpapi.(*Server).serveEvents") })
	res := must(http.ReadResponse(conn, nil))(t)
	if _, err := io.ReadAll(res.Body); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("ended with %v", err)
	}
}
