package faults

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"auditlog/test/faults/history"
	"auditlog/test/stack"
)

// shownFindings bounds what a failure prints.
const shownFindings = 50

// check compares what the clients of a tenant know with the store, and every reader with the store. ops is the listener of
// a process that applies projections.
func check(t *testing.T, l *load, b *book, captures []*capture, ops string) {
	t.Helper()
	log := replay(t, l.to, b)
	head := int64(len(log))
	until(t, "projections at the head", func() string { return lagging(l.to, b, head) })
	v := history.Views{Log: make([]history.Event, len(log)), Index: list(t, l.to, b), Groups: statistics(t, l.to, b), Parked: parked(t, ops)}
	streamed := int64(0) // position of the stream's last message
	for i, e := range log {
		v.Log[i] = e.Event
		if strings.HasPrefix(e.Type, "entry.") {
			streamed = int64(i + 1)
		}
	}
	whole := startCapture(t, l.to, b.Tokens["reader"]) // from the first position, so from the store
	cuts := 0
	for _, c := range append([]*capture{whole}, captures...) {
		v.Streams = append(v.Streams, c.upTo(t, streamed))
		cuts += c.cuts
	}
	calls := l.history.Of(b.ID)
	found := history.Check(calls, v)
	for _, f := range found[:min(len(found), shownFindings)] {
		t.Error(f)
	}
	if len(found) > shownFindings {
		t.Errorf("and %d more", len(found)-shownFindings)
	}
	b.deeds(t, log)
	for id := range b.erased {
		until(t, "destroyed keys of "+id, func() string {
			events := get(t, l.to, b, "reader", "/api/v1/logs/"+id+"/history")
			if strings.Contains(string(events), `"keys":"destroyed"`) {
				return ""
			}
			return string(events)
		})
	}
	unknown, refused := 0, 0
	for i := range calls {
		switch c := &calls[i]; {
		case c.Keys == nil || c.Acknowledged():
		case c.Refused():
			refused += len(c.Keys)
		default:
			unknown += len(c.Keys)
		}
	}
	t.Logf("tenant %s: %d entries acknowledged, %d stored; tries of %d more had no answer or a 503, of %d were refused; %d amendments, %d erasures; streams were cut %d times; %d findings",
		b.ID, b.acks, len(v.Index), unknown, refused, len(b.amended), len(b.erased), cuts, len(found))
}

// deeds checks amendments and erasures.
func (b *book) deeds(t *testing.T, log []stored) {
	t.Helper()
	erased, about, amendments := map[string]string{}, map[string]string{}, 0
	for _, e := range log {
		switch e.Type {
		case "entry.erased":
			if erased[e.EntryID] != "" {
				t.Errorf("%s is erased twice", e.EntryID)
			}
			erased[e.EntryID] = e.ID
		case "entry.amended":
			amendments++
			about[e.ID] = e.EntryID
		}
	}
	for id, of := range b.amended {
		if about[id] != of {
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
	for i, e := range log {
		if want := erased[e.ID] != "" || e.Type == "entry.amended" && erased[e.EntryID] != ""; e.unread != want {
			t.Errorf("position %d, %s: the private part is null: %t, want %t", i+1, e.Type, e.unread, want)
		}
	}
}

// checkShared checks what is not one tenant's: documents in the cluster, and that every projection equals one made anew
// from the store.
func checkShared(t *testing.T, n *nodes, s servers, w *stack.World, l *load) {
	t.Helper()
	stored := 0
	for _, b := range l.books {
		stored += len(list(t, n, b))
	}
	var count struct{ Count int }
	path := "/" + w.Settings["AUDITLOG_SEARCH_PREFIX"] + "-*/_count?q=kind:entries"
	answer, _, err := stack.Call(s.search.Address, "", http.MethodGet, path, "")
	fatal(t, err)
	fatal(t, json.Unmarshal(answer, &count))
	if count.Count != stored {
		t.Errorf("the cluster holds documents of %d entries, %d are stored", count.Count, stored)
	}
	rebuild(t, w, n.worker(0).Ops)
}

// rebuild makes every projection of a running process anew, and has it compared with the one before.
func rebuild(t *testing.T, w *stack.World, ops string) {
	t.Helper()
	for _, projection := range []string{"search", "stats", "find"} {
		r := w.Run(map[string]string{"AUDITLOG_OPS_ADDR": strings.TrimPrefix(ops, "http://")}, "rebuild", projection)
		if r.Code != 0 || !strings.Contains(r.Out, "equal to the one before") {
			t.Errorf("rebuild %s: %d %s%s", projection, r.Code, r.Out, r.Err)
		}
	}
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

// lagging tells what has not reached a position of a tenant.
func lagging(to targets, b *book, head int64) string {
	url, behind := to.urls()[0], ""
	for _, path := range []string{"/api/v1/logs?limit=1", "/api/v1/logs/stats?"} {
		var at struct {
			CompleteTo struct{ Position int64 } `json:"complete_to"`
		}
		answer, status, err := stack.Call(url, b.Tokens["reader"], http.MethodGet, path, "")
		if err != nil || status != http.StatusOK || json.Unmarshal(answer, &at) != nil {
			behind += fmt.Sprintf("%s answers %d %s, %v; ", path, status, answer, err)
		} else if at.CompleteTo.Position < head {
			behind += fmt.Sprintf("%s is at %d of %d; ", path, at.CompleteTo.Position, head)
		}
	}
	return behind
}
