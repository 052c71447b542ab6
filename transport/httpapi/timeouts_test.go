package httpapi_test

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"auditlog/transport/httpapi"
)

// sendSlowly sends a request's head at once, and its body in parts with a pause before each. It gives all that comes back.
func (w *world) sendSlowly(head string, pause time.Duration, parts ...string) string {
	w.tb.Helper()
	conn := must(net.Dial("tcp", w.addr))(w.tb)
	sent := make(chan struct{})
	defer func() { _ = conn.Close(); <-sent }()
	go func() {
		defer close(sent)
		_, err := io.WriteString(conn, head)
		for i := 0; err == nil && i < len(parts); i++ {
			time.Sleep(pause) // the client's own pace
			_, err = io.WriteString(conn, parts[i])
		}
	}()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		w.tb.Fatal(err)
	}
	answer, _ := io.ReadAll(conn) // the server may reset behind its answer
	return string(answer)
}

// TestSlowBodiesHaveTheirTime shows that the time for the work on a request, and the one for its answer, begin when the
// body is there.
func TestSlowBodiesHaveTheirTime(t *testing.T) {
	w := newWorld(t, httpapi.Config{})
	w.over(w.commands, w.queries, httpapi.Config{HandlerTimeout: 200 * time.Millisecond, WriteTimeout: 200 * time.Millisecond})
	for path, body := range map[string]string{"/api/v1/logs": goodEntry, "/api/v1/logs/bulk": `{"entries":[` + goodEntry + `]}`} {
		head := w.head1("POST", path, fmt.Sprintf("Content-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n", len(body)))
		answer := w.sendSlowly(head, 300*time.Millisecond, body[:10], body[10:])
		if !strings.HasPrefix(answer, "HTTP/1.1 201 ") {
			t.Errorf("%s: %.300q", path, answer)
		}
	}
}

// TestStalledBulkIsAnswered shows that a body which never ends is answered however long ago its head came.
func TestStalledBulkIsAnswered(t *testing.T) {
	w := newWorld(t, httpapi.Config{})
	w.over(w.commands, w.queries, httpapi.Config{BulkTimeout: 400 * time.Millisecond, WriteTimeout: 200 * time.Millisecond})
	head := w.head1("POST", "/api/v1/logs/bulk", "Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n")
	answer := w.sendSlowly(head, 100*time.Millisecond, strings.Split(`{"entries":[`, "")...)
	if !strings.HasPrefix(answer, "HTTP/1.1 408 ") || !strings.Contains(answer, "/problems/timeout") || !strings.Contains(answer, "Connection: close") {
		t.Errorf("%.300q", answer)
	}
}
