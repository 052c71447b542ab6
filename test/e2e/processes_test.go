package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"auditlog/test/stack"
)

// TestProcessesAreOneService writes to either of two APIs and reads at once from the other, with two workers behind.
func TestProcessesAreOneService(t *testing.T) {
	w := newWorld(t)
	apis := []*stack.Node{w.API(), w.API()}
	first := w.server(apis[0], w.Worker())
	w.Worker()
	both := []*server{first, first.over(apis[1])}
	streams := []*socket{both[0].dial(1), both[1].dial(1)}
	l := newLedger()
	const entries = 12
	for n := range entries {
		here, there := both[n%2], both[1-n%2]
		id := l.single(here, fmt.Sprint(n))
		if id == "" {
			t.Fatal("a write fails")
		}
		there.get("reader", "/api/v1/logs/"+id) // visible since it was acknowledged
		if got := there.list("", l.acked[id]); got.Total.Value != n+1 || got.Items[0].ID != id {
			t.Errorf("after entry %d the other API lists %+v", n, got)
		}
		l.retry(there, fmt.Sprint(n))
	}
	for i, s := range streams {
		if last := s.until(1 + entries); last != 1+entries {
			t.Errorf("stream %d ends at %d", i, last)
		}
	}
	both[0].replay(entries)
	both[1].sameTotals(entries, entries, 1+entries)
}

// socket is an open live stream.
type socket struct {
	s    *server
	conn *websocket.Conn
	last int64 // position that came
	err  error // how it ended
	done chan struct{}
	mu   sync.Mutex
}

// dial opens a stream after a position, and checks that positions come without a gap. Entries are all that is written.
func (s *server) dial(after int64) *socket {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	url := fmt.Sprintf("ws%s/api/v1/logs/stream?after=%d", strings.TrimPrefix(s.url, "http"), after)
	conn, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"Bearer " + s.tokens["reader"]}}})
	if err != nil {
		s.t.Fatal(err)
	}
	conn.SetReadLimit(1 << 20)
	k := &socket{s: s, conn: conn, last: after, done: make(chan struct{})}
	s.t.Cleanup(func() {
		_ = conn.CloseNow()
		<-k.done
		cancel()
	})
	go k.read(ctx)
	return k
}

func (k *socket) read(ctx context.Context) {
	defer close(k.done)
	for {
		_, message, err := k.conn.Read(ctx)
		if err != nil {
			k.err = err
			return
		}
		if !strings.HasPrefix(string(message), `{"type":"entry"`) {
			continue
		}
		k.mu.Lock()
		if k.last++; !strings.Contains(string(message), `"position":`+strconv.FormatInt(k.last, 10)+",") {
			k.s.t.Errorf("where position %d is due %s comes", k.last, message)
		}
		k.mu.Unlock()
	}
}

// until waits for a position, and gives the last that came.
func (k *socket) until(position int64) int64 {
	k.s.t.Helper()
	var last int64
	k.s.until(fmt.Sprint("position ", position, " in the stream"), func() bool {
		k.mu.Lock()
		defer k.mu.Unlock()
		last = k.last
		return last >= position
	})
	return last
}

// drainTime is what a process has to end in.
const drainTime = 30 * time.Second

// end waits for a node that was told to end.
func end(t *testing.T, n *stack.Node) {
	t.Helper()
	start := time.Now()
	if err := n.End(syscall.SIGTERM); err != nil || time.Since(start) > drainTime {
		t.Errorf("the process ended after %v with %v\n%s", time.Since(start), err, n.Output)
	}
	t.Logf("ended after %v", time.Since(start))
}

// TestDrain ends an API and a worker under load: what was accepted is answered, streams are closed with their position,
// and what a worker had in hand is another's at once.
func TestDrain(t *testing.T) {
	w := newWorld(t)
	w.Do("queues", "ensure", "--queue-visibility", "300s") // more than anybody here waits
	apis := []*stack.Node{w.API(), w.API()}
	workers := []*stack.Node{w.Worker(), w.Worker()}
	first := w.server(apis[0], workers[1])
	second := first.over(apis[1])
	stream := first.dial(1)
	l := newLedger()

	var writers sync.WaitGroup
	for n := range 4 {
		writers.Go(func() { l.post(first, n) })
	}
	stream.until(100)
	end(t, apis[0])
	writers.Wait()
	<-stream.done
	var closed websocket.CloseError
	if !errors.As(stream.err, &closed) || closed.Code != websocket.StatusGoingAway || closed.Reason != fmt.Sprint("position ", stream.last) {
		t.Errorf("after position %d the stream ended with %v", stream.last, stream.err)
	}

	rest := second.dial(stream.last)
	stop := make(chan struct{})
	for n := range 4 {
		writers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				l.mu.Lock()
				l.sent++
				l.mu.Unlock()
				if l.single(second, fmt.Sprint("second-", n, "-", i)) == "" {
					t.Error("a write fails while a worker ends")
					return
				}
			}
		})
	}
	rest.until(stream.last + 200)
	end(t, workers[0])
	rest.until(rest.until(0) + 200)
	close(stop)
	writers.Wait()
	events := second.events()
	if entries := l.stored(t, events); entries != len(l.acked) {
		t.Errorf("%d entries are stored and %d were acknowledged: an API did not answer what it had accepted", entries, len(l.acked))
	}
	second.sameTotals(len(l.acked), len(l.acked), int64(len(events)))
	rest.until(int64(len(events)))
	second.until("empty queues", func() bool {
		for _, line := range strings.Split(strings.TrimSpace(w.Do("queues", "show")), "\n")[1:] {
			if f := strings.Fields(line); len(f) != 7 || f[1] != "0" || f[2] != "0" || f[3] != "0" || f[4] != "0" {
				return false
			}
		}
		return true
	})
	end(t, workers[1])
	end(t, apis[1])
}

// post sends entries until the API refuses or is gone. A connection may be closed just as a request sets out on it: the
// API has not accepted that one then.
func (l *ledger) post(s *server, writer int) {
	for n := 0; ; n++ {
		key := fmt.Sprint("first-", writer, "-", n)
		l.mu.Lock()
		l.sent++
		l.mu.Unlock()
		answer, status, err := s.try("writer", http.MethodPost, "/api/v1/logs", body(key))
		switch {
		case err == nil && status == http.StatusCreated:
			var e struct {
				ID       string
				Position int64
			}
			if err := json.Unmarshal(answer, &e); err != nil {
				s.t.Error(err)
			}
			l.ack(key, e.ID, e.Position, answer)
		case err == nil && status == http.StatusServiceUnavailable, err != nil && hungUp(err):
			return
		default:
			s.t.Errorf("while the API drains a write answers %d %s, %v", status, answer, err)
			return
		}
	}
}

// hungUp tells whether a request met a server that is gone or just closed its idle connections. The last is an error of
// net/http that has no name: the connection ended before a byte of an answer, and it is not sent again since it is a POST.
// What the server might have stored of such a request shows where the stored entries are counted.
func hungUp(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		errors.Is(err, io.EOF) || strings.HasSuffix(err.Error(), "http: server closed idle connection")
}
