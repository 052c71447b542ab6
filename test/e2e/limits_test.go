package e2e

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"auditlog/test/stack"
)

// tally counts answers by status.
type tally struct {
	mu      sync.Mutex
	answers map[int]int
}

// post sends one entry and gives the answer's status and header.
func (s *server) post() (int, http.Header) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.url+"/api/v1/logs", strings.NewReader(`{"action":"a","actor":{"id":"x"},"resource":{"type":"t"}}`))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.tokens["writer"])
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Error(err)
		return 0, nil
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	return resp.StatusCode, resp.Header
}

// shows tells whether a line is among a process's metrics.
func shows(t *testing.T, n *stack.Node, line string) bool {
	t.Helper()
	resp, err := http.Get(n.Ops + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(text), "\n"+line+"\n")
}

// TestProcessesShareARate floods two APIs on one database, first one of them and then both, and finds that a tenant gets
// from them together what is configured.
func TestProcessesShareARate(t *testing.T) {
	const rate = 50
	w := newWorld(t)
	limited := map[string]string{"AUDITLOG_LIMIT_REQUESTS": strconv.Itoa(rate)}
	nodes := []*stack.Node{w.Start(limited, "api"), w.Start(limited, "api")}
	first := w.server(nodes[0], w.Worker())
	second := first.over(nodes[1])
	for _, node := range nodes {
		first.until("both processes know of each other", func() bool { return shows(t, node, "auditlog_limit_processes 2") })
	}

	seen := tally{answers: map[int]int{}}
	start := time.Now()
	flood := func(span time.Duration, servers ...*server) {
		var all sync.WaitGroup
		for _, s := range servers {
			for range 4 {
				all.Go(func() {
					for end := time.Now().Add(span); time.Now().Before(end); {
						status, header := s.post()
						if after, err := strconv.Atoi(header.Get("Retry-After")); status == 429 && (err != nil || after < 1 || header.Get("RateLimit") == "") {
							t.Errorf("429 with %v", header)
						}
						seen.mu.Lock()
						seen.answers[status]++
						seen.mu.Unlock()
					}
				})
			}
		}
		all.Wait()
	}
	flood(4*time.Second, first)
	flood(4*time.Second, first, second)
	seconds := time.Since(start).Seconds()
	stored := float64(seen.answers[201])
	// After a rest there are two bursts in each process at most; the bound goes by the time that passed on this machine.
	if most := 2*2*rate + 1.05*rate*seconds; stored > most {
		t.Errorf("%v in %.1f s; at most %.0f were to be stored", seen.answers, seconds, most)
	}
	if seen.answers[429] == 0 || len(seen.answers) != 2 {
		t.Errorf("answers: %v", seen.answers)
	}
	if least := rate * (seconds - 4) / 2; stored < least {
		t.Errorf("%v in %.1f s; at least %.0f were to be stored", seen.answers, seconds, least)
	}
	t.Logf("%v in %.1f s at %d/s", seen.answers, seconds, rate)
}
