package query_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"auditlog/eventstore"
	"auditlog/eventstore/format"
	"auditlog/internal/criteria"
	"auditlog/internal/entry"
	"auditlog/internal/fault"
	"auditlog/query"
)

var update = flag.Bool("update", false, "write the golden files anew")

func (w *world) export(f query.Format, req query.ExportRequest) ([]byte, query.ExportResult) {
	w.tb.Helper()
	var out bytes.Buffer
	sink, err := query.NewExportSink(f, &out)
	if err != nil {
		w.tb.Fatal(err)
	}
	result, err := w.q.Export(context.Background(), w.reader, req, sink)
	if err != nil {
		w.tb.Fatal(err)
	}
	return out.Bytes(), result
}

// exportWorld is a log with one entry of each kind that a format must tell apart. Its ids are fixed.
func exportWorld(t *testing.T) *world {
	w := newWorld(t)
	w.reader = query.Reader{Tenant: eventstore.TenantID{0x0a, 15: 0x01}, AccessEvents: true}
	if err := w.ring.CreateTenant(context.Background(), w.reader.Tenant); err != nil {
		t.Fatal(err)
	}
	id := func(n byte) eventstore.EventID { return eventstore.EventID{0x01, 6: 0x70, 8: 0x80, 15: n} }
	public := format.Public{Action: "document.shared", ActorType: "user", ResourceType: "document", Severity: "INFO", Outcome: "success"}
	w.append(parts{id: id(1), kind: eventstore.TenantCreated, pub: format.Public{Action: "tenant.created", ResourceType: "tenant"}})
	occurred := startOfLog - 1
	whole := public
	whole.OccurredAt = &occurred
	w.append(parts{id: id(2), pub: whole, priv: format.Private{
		Actor:      format.Actor{ID: "alice", Name: "Alice, \"the boss\"", Email: "alice@example.com", SessionID: "s-1"},
		OnBehalfOf: []format.Ref{{Type: "user", ID: "bob", Name: "Bob"}}, Resource: format.Resource{ID: "d-1", Name: "Plan; draft"},
		Related: []format.Ref{{Type: "folder", ID: "f-1"}}, Message: "first line\r\n2026-01-01 FAKE ok", RequestID: "q-1", TraceID: "t-1",
		Source: format.Source{IP: "192.0.2.1", UserAgent: "curl/8", Service: "docs", Version: "1.0"},
		Before: []byte(`{"a":1}`), After: []byte(`{"a":2}`), Metadata: []byte(`{"list":[1,"two"],"text":"=1+1"}`),
		IdempotencyKey: "k-1", Subjects: []string{"p-1", "p-2"},
	}})
	for i, value := range formulas {
		w.append(parts{id: id(byte(10 + i)), pub: public, priv: format.Private{Actor: format.Actor{ID: "mallory", Name: value}}})
	}
	w.append(parts{id: id(30), pub: public, priv: format.Private{Actor: format.Actor{ID: "alice"}, Message: "erased words"}})
	w.append(parts{id: id(31), kind: eventstore.EntryErased, about: id(30), priv: format.Private{Reason: "asked to"}})
	w.append(parts{id: id(32), kind: eventstore.EntryAmended, about: id(2), priv: format.Private{Message: "corrected", Reason: "typo"}})
	w.index.catchUp()
	return w
}

// formulas are row I8: values that a spreadsheet would evaluate, or that would not stay one cell.
var formulas = []string{
	`=cmd|'/c calc'!A1`, "+1", "-1", "@SUM(A1)", "\tx", "\rx", "\nx", "＝1+1", "＋1", "－1", "＠x", `say "hi"`, "a;b", "a,b", " =1", "plain",
}

func TestExportGolden(t *testing.T) {
	w := exportWorld(t)
	for _, f := range []query.Format{query.CSV, query.NDJSON, query.JSON} {
		t.Run(string(f), func(t *testing.T) {
			got, result := w.export(f, query.ExportRequest{Criteria: criteria.Criteria{Kind: criteria.All}})
			if want := 3 + len(formulas); result.Count != want || result.CompleteTo.Position != eventstore.Position(want+2) {
				t.Errorf("the export held %+v", result)
			}
			golden := filepath.Join("testdata", "export."+string(f))
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("differs from %s (-update writes it anew):\n%s", golden, got)
			}
		})
	}
}

// TestCSVInjection is row I8: a reader of CSV gets each value back, a formula behind a ' and quoted; JSON has it untouched.
func TestCSVInjection(t *testing.T) {
	w := exportWorld(t)
	raw, _ := w.export(query.CSV, query.ExportRequest{})
	if lines := bytes.Count(raw, []byte("\r\n")); lines < len(formulas)+3 {
		t.Fatalf("rows do not end with CRLF: %d", lines)
	}
	rows, err := csv.NewReader(bytes.NewReader(raw)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	column := slices.Index(rows[0], "actor.name")
	for i, value := range formulas {
		want := value
		if first := []rune(strings.TrimLeft(value, " "))[0]; strings.ContainsRune("=+-@\t\r\n＝＋－＠", first) {
			want = "'" + value
			if quoted := `"` + strings.ReplaceAll(want, `"`, `""`) + `"`; !bytes.Contains(raw, []byte(quoted)) {
				t.Errorf("%q is not quoted", value)
			}
		}
		want = strings.ReplaceAll(want, "\r\n", "\n") // as encoding/csv reads
		if got := rows[i+2][column]; got != want {
			t.Errorf("%q reads as %q, want %q", value, got, want)
		}
	}
	doc, _ := w.export(query.JSON, query.ExportRequest{})
	var parsed struct {
		Items []struct{ Actor struct{ Name string } }
		Count int
	}
	if err := json.Unmarshal(doc, &parsed); err != nil || parsed.Count != len(parsed.Items) {
		t.Fatalf("count %d of %d: %v", parsed.Count, len(parsed.Items), err)
	}
	for i, value := range formulas {
		if got := parsed.Items[i+1].Actor.Name; got != value {
			t.Errorf("in JSON %q is %q", value, got)
		}
	}
}

// TestExportByCriteria goes through the index, over several pages, and leaves out what was erased since.
func TestExportByCriteria(t *testing.T) {
	w := newWorldOn(t, newRing(t), query.Options{PageEvents: 7})
	events := w.recordMany(30)
	w.erase(events[3].ID)
	other := w.append(parts{priv: format.Private{Actor: format.Actor{ID: "bob"}}})
	out, result := w.export(query.NDJSON, query.ExportRequest{Criteria: criteria.Criteria{ActorID: "alice"}})
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	if result.Count != 29 || len(lines) != 30 || result.CompleteTo.Position != 30 {
		t.Fatalf("%d lines, %+v", len(lines), result)
	}
	if want := `{"end":true,"count":29,"complete_to":{"position":30,"recorded_at":"2026-11-23T10:00:00.029000Z"}}`; string(lines[29]) != want {
		t.Errorf("the last line is %s", lines[29])
	}
	if bytes.Contains(out, []byte(other.ID.String())) || bytes.Contains(out, []byte(events[3].ID.String())) {
		t.Error("another actor's or an erased entry is in the export")
	}
}

// TestExportOfAll needs no index, and neither grows with nor misses what is appended meanwhile.
func TestExportOfAll(t *testing.T) {
	w := newWorldOn(t, newRing(t), query.Options{PageEvents: 7})
	w.recordMany(10)
	events := make([]eventstore.Event, 0, 20)
	for range 20 {
		events = append(events, w.record("the index has not seen it"))
	}
	w.store.before = func(call string) {
		if call == "ReadTenant" {
			w.record("appended during the export")
		}
	}
	_, result := w.export(query.NDJSON, query.ExportRequest{})
	if result.Count != 30 || result.CompleteTo.Position != events[19].Position {
		t.Fatalf("the export held %+v", result)
	}
}

func TestExportDuringAPurge(t *testing.T) {
	for name, c := range map[string]criteria.Criteria{"all": {}, "by index": {ActorID: "alice"}} {
		w := newWorldOn(t, newRing(t), query.Options{PageEvents: 5})
		events := w.recordMany(20)
		calls := 0
		w.store.before = func(call string) {
			if call != "About" {
				return
			}
			if calls++; calls == 2 {
				w.store.before = nil
				w.purge(18)
				w.puncture(events[:18]...)
			}
		}
		if _, result := w.export(query.NDJSON, query.ExportRequest{Criteria: c}); result.Count != 7 {
			t.Errorf("%s: %d entries, want 5 before the purge and 2 after", name, result.Count)
		}
	}
}

func TestExportRefuses(t *testing.T) {
	w := newWorld(t)
	w.recordMany(1)
	if _, err := query.NewExportSink("xlsx", &bytes.Buffer{}); !fault.Is(err, fault.Invalid) {
		t.Errorf("I7 format=xlsx: %v", err)
	}
	for name, c := range map[string]struct {
		req  query.ExportRequest
		kind fault.Kind
	}{
		"kind":         {query.ExportRequest{Criteria: criteria.Criteria{Kind: criteria.Access}}, fault.Forbidden},
		"min_position": {query.ExportRequest{MinPosition: 2}, fault.Behind},
	} {
		var out bytes.Buffer
		sink, err := query.NewExportSink(query.JSON, &out)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.q.Export(context.Background(), w.reader, c.req, sink); !fault.Is(err, c.kind) || out.Len() != 0 {
			t.Errorf("%s: %v after %d bytes", name, err, out.Len())
		}
	}
}

// cutWriter fails after some bytes, as a client that went away.
type cutWriter struct {
	bytes.Buffer
	left int
}

func (c *cutWriter) Write(p []byte) (int, error) {
	if len(p) > c.left {
		return 0, errors.New("the client went away")
	}
	c.left -= len(p)
	return c.Buffer.Write(p)
}

// TestCutExportHasNoEnd is row I10: whether the store or the client fails, no output passes for a whole one.
func TestCutExportHasNoEnd(t *testing.T) {
	ring := newRing(t)
	for _, f := range []query.Format{query.NDJSON, query.JSON, query.CSV} {
		for _, by := range []string{"client", "index"} {
			w := newWorldOn(t, ring, query.Options{PageEvents: 50})
			for i := range 400 {
				w.record(fmt.Sprintf("%d %s", i, strings.Repeat("x", 500)))
			}
			w.index.catchUp()
			out := &cutWriter{left: 1 << 30}
			calls := 0
			w.index.before = func(context.Context, query.IndexQuery) error {
				if calls++; by == "index" && calls == 5 {
					return errors.New("the index broke")
				}
				return nil
			}
			if by == "client" {
				out.left = 150 << 10
			}
			sink, err := query.NewExportSink(f, out)
			if err != nil {
				t.Fatal(err)
			}
			_, err = w.q.Export(context.Background(), w.reader, query.ExportRequest{Criteria: criteria.Criteria{ActorID: "alice"}}, sink)
			if err == nil || out.Len() == 0 {
				t.Errorf("%s cut by the %s: %v after %d bytes", f, by, err, out.Len())
			}
			if strings.HasSuffix(out.String(), "}\n") && f != query.CSV || strings.HasSuffix(out.String(), "\r\n") {
				t.Errorf("%s cut by the %s ends well", f, by)
			}
		}
	}
}

// TestExportBeginsOnce: a sink sees Begin, entries, End, and no End after an error.
func TestExportBeginsOnce(t *testing.T) {
	w := newWorld(t)
	w.recordMany(2)
	for fail, want := range map[string]string{"": "begin entry entry end", "begin": "begin", "entry": "begin entry", "end": "begin entry entry end"} {
		sink := &callSink{fail: fail}
		_, err := w.q.Export(context.Background(), w.reader, query.ExportRequest{}, sink)
		if got := strings.Join(sink.calls, " "); got != want || (err != nil) != (fail != "") {
			t.Errorf("failing at %q: %s, %v", fail, got, err)
		}
	}
}

type callSink struct {
	calls []string
	fail  string
}

func (s *callSink) call(name string) error {
	s.calls = append(s.calls, name)
	if name == s.fail {
		return errors.New("failed")
	}
	return nil
}

func (s *callSink) Begin() error                 { return s.call("begin") }
func (s *callSink) Entry(*entry.Entry) error     { return s.call("entry") }
func (s *callSink) End(query.ExportResult) error { return s.call("end") }
