package query_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"auditlog/eventstore"
	"auditlog/eventstore/format"
	"auditlog/internal/fault"
	"auditlog/query"
)

// replayLine is any line of a replay.
type replayLine struct {
	TenantID   string  `json:"tenant_id"`
	Position   int64   `json:"position"`
	RecordedAt string  `json:"recorded_at"`
	Public     *string `json:"public"`
	Private    *string `json:"private"`
	Purged     *struct {
		First, Last int64
		Certificate string
	} `json:"purged"`
	End   bool
	Count int
	Next  int64
}

// replay runs a replay, checks that it is dense and that exact bytes are what was stored, and gives its lines.
func (w *world) replay(after eventstore.Position) []replayLine {
	w.tb.Helper()
	var out bytes.Buffer
	count, next, err := w.q.Replay(context.Background(), w.reader.Tenant, after, &out)
	if err != nil {
		w.tb.Fatal(err)
	}
	at, events := int64(after), 0
	var lines []replayLine
	for _, raw := range strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n") {
		var l replayLine
		if err := json.Unmarshal([]byte(raw), &l); err != nil {
			w.tb.Fatalf("line %s: %v", raw, err)
		}
		lines = append(lines, l)
		switch {
		case l.End:
			if l.Count != events || l.Next != at || count != events || int64(next) != at {
				w.tb.Errorf("end line %s after %d events to %d; returned %d, %d", raw, events, at, count, next)
			}
		case l.Purged != nil:
			if l.Purged.First != at+1 || l.Purged.Last < l.Purged.First {
				w.tb.Errorf("purged range %s follows %d", raw, at)
			}
			at = l.Purged.Last
		default:
			if l.Position != at+1 {
				w.tb.Errorf("line %s follows %d", raw, at)
			}
			at, events = l.Position, events+1
			w.checkLine(raw, l)
		}
	}
	if !lines[len(lines)-1].End {
		w.tb.Error("there is no end line")
	}
	return lines
}

// checkLine holds a line against the event as stored, and its private bytes against their commitment.
func (w *world) checkLine(raw string, l replayLine) {
	w.tb.Helper()
	plain := []byte(*l.Public)
	public, err := format.DecodePublic(plain)
	if err != nil {
		w.tb.Fatal(err)
	}
	ev := w.stored[public.ID]
	stored, err := format.Unpack(nil, ev.Public)
	if err != nil {
		w.tb.Fatal(err)
	}
	if !bytes.Equal(stored, plain) || l.TenantID != ev.Tenant.String() || l.RecordedAt != ev.RecordedAt.String() || l.Position != int64(ev.Position) {
		w.tb.Errorf("line %s is not event %+v", raw, ev)
	}
	if l.Private != nil && format.Commit([]byte(*l.Private)) != public.Private {
		w.tb.Errorf("the private bytes of line %s are not those committed to", raw)
	}
	if !strings.HasPrefix(raw, fmt.Sprintf(`{"tenant_id":"%s","position":%d,"recorded_at":"%s","public":"`, l.TenantID, l.Position, l.RecordedAt)) {
		w.tb.Errorf("line %s has its members in another order", raw)
	}
}

func TestReplay(t *testing.T) {
	w := newWorldOn(t, newRing(t), query.Options{PageEvents: 4})
	w.append(parts{kind: eventstore.TenantCreated, pub: format.Public{Action: "tenant.created"}})
	events := w.recordMany(10)
	w.append(parts{tenant: w.tenant()})
	w.record("quotes \" and \\ and \u2028 and \x01 and ärger")
	erasedEntry := events[2]
	amended := w.amend(erasedEntry.ID, "corrected")
	erased := w.erase(erasedEntry.ID)
	for _, destroyed := range []bool{false, true} { // from its commit on an erasure reads the same
		if destroyed {
			w.puncture(erasedEntry, amended)
		}
		for after := range eventstore.Position(15) {
			lines := w.replay(after)
			if want := 14 - int(after) + 1; len(lines) != want {
				t.Fatalf("after %d there are %d lines, want %d", after, len(lines), want)
			}
			for _, l := range lines[:len(lines)-1] {
				gone := l.Position == int64(erasedEntry.Position) || l.Position == int64(amended.Position)
				if (l.Private == nil) != gone {
					t.Errorf("position %d, erased by %d: private is %v", l.Position, erased.Position, l.Private)
				}
			}
		}
	}
}

func TestReplayTellsPurges(t *testing.T) {
	w := newWorldOn(t, newRing(t), query.Options{PageEvents: 4})
	events := w.recordMany(9)
	first := w.purge(3)  // position 10
	second := w.purge(7) // position 11
	w.purge(7)           // position 12: nothing matched
	w.puncture(events[:7]...)
	for after, want := range map[eventstore.Position]string{
		0: fmt.Sprintf("1-3 %s, 4-7 %s, ", first.ID, second.ID),
		2: fmt.Sprintf("3-3 %s, 4-7 %s, ", first.ID, second.ID),
		3: fmt.Sprintf("4-7 %s, ", second.ID),
		6: fmt.Sprintf("7-7 %s, ", second.ID),
		7: "", 12: "",
	} {
		got := ""
		for _, l := range w.replay(after) {
			if l.Purged != nil {
				got += fmt.Sprintf("%d-%d %s, ", l.Purged.First, l.Purged.Last, l.Purged.Certificate)
			}
		}
		if got != want {
			t.Errorf("after %d the purged ranges are %q, want %q", after, got, want)
		}
	}
}

// TestReplayDuringAPurge: whenever a purge passes, lines and ranges stay dense.
func TestReplayDuringAPurge(t *testing.T) {
	ring := newRing(t)
	for _, call := range []string{"ReadTenant", "About", "Purges", "Get"} {
		for nth := range 4 {
			for _, last := range []eventstore.Position{2, 6, 9, 10} {
				w := newWorldOn(t, ring, query.Options{PageEvents: 3})
				events := w.recordMany(10)
				w.purge(1)
				n := 0
				w.store.before = func(c string) {
					if c != call {
						return
					}
					if n++; n == nth+1 {
						w.store.before = nil
						w.purge(last)
						w.puncture(events[:last]...)
					}
				}
				if lines := w.replay(0); lines[len(lines)-1].Next != 11 {
					t.Errorf("%s %d, purge to %d: ends at %d", call, nth, last, lines[len(lines)-1].Next)
				}
			}
		}
	}
}

// TestReplayWhileAppending ends at the position that was newest when it began.
func TestReplayWhileAppending(t *testing.T) {
	w := newWorldOn(t, newRing(t), query.Options{PageEvents: 3})
	w.recordMany(10)
	w.store.before = func(call string) {
		if call == "ReadTenant" {
			w.record("more")
			w.record("more")
		}
	}
	if lines := w.replay(0); lines[len(lines)-1].Next != 10 {
		t.Errorf("ends at %d", lines[len(lines)-1].Next)
	}
}

func TestReplayErasedDuringThePage(t *testing.T) {
	w := newWorld(t)
	events := w.recordMany(3)
	w.store.before = func(call string) {
		if call == "About" { // after the page was read: the erasure commits, and its key goes
			w.store.before = nil
			w.erase(events[1].ID)
			w.puncture(events[1])
		}
	}
	if lines := w.replay(0); lines[1].Private != nil || lines[0].Private == nil || lines[3].Next != 3 {
		t.Errorf("lines are %+v", lines)
	}
	w.puncture(events[2])
	w.store.before = func(call string) {
		if call == "Get" { // the look into a key that is gone: its erasure was not known when the page was
			w.store.before = nil
			w.erase(events[2].ID)
		}
	}
	if lines := w.replay(0); lines[2].Private != nil || lines[0].Private == nil {
		t.Errorf("lines are %+v", lines)
	}
}

// TestReplayOfAnErasurePastItsEntry: retention took the entry, but not its amendment and erasure.
func TestReplayOfAnErasurePastItsEntry(t *testing.T) {
	w := newWorld(t)
	events := w.recordMany(2)
	amended := w.amend(events[0].ID, "corrected")
	w.erase(events[0].ID)
	w.purge(1)
	for _, destroyed := range []bool{false, true} {
		if destroyed {
			w.puncture(events[0], amended)
		}
		if lines := w.replay(0); lines[2].Private != nil || lines[3].Private == nil {
			t.Errorf("lines are %+v", lines)
		}
	}
}

func TestReplayRefuses(t *testing.T) {
	w := newWorld(t)
	w.recordMany(2)
	for _, after := range []eventstore.Position{-1, 3} {
		var out bytes.Buffer
		if _, _, err := w.q.Replay(context.Background(), w.reader.Tenant, after, &out); !fault.Is(err, fault.Invalid) || out.Len() != 0 {
			t.Errorf("after %d: %v", after, err)
		}
	}
}

// TestReplayFailsWithoutAnEnd: a lost key, a gap that no purge tells of, a client that goes away.
func TestReplayFailsWithoutAnEnd(t *testing.T) {
	for name, damage := range map[string]func(*world, []eventstore.Event){
		"lost key": func(w *world, events []eventstore.Event) { w.puncture(events[4]) },
		"gap": func(w *world, events []eventstore.Event) {
			w.store.log = append(w.store.log[:4:4], w.store.log[5:]...)
		},
		"a purge that no certificate tells of": func(w *world, events []eventstore.Event) {
			w.purge(3)
			w.purge(6)
			w.store.purges = w.store.purges[1:]
		},
		"gap at a page": func(w *world, events []eventstore.Event) {
			w.store.log = append(w.store.log[:3:3], w.store.log[4:]...)
		},
	} {
		w := newWorldOn(t, newRing(t), query.Options{PageEvents: 3})
		damage(w, w.recordMany(9))
		var out bytes.Buffer
		_, _, err := w.q.Replay(context.Background(), w.reader.Tenant, 0, &out)
		if !fault.Is(err, fault.Internal) || strings.Contains(out.String(), `"end"`) {
			t.Errorf("%s: %v", name, err)
		}
	}
	w := newWorld(t)
	w.recordMany(3)
	if _, _, err := w.q.Replay(context.Background(), w.reader.Tenant, 0, &cutWriter{left: 100}); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("a client that goes away: %v", err)
	}
}
