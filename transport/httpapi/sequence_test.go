package httpapi_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"auditlog/transport/httpapi"
)

const sequenceA, sequenceB = "018f6f3a-0000-4000-8000-00000000000a", "018f6f3a-0000-4000-8000-00000000000b"

// placed is a partial bulk of n entries with a place in a sequence.
func placed(token, place, body string) call {
	return call{
		method: "POST", path: "/api/v1/logs/bulk?mode=partial", token: token, body: body,
		header: http.Header{"Bulk-Sequence": {place}, "Content-Type": {"application/x-ndjson"}},
	}
}

// Bulks of a sequence that come at once, in the wrong order and over many connections, get positions in their order. What is
// wrong with one keeps those behind it out.
func TestBulkSequence(t *testing.T) {
	w := newWorld(t, httpapi.Config{})
	writer := w.token("writer")
	const bulks, entries = 12, 20
	body := strings.Repeat(goodEntry+"\n", entries)
	firsts := make([]int, bulks)
	var all sync.WaitGroup
	for n := range bulks {
		all.Go(func() {
			got := w.do(placed(writer, fmt.Sprint(sequenceA, "/", bulks-1-n), body))
			var answer struct {
				Items []struct{ Status, Position int }
			}
			if err := json.Unmarshal([]byte(got.body), &answer); err != nil || got.status != http.StatusMultiStatus || len(answer.Items) != entries {
				t.Errorf("bulk %d: %d %s, %v", bulks-1-n, got.status, got.body, err)
				return
			}
			firsts[bulks-1-n] = answer.Items[0].Position
		})
	}
	all.Wait()
	for n := 1; n < bulks; n++ {
		if firsts[n] != firsts[n-1]+entries {
			t.Fatalf("bulks begin at positions %v", firsts)
		}
	}
	last := firsts[bulks-1] + entries - 1

	if got := w.do(placed(writer, sequenceB+"/0", "\n")); got.status != http.StatusUnprocessableEntity {
		t.Errorf("an empty bulk: %d %s", got.status, got.body)
	}
	for _, place := range []string{sequenceB + "/1", sequenceA + "/3", sequenceB + "/0"} {
		got := w.do(placed(writer, place, body))
		checkProblem(t, place, got)
		if got.status != http.StatusConflict || got.slug() != "conflict" {
			t.Errorf("%s: %d %s", place, got.status, got.body)
		}
	}
	if next := w.record(); int(next.Position) != last+1 {
		t.Errorf("after position %d comes %d: a refused bulk was stored", last, next.Position)
	}
	// All of its entries refused: nothing to store, and the next one goes.
	if got := w.do(placed(writer, sequenceA[:35]+"c/0", "{}\n{}\n")); got.status != http.StatusMultiStatus {
		t.Errorf("a bulk of refused entries: %d %s", got.status, got.body)
	}
	if got := w.do(placed(writer, sequenceA[:35]+"c/1", body)); got.status != http.StatusMultiStatus {
		t.Errorf("after it: %d %s", got.status, got.body)
	}
}

func TestBulkSequenceRefusals(t *testing.T) {
	w := newWorld(t, httpapi.Config{})
	for _, place := range []string{"", "1", sequenceA, sequenceA + "/", sequenceA + "/-1", sequenceA + "/+1", sequenceA + "/1.0", sequenceA + "/4294967296", "{" + sequenceA + "}/0", "a/1"} {
		got := w.do(placed(w.token("writer"), place, goodEntry))
		checkProblem(t, place, got)
		if got.status != http.StatusUnprocessableEntity || got.slug() != "invalid" {
			t.Errorf("%q: %d %s", place, got.status, got.body)
		}
	}
	twice := placed(w.token("writer"), sequenceA+"/0", goodEntry)
	twice.header.Add("Bulk-Sequence", sequenceA+"/0")
	atomic := placed(w.token("writer"), sequenceA+"/0", goodEntry)
	atomic.path = "/api/v1/logs/bulk"
	for name, c := range map[string]call{"twice": twice, "atomic": atomic} {
		if got := w.do(c); got.status != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
}
