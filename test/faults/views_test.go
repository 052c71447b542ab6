package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"auditlog/test/faults/history"
	"auditlog/test/stack"
)

// stored is an event as a replay tells of it.
type stored struct {
	history.Event
	unread bool // its private part is gone
}

// replay reads the whole log, which must be dense.
func replay(t *testing.T, to targets, b *book) (events []stored) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, to.urls()[0]+"/api/v1/replay", nil)
	fatal(t, err)
	req.Header.Set("Authorization", "Bearer "+b.Tokens["auditor"])
	resp, err := http.DefaultClient.Do(req)
	fatal(t, err)
	defer func() { _ = resp.Body.Close() }()
	lines := json.NewDecoder(resp.Body)
	for want := int64(1); ; want++ {
		var l line
		if err := lines.Decode(&l); err != nil {
			t.Fatalf("the replay (status %d) ends before position %d: %v", resp.StatusCode, want, err)
		}
		if l.End {
			return events
		}
		e, err := l.event()
		if err != nil || l.Position != want {
			t.Fatalf("position %d came where %d is due; %v", l.Position, want, err)
		}
		events = append(events, e)
	}
}

// line is one of a replay.
type line struct {
	Position   int64
	RecordedAt time.Time `json:"recorded_at"`
	Public     string
	Private    *string
	End        bool
}

func (l *line) event() (stored, error) {
	var public struct {
		ID, Type, Action string
		EntryID          string    `json:"entry_id"`
		OccurredAt       time.Time `json:"occurred_at"`
	}
	if err := json.Unmarshal([]byte(l.Public), &public); err != nil {
		return stored{}, err
	}
	e := stored{Event: history.Event{ID: public.ID, Type: public.Type, EntryID: public.EntryID}, unread: l.Private == nil}
	at := public.OccurredAt
	if at.IsZero() {
		at = l.RecordedAt
	}
	e.Group = group(at, public.Action)
	if l.Private == nil {
		return e, nil
	}
	var private struct{ Message string }
	if err := json.Unmarshal([]byte(*l.Private), &private); err != nil {
		return stored{}, err
	}
	e.Key, _, _ = strings.Cut(private.Message, " ")
	return e, nil
}

// group names what the statistics count together here.
func group(at time.Time, action string) string {
	return at.UTC().Format("02 15:04 ") + action
}

// list is the ids that a walk over all pages finds.
func list(t *testing.T, to targets, b *book) (found []string) {
	t.Helper()
	for cursor := ""; ; {
		var page struct {
			Items []struct{ ID string }
			Next  *string `json:"next_cursor"`
		}
		fatal(t, json.Unmarshal(get(t, to, b, "reader", "/api/v1/logs?limit=500"+cursor), &page))
		for _, item := range page.Items {
			found = append(found, item.ID)
		}
		if page.Next == nil {
			return found
		}
		cursor = "&cursor=" + url.QueryEscape(*page.Next)
	}
}

// began is before the first entry of any test here.
var began = time.Now().Truncate(time.Minute)

// statistics are the counts by minute and action.
func statistics(t *testing.T, to targets, b *book) map[string]int {
	t.Helper()
	var stats struct {
		Total   int
		Buckets []struct {
			Start  time.Time
			Count  int
			Groups map[string]int
		}
	}
	span := url.Values{
		"interval": {"minute"}, "group_by": {"action"},
		"from": {began.UTC().Format(time.RFC3339)}, "to": {time.Now().Add(time.Minute).UTC().Format(time.RFC3339)},
	}
	fatal(t, json.Unmarshal(get(t, to, b, "reader", "/api/v1/logs/stats?"+span.Encode()), &stats))
	sum, groups := 0, map[string]int{}
	for _, bucket := range stats.Buckets {
		sum += bucket.Count
		for action, n := range bucket.Groups {
			groups[group(bucket.Start, action)] += n
			bucket.Count -= n
		}
		if bucket.Count != 0 {
			t.Errorf("the groups of %v hold %d fewer than the bucket", bucket.Start, bucket.Count)
		}
	}
	if sum != stats.Total {
		t.Errorf("the buckets hold %d entries, the total is %d", sum, stats.Total)
	}
	return groups
}

// parked is what the projections of a process went past.
func parked(t *testing.T, ops string) (all []string) {
	t.Helper()
	var answer struct{ Items []json.RawMessage }
	raw, _, err := stack.Call(ops, "", http.MethodGet, "/ops/parked", "")
	fatal(t, err)
	fatal(t, json.Unmarshal(raw, &answer))
	for _, item := range answer.Items {
		all = append(all, fmt.Sprintf("%s %s", ops, item))
	}
	return all
}

// get reads something, again where a limit on reads bids it to.
func get(t *testing.T, to targets, b *book, role, path string) []byte {
	t.Helper()
	for deadline := time.Now().Add(patience); ; <-time.After(pause) {
		answer, status, err := stack.Call(to.urls()[0], b.Tokens[role], http.MethodGet, path, "")
		switch {
		case err == nil && status == http.StatusOK:
			return answer
		case err != nil || status != http.StatusTooManyRequests || time.Now().After(deadline):
			t.Fatalf("GET %s: %d %s %v", path, status, answer, err)
		}
	}
}
