package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestKillLosesNothing kills the service under load at random moments. What was acknowledged is there, at its position,
// and what was erased is gone; what was not acknowledged is there at most once; the log is dense; every reader counts
// the same; and a retry by key gives the first answer.
func TestKillLosesNothing(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	l := newLedger()
	for round := range 6 {
		s := serve(t, dir)
		var writers sync.WaitGroup
		for worker := range 4 {
			writers.Go(func() { l.write(s, worker, round) })
		}
		<-time.After(time.Duration(20+r.IntN(400)) * time.Millisecond)
		if round == 5 { // however slow the machine is
			s.until("acknowledgement of each kind", l.ofEachKind)
		}
		s.kill()
		writers.Wait()
	}
	s := serve(t, dir)
	events := s.events()
	entries := l.stored(t, events)
	s.sameTotals(entries, entries, int64(len(events)))
	for id, by := range l.erased {
		s.readsErased(id, by)
	}
	keys := slices.Sorted(maps.Keys(l.keys))
	r.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	for i, key := range keys {
		if i < 200 || l.asked[l.keys[key].id] {
			l.retry(s, key)
		}
	}
	t.Logf("%d acknowledged, %d stored, %d sent; %d amended, %d erased", len(l.acked), entries, l.sent, len(l.amended), len(l.erased))
}

// stored checks a log against what clients know and gives the number of entries in it.
func (l *ledger) stored(t *testing.T, events []event) (entries int) {
	t.Helper()
	places, about, erased := map[string]int64{}, map[string]event{}, map[string]bool{}
	for i, e := range events {
		places[e.ID], about[e.ID] = int64(i+1), e
		switch e.Type {
		case "entry.recorded":
			entries++
		case "entry.erased":
			if erased[e.EntryID] || !l.asked[e.EntryID] {
				t.Errorf("%s is erased twice, or nobody asked for it", e.EntryID)
			}
			erased[e.EntryID] = true
		}
	}
	for id, position := range l.acked {
		if places[id] != position {
			t.Errorf("%s was acknowledged at %d and is at %d", id, position, places[id])
		}
	}
	for id, entry := range l.amended {
		if e := about[id]; e.Type != "entry.amended" || e.EntryID != entry {
			t.Errorf("%s was amended by %s, which is %+v", entry, id, e)
		}
	}
	for entry, id := range l.erased {
		if e := about[id]; e.Type != "entry.erased" || e.EntryID != entry {
			t.Errorf("%s was erased by %s, which is %+v", entry, id, e)
		}
	}
	for i, e := range events {
		if want := erased[e.ID] || e.Type == "entry.amended" && erased[e.EntryID]; e.unread != want {
			t.Errorf("position %d, %s: the private part is null: %t, want %t", i+1, e.Type, e.unread, want)
		}
	}
	if entries > l.sent {
		t.Errorf("%d entries from %d that were sent", entries, l.sent)
	}
	return entries
}

// sameTotals checks that the list and the statistics count the stored entries once they are complete up to the head. The
// statistics are those of the last 30 days.
func (s *server) sameTotals(entries, recent int, head int64) {
	s.t.Helper()
	if got := s.list("", head).Total.Value; got != entries {
		s.t.Errorf("%d entries are found, %d stored", got, entries)
	}
	var stats struct {
		Total      int
		CompleteTo struct{ Position int64 } `json:"complete_to"`
	}
	s.until("statistics up to the head", func() bool {
		if err := json.Unmarshal(s.get("reader", "/api/v1/logs/stats"), &stats); err != nil {
			s.t.Fatal(err)
		}
		return stats.CompleteTo.Position >= head
	})
	if stats.Total != recent {
		s.t.Errorf("%d entries are in the statistics, %d stored", stats.Total, recent)
	}
}

// readsErased checks that an entry is shown as erased by an event, and that its keys are destroyed before long.
func (s *server) readsErased(id, by string) {
	s.t.Helper()
	body := s.get("reader", "/api/v1/logs/"+id)
	if !bytes.Contains(body, []byte(`"by_event":"`+by+`"`)) || bytes.Contains(body, []byte(`"message"`)) || bytes.Contains(body, []byte(`"ann"`)) {
		s.t.Errorf("erased by %s, the entry reads %s", by, body)
	}
	s.until("destroyed keys of "+id, func() bool {
		return bytes.Contains(s.get("reader", "/api/v1/logs/"+id+"/history"), []byte(`"keys":"destroyed"`))
	})
}

// until asks again until something is so.
func (s *server) until(what string, so func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(time.Minute); !so(); <-time.After(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("no %s in time", what)
		}
	}
}

// retry posts an entry again and expects what was answered first, without the amendments since; of an erased entry only
// what is left, and either where the erasure was not acknowledged.
func (l *ledger) retry(s *server, key string) {
	s.t.Helper()
	was := l.keys[key]
	answer, status, err := s.try("writer", http.MethodPost, "/api/v1/logs", body(key))
	var e struct {
		ID         string
		Position   int64
		Message    string
		Amendments []json.RawMessage
		Erased     *struct {
			ByEvent string `json:"by_event"`
		}
	}
	if err != nil || status != http.StatusCreated || json.Unmarshal(answer, &e) != nil || e.ID != was.id || e.Position != l.acked[was.id] || len(e.Amendments) > 0 {
		s.t.Errorf("a retry of %s answers %d %s, %v", key, status, answer, err)
		return
	}
	by := l.erased[was.id]
	switch {
	case e.Erased != nil:
		if !l.asked[was.id] || by != "" && e.Erased.ByEvent != by || e.Message != "" {
			s.t.Errorf("a retry of %s, erased by %q, answers %s", key, by, answer)
		}
	case by != "", e.Message == "", was.answer != nil && !bytes.Equal(answer, was.answer):
		s.t.Errorf("a retry of %s, erased by %q, answers %s and not %s", key, by, answer, was.answer)
	}
}

// TestNoRoom lets files grow to a limit only, as a full disk does: writes are refused with 503 and nothing of them is
// stored, reads go on, and with room again everything acknowledged is there and writes work.
func TestNoRoom(t *testing.T) {
	dir := t.TempDir()
	args := []string{"-c", `ulimit -f 4096; exec "$0" "$@"`, binary, "serve", "--quickstart", "--data-dir", dir, "--addr", "127.0.0.1:0", "--ops-addr", "127.0.0.1:0", "--log-level", "ERROR"}
	s := launch(t, exec.Command("sh", args...))
	l := newLedger()
	status, answer := http.StatusCreated, []byte(nil)
	for n := 0; status == http.StatusCreated; n++ {
		if n > 5000 {
			t.Fatal("the limit is never met")
		}
		status, answer = l.bulk(s, fmt.Sprint(n))
	}
	if status != http.StatusServiceUnavailable || !strings.Contains(string(answer), "/problems/unavailable") {
		t.Errorf("without room a write answers %d %s\n%s", status, answer, s.proc.Output)
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
