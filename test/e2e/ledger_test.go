package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
)

// ledger is what clients know: what was acknowledged, by the entry's id, and how many entries were sent at all.
type ledger struct {
	mu      sync.Mutex
	acked   map[string]int64  // entry → position
	keys    map[string]first  // by idempotency key
	amended map[string]string // event of the amendment → entry
	asked   map[string]bool   // entries whose erasure was asked for, answered or not
	erased  map[string]string // entry → event of the erasure
	sent    int
}

// first is what a key was answered first; answer is nil when the entry came in a bulk.
type first struct {
	id     string
	answer []byte
}

func newLedger() *ledger {
	return &ledger{acked: map[string]int64{}, keys: map[string]first{}, amended: map[string]string{}, asked: map[string]bool{}, erased: map[string]string{}}
}

func (l *ledger) ack(key, id string, position int64, answer []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acked[id], l.keys[key] = position, first{id, answer}
}

func (l *ledger) ofEachKind() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.keys) > 0 && len(l.amended) > 0 && len(l.erased) > 0
}

func body(key string) string {
	return `{"action":"crash.test","actor":{"id":"ann"},"resource":{"type":"thing"},"message":"` + strings.Repeat("x", 200) + `","idempotency_key":"` + key + `"}`
}

// write posts single entries and bulks, and amends and erases some of the entries, until the service is gone.
func (l *ledger) write(s *server, worker, round int) {
	for n := 0; ; n++ {
		key := fmt.Sprintf("%d-%d-%d", round, worker, n)
		l.mu.Lock()
		l.sent += 1 + 10*(n%2)
		l.mu.Unlock()
		if n%2 == 1 {
			if status, _ := l.bulk(s, key); status != http.StatusCreated {
				return
			}
			continue
		}
		id := l.single(s, key)
		kind := n/2 + worker // the workers begin with both, an erasure, an amendment, and neither
		if id == "" || kind%2 == 0 && !l.amend(s, id) || kind%4 < 2 && !l.erase(s, id) {
			return
		}
	}
}

// single posts one entry and gives its id, or nothing when no good answer came.
func (l *ledger) single(s *server, key string) string {
	answer, status, err := s.try("writer", http.MethodPost, "/api/v1/logs", body(key))
	var e struct {
		ID       string
		Position int64
	}
	if err != nil || status != http.StatusCreated || json.Unmarshal(answer, &e) != nil {
		return ""
	}
	l.ack(key, e.ID, e.Position, answer)
	return e.ID
}

func (l *ledger) amend(s *server, id string) bool {
	answer, status, err := s.try("writer", http.MethodPatch, "/api/v1/logs/"+id, `{"message":"xy","reason":"crash test"}`)
	var e struct {
		Amendments []struct {
			EventID string `json:"event_id"`
		}
	}
	if err != nil || status != http.StatusCreated || json.Unmarshal(answer, &e) != nil || len(e.Amendments) != 1 {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.amended[e.Amendments[0].EventID] = id
	return true
}

func (l *ledger) erase(s *server, id string) bool {
	l.mu.Lock()
	l.asked[id] = true
	l.mu.Unlock()
	answer, status, err := s.try("tenant_admin", http.MethodDelete, "/api/v1/logs/"+id, `{"reason":"crash test"}`)
	var e struct {
		EventID string `json:"event_id"`
	}
	if err != nil || status != http.StatusAccepted || json.Unmarshal(answer, &e) != nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.erased[id] = e.EventID
	return true
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
		l.ack(fmt.Sprintf("%s-%d", key, i), item.ID, item.Position, nil)
	}
	return status, answer
}
