package faults

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"auditlog/test/stack"
)

// stored is an event as a replay tells of it.
type stored struct {
	ID, Type string
	EntryID  string `json:"entry_id"`
	key      string
	unread   bool
}

// check compares what the clients of a tenant know with the store, and every reader with the store.
func check(t *testing.T, n *nodes, b *book, c *capture) {
	t.Helper()
	events := replay(t, n, b)
	places, keys, entries := map[string]int64{}, map[string]string{}, 0
	var streamed []message
	for i, e := range events {
		at := int64(i + 1)
		places[e.ID] = at
		switch e.Type {
		case "entry.recorded":
			entries++
			streamed = append(streamed, message{"entry", at})
			if e.key != "" && keys[e.key] != "" {
				t.Errorf("the key %s is stored twice, as %s and %s", e.key, keys[e.key], e.ID)
			}
			keys[e.key] = e.ID
		case "entry.amended":
			streamed = append(streamed, message{"amended", at})
		case "entry.erased":
			streamed = append(streamed, message{"erased", at})
		}
	}
	b.known(t, events, places)
	if entries != len(b.entries) {
		t.Errorf("%d entries are stored, %d were sent under keys of their own, and each was acknowledged", entries, len(b.entries))
	}
	head := int64(len(events))
	until(t, "projections at the head", func() string { return lagging(n, b, head) })
	found := list(t, n, b)
	for id, times := range found {
		if times != 1 || places[id] == 0 {
			t.Errorf("%s is found %d times, and is stored at %d", id, times, places[id])
		}
	}
	if len(found) != entries {
		t.Errorf("%d entries are found, %d are stored", len(found), entries)
	}
	if got := statistics(t, n, b); got != entries {
		t.Errorf("the statistics count %d entries, %d are stored", got, entries)
	}
	c.compare(t, streamed)
	startCapture(t, n, b.Tokens["reader"]).compare(t, streamed) // from the first position, so from the store
	for id := range b.erased {
		until(t, "destroyed keys of "+id, func() string {
			history := get(t, n, b, "reader", "/api/v1/logs/"+id+"/history")
			if strings.Contains(string(history), `"keys":"destroyed"`) {
				return ""
			}
			return string(history)
		})
	}
	t.Logf("tenant %s: %d entries, %d amendments, %d erasures; the stream was cut %d times", b.ID, entries, len(b.amended), len(b.erased), c.cuts)
}

// known checks what was acknowledged.
func (b *book) known(t *testing.T, events []stored, places map[string]int64) {
	t.Helper()
	erased := map[string]string{}
	amendments := 0
	for _, e := range events {
		switch e.Type {
		case "entry.erased":
			if erased[e.EntryID] != "" {
				t.Errorf("%s is erased twice", e.EntryID)
			}
			erased[e.EntryID] = e.ID
		case "entry.amended":
			amendments++
		}
	}
	for id, position := range b.at {
		if places[id] != position {
			t.Errorf("%s was acknowledged at %d and is stored at %d", id, position, places[id])
		}
	}
	for id, of := range b.amended {
		if at := places[id]; at == 0 || events[at-1].EntryID != of {
			t.Errorf("the amendment %s of %s is lost", id, of)
		}
	}
	if amendments < len(b.amended) || amendments > len(b.amended)+b.unsure {
		t.Errorf("%d amendments are stored, %d were acknowledged and %d unanswered", amendments, len(b.amended), b.unsure)
	}
	for id, by := range b.erased {
		if erased[id] != by {
			t.Errorf("%s was erased by %s, the store says by %q", id, by, erased[id])
		}
	}
	for i, e := range events {
		if want := erased[e.ID] != "" || e.Type == "entry.amended" && erased[e.EntryID] != ""; e.unread != want {
			t.Errorf("position %d, %s: the private part is null: %t, want %t", i+1, e.Type, e.unread, want)
		}
	}
}

// compare checks that a stream brings every message once and in order, and ends it.
func (c *capture) compare(t *testing.T, want []message) {
	t.Helper()
	until(t, "stream at the head", func() string {
		if at := c.position(); len(want) > 0 && at < want[len(want)-1].position {
			return fmt.Sprintf("it is at %d", at)
		}
		return ""
	})
	c.end()
	for i := range min(len(want), len(c.got)) {
		if c.got[i] != want[i] {
			t.Errorf("message %d of the stream is %+v, want %+v", i, c.got[i], want[i])
			return
		}
	}
	if len(c.got) != len(want) {
		t.Errorf("the stream brought %d messages of %d", len(c.got), len(want))
	}
}

// replay reads the whole log, which must be dense.
func replay(t *testing.T, n *nodes, b *book) (events []stored) {
	t.Helper()
	lines := json.NewDecoder(strings.NewReader(string(get(t, n, b, "auditor", "/api/v1/replay"))))
	for want := int64(1); ; want++ {
		var line struct {
			Position int64
			Public   string
			Private  *string
			End      bool
		}
		if err := lines.Decode(&line); err != nil {
			t.Fatalf("the replay ends before position %d: %v", want, err)
		}
		if line.End {
			return events
		}
		e := stored{unread: line.Private == nil}
		if err := json.Unmarshal([]byte(line.Public), &e); err != nil || line.Position != want {
			t.Fatalf("position %d came where %d is due; %v", line.Position, want, err)
		}
		if line.Private != nil {
			var private struct{ Message string }
			fatal(t, json.Unmarshal([]byte(*line.Private), &private))
			e.key, _, _ = strings.Cut(private.Message, " ")
		}
		events = append(events, e)
	}
}

// list is how often each entry is found, page by page.
func list(t *testing.T, n *nodes, b *book) map[string]int {
	t.Helper()
	found := map[string]int{}
	for cursor := ""; ; {
		var page struct {
			Items []struct{ ID string }
			Next  *string `json:"next_cursor"`
		}
		fatal(t, json.Unmarshal(get(t, n, b, "reader", "/api/v1/logs?limit=500"+cursor), &page))
		for _, item := range page.Items {
			found[item.ID]++
		}
		if page.Next == nil {
			return found
		}
		cursor = "&cursor=" + url.QueryEscape(*page.Next)
	}
}

func statistics(t *testing.T, n *nodes, b *book) int {
	t.Helper()
	var stats struct {
		Total   int
		Buckets []struct{ Count int }
	}
	now := time.Now()
	span := url.Values{"interval": {"hour"}, "from": {now.Add(-24 * time.Hour).Format(time.RFC3339)}, "to": {now.Add(time.Hour).Format(time.RFC3339)}}
	fatal(t, json.Unmarshal(get(t, n, b, "reader", "/api/v1/logs/stats?"+span.Encode()), &stats))
	sum := 0
	for _, bucket := range stats.Buckets {
		sum += bucket.Count
	}
	if sum != stats.Total {
		t.Errorf("the buckets hold %d entries, the total is %d", sum, stats.Total)
	}
	return stats.Total
}

// checkShared checks what is not one tenant's: documents in the cluster, queues, parked events, and that every projection
// equals one made anew from the store.
func checkShared(t *testing.T, n *nodes, s servers, w *stack.World, l *load) {
	t.Helper()
	var count struct{ Count int }
	path := "/" + w.Settings["AUDITLOG_SEARCH_PREFIX"] + "-*/_count?q=kind:entries"
	answer, _, err := stack.Call(s.search.Address, "", http.MethodGet, path, "")
	fatal(t, err)
	fatal(t, json.Unmarshal(answer, &count))
	if count.Count != l.acked() {
		t.Errorf("the cluster holds documents of %d entries, %d are stored", count.Count, l.acked())
	}
	worker := n.worker(0)
	answer, _, err = stack.Call(worker.Ops, "", http.MethodGet, "/ops/parked", "")
	if err != nil || string(answer) != `{"items":[]}`+"\n" {
		t.Errorf("parked: %s, %v", answer, err)
	}
	for _, projection := range []string{"search", "stats", "find"} {
		r := w.Run(map[string]string{"AUDITLOG_OPS_ADDR": strings.TrimPrefix(worker.Ops, "http://")}, "rebuild", projection)
		if r.Code != 0 || !strings.Contains(r.Out, "equal to the one before") {
			t.Errorf("rebuild %s: %d %s%s", projection, r.Code, r.Out, r.Err)
		}
	}
}

func get(t *testing.T, n *nodes, b *book, role, path string) []byte {
	t.Helper()
	answer, status, err := stack.Call(n.urls()[0], b.Tokens[role], http.MethodGet, path, "")
	if err != nil || status != http.StatusOK {
		t.Fatalf("GET %s: %d %s %v", path, status, answer, err)
	}
	return answer
}

// until asks again until nothing is missing.
func until(t *testing.T, what string, missing func() string) {
	t.Helper()
	for deadline := time.Now().Add(healTime); ; <-time.After(50 * time.Millisecond) {
		rest := missing()
		if rest == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("no %s in time: %s", what, rest)
			return
		}
	}
}
