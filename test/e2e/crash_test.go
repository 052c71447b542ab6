package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// ledger is what clients know: entries that were acknowledged, by id, and how many were sent at all.
type ledger struct {
	mu    sync.Mutex
	acked map[string]int64
	keys  map[string]string // idempotency key → id
	sent  int
}

func (l *ledger) ack(key, id string, position int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acked[id], l.keys[key] = position, id
}

func body(key string) string {
	return `{"action":"crash.test","actor":{"id":"ann"},"resource":{"type":"thing"},"message":"` + strings.Repeat("x", 200) + `","idempotency_key":"` + key + `"}`
}

// write posts single entries and bulks until the service is gone.
func (l *ledger) write(s *server, worker, round int) {
	for n := 0; ; n++ {
		key := fmt.Sprintf("%d-%d-%d", round, worker, n)
		l.mu.Lock()
		l.sent += 1 + 10*(n%2)
		l.mu.Unlock()
		if n%2 == 0 {
			answer, status, err := s.try("writer", http.MethodPost, "/api/v1/logs", body(key))
			if err != nil || status != http.StatusCreated {
				return
			}
			var e struct {
				ID       string
				Position int64
			}
			if json.Unmarshal(answer, &e) != nil {
				return
			}
			l.ack(key, e.ID, e.Position)
			continue
		}
		if status, _ := l.bulk(s, key); status != http.StatusCreated {
			return
		}
	}
}

// bulk posts eleven entries; status 0 means that no answer came.
func (l *ledger) bulk(s *server, key string) (status int, answer []byte) {
	entries := make([]string, 11)
	for i := range entries {
		entries[i] = body(fmt.Sprintf("%s-%d", key, i))
	}
	answer, status, err := s.try("writer", http.MethodPost, "/api/v1/logs/bulk", `{"entries":[`+strings.Join(entries, ",")+`]}`)
	var items struct {
		Items []struct {
			ID       string
			Position int64
		}
	}
	switch {
	case err != nil:
		return 0, nil
	case status != http.StatusCreated || json.Unmarshal(answer, &items) != nil:
		return status, answer
	}
	for i, item := range items.Items {
		l.ack(fmt.Sprintf("%s-%d", key, i), item.ID, item.Position)
	}
	return status, answer
}

// TestKillLosesNothing kills the service under load at random moments. What was acknowledged is there, at its position;
// what was not is there at most once; the log is dense; and a retry by key gives the first answer.
func TestKillLosesNothing(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	l := &ledger{acked: map[string]int64{}, keys: map[string]string{}}
	for round := range 6 {
		s := serve(t, dir)
		var writers sync.WaitGroup
		for worker := range 4 {
			writers.Go(func() { l.write(s, worker, round) })
		}
		<-time.After(time.Duration(20+r.IntN(400)) * time.Millisecond)
		s.kill()
		writers.Wait()
	}
	s := serve(t, dir)
	if len(l.acked) == 0 {
		t.Fatal("nothing was acknowledged")
	}
	places := s.replay(-1)
	for id, position := range l.acked {
		if places[id] != position {
			t.Errorf("%s was acknowledged at %d and is at %d", id, position, places[id])
		}
	}
	if entries := len(places) - 1; entries > l.sent {
		t.Errorf("%d entries from %d that were sent", entries, l.sent)
	}
	if got := s.list("", int64(len(places))).Total.Value; got != len(places)-1 {
		t.Errorf("%d entries are found, %d stored", got, len(places)-1)
	}
	for key, id := range l.keys {
		answer, status, err := s.try("writer", http.MethodPost, "/api/v1/logs", body(key))
		if err != nil || status != http.StatusCreated || !strings.Contains(string(answer), id) {
			t.Errorf("a retry of %s answers %d %s, %v", key, status, answer, err)
		}
		break
	}
	t.Logf("%d acknowledged, %d stored, %d sent", len(l.acked), len(places)-1, l.sent)
}

// TestNoRoom lets files grow to a limit only, as a full disk does: writes are refused with 503 and nothing of them is
// stored, reads go on, and with room again everything acknowledged is there and writes work.
func TestNoRoom(t *testing.T) {
	dir := t.TempDir()
	args := []string{"-c", `ulimit -f 4096; exec "$0" "$@"`, binary, "serve", "--quickstart", "--data-dir", dir, "--addr", "127.0.0.1:0", "--ops-addr", "127.0.0.1:0", "--log-level", "ERROR"}
	s := launch(t, exec.Command("sh", args...))
	l := &ledger{acked: map[string]int64{}, keys: map[string]string{}}
	status, answer := http.StatusCreated, []byte(nil)
	for n := 0; status == http.StatusCreated; n++ {
		if n > 5000 {
			t.Fatal("the limit is never met")
		}
		status, answer = l.bulk(s, fmt.Sprint(n))
	}
	if status != http.StatusServiceUnavailable || !strings.Contains(string(answer), "/problems/unavailable") {
		t.Errorf("without room a write answers %d %s\n%s", status, answer, s.stderr)
	}
	s.get("reader", "/api/v1/logs?limit=1")
	s.kill()

	s = serve(t, dir)
	places := s.replay(-1)
	for id, position := range l.acked {
		if places[id] != position {
			t.Errorf("%s was acknowledged at %d and is at %d", id, position, places[id])
		}
	}
	if entries := len(places) - 1; entries != len(l.acked) {
		t.Errorf("%d entries are stored, %d were acknowledged", entries, len(l.acked))
	}
	if status, answer := l.bulk(s, "room-again"); status != http.StatusCreated {
		t.Errorf("with room again a write answers %d %s", status, answer)
	}
}
