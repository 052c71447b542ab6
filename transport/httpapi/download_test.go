package httpapi_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"auditlog/eventstore"
	"auditlog/internal/entry"
	"auditlog/query"
	"auditlog/transport/httpapi"
)

func TestExports(t *testing.T) {
	w := newWorld(t, httpapi.Config{})
	for range 3 {
		w.post(goodEntry)
	}
	w.post(strings.Replace(goodEntry, "document.shared", "other", 1))
	fetch := func(query string) reply {
		return w.do(get("/api/v1/logs/export?min_position=5&wait=8s&action=document.shared&"+query, w.token("reader", "export")))
	}
	c := fetch("format=csv")
	rows, err := csv.NewReader(strings.NewReader(c.body)).ReadAll()
	sum := sha256.Sum256([]byte(c.body))
	if err != nil || len(rows) != 4 || c.header.Get("Content-Type") != "text/csv; charset=utf-8" ||
		c.header.Get("Content-Disposition") != `attachment; filename="auditlog-export.csv"` ||
		c.trailer.Get("X-Export-Count") != "3" || c.trailer.Get("Digest") != "sha-256="+base64.StdEncoding.EncodeToString(sum[:]) {
		t.Errorf("csv: %v %v %v %d rows", err, c.header, c.trailer, len(rows))
	}
	n := fetch("format=ndjson")
	lines := strings.Split(strings.TrimSuffix(n.body, "\n"), "\n")
	last := object(t, lines[len(lines)-1])
	if len(lines) != 4 || last["end"] != true || last["count"] != 3.0 || last["complete_to"].(map[string]any)["position"].(float64) < 5 ||
		n.header.Get("Content-Type") != "application/x-ndjson" {
		t.Errorf("ndjson: %v %s", n.header, n.body)
	}
	j := fetch("format=json")
	if o := object(t, j.body); len(o["items"].([]any)) != 3 || o["count"] != 3.0 {
		t.Errorf("json: %s", j.body)
	}
	replayed := w.do(get("/api/v1/replay?after=3", w.token("auditor")))
	if lines := strings.Split(strings.TrimSuffix(replayed.body, "\n"), "\n"); len(lines) != 3 || lines[2] != `{"end":true,"count":2,"next":5}` {
		t.Errorf("replay: %d %s", replayed.status, replayed.body)
	}
}

// endless is a read side whose exports and replays go on until told to break.
type endless struct {
	*query.Queries
	fail chan error
}

func (e endless) Export(ctx context.Context, _ query.Reader, _ query.ExportRequest, sink query.ExportSink) (query.ExportResult, error) {
	if err := sink.Begin(); err != nil {
		return query.ExportResult{}, err
	}
	one := entry.Entry{Type: eventstore.EntryRecorded}
	one.Private.Message = strings.Repeat("m", 4000)
	for {
		select {
		case err := <-e.fail:
			return query.ExportResult{}, err
		case <-ctx.Done():
			return query.ExportResult{}, ctx.Err()
		default:
		}
		if err := sink.Entry(&one); err != nil {
			return query.ExportResult{}, err
		}
	}
}

// TestCutExport is row I10: an export that breaks never looks whole, whatever its form.
func TestCutExport(t *testing.T) {
	w := newWorld(t, httpapi.Config{})
	for _, format := range []string{"csv", "ndjson", "json"} {
		fail := make(chan error, 1)
		w.over(w.commands, endless{w.queries, fail}, httpapi.Config{})
		res := must(http.DefaultTransport.RoundTrip(w.request(t, "/api/v1/logs/export?format="+format)))(t)
		if _, err := io.CopyN(io.Discard, res.Body, 1<<20); err != nil {
			t.Fatal(err)
		}
		fail <- errors.New("the disk is gone")
		rest, err := io.ReadAll(res.Body)
		if !errors.Is(err, syscall.ECONNRESET) || res.Trailer.Get("Digest") != "" || strings.Contains(string(rest), `"count"`) {
			t.Errorf("%s: the cut export ends with %v, %v, %.80q", format, err, res.Trailer, rest[max(0, len(rest)-80):])
		}
		_ = res.Body.Close()

		conn := must(net.Dial("tcp", w.addr))(t) // in HTTP/1.0 the end of the connection is the end of the file
		if _, err := io.WriteString(conn, "GET /api/v1/logs/export?format="+format+" HTTP/1.0\r\nAuthorization: Bearer "+w.token("auditor")+"\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, conn, 1<<20); err != nil {
			t.Fatal(err)
		}
		fail <- errors.New("the disk is gone")
		if _, err := io.Copy(io.Discard, conn); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s in HTTP/1.0: the cut export ends with %v", format, err)
		}
		_ = conn.Close()
	}
	fail := make(chan error, 1)
	fail <- errors.New("the disk is gone")
	w.over(w.commands, endless{w.queries, fail}, httpapi.Config{})
	got := w.do(get("/api/v1/logs/export?format=csv", w.token("auditor")))
	if got.status != 500 || got.slug() != "internal" || got.header.Get("Content-Disposition") != "" {
		t.Errorf("broken before the first byte: %d %v %s", got.status, got.header, got.body)
	}
}

func (w *world) request(tb testing.TB, path string) *http.Request {
	req := must(http.NewRequest("GET", "http://"+w.addr+path, nil))(tb)
	req.Header.Set("Authorization", "Bearer "+w.token("auditor"))
	return req
}

// TestExportSlots shows row I7's third export, and that a client which stops reading gives its slot back in time.
func TestExportSlots(t *testing.T) {
	w := newWorld(t, httpapi.Config{})
	w.over(w.commands, endless{w.queries, nil}, httpapi.Config{WriteTimeout: 300 * time.Millisecond})
	stalled := func() {
		conn := must(net.Dial("tcp", w.addr))(t)
		t.Cleanup(func() { _ = conn.Close() })
		if err := w.request(t, "/api/v1/logs/export?format=ndjson").Write(conn); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(line, "200") {
			t.Fatalf("%q %v", line, err)
		}
	}
	stalled()
	stalled()
	third := w.do(get("/api/v1/logs/export?format=csv", w.token("auditor")))
	if third.status != 429 || third.slug() != "rate-limited" || third.header.Get("Retry-After") == "" {
		t.Fatalf("third export: %d %v", third.status, third.header)
	}
	eventually(t, "the stalled exports give up", func() bool {
		res, err := http.DefaultTransport.RoundTrip(w.request(t, "/api/v1/logs/export?format=json"))
		if err != nil {
			return false
		}
		_ = res.Body.Close()
		return res.StatusCode == 200
	})
}

// TestClientsThatLeave shows that a client which drops an export or a stream is not taken for an error of ours.
func TestClientsThatLeave(t *testing.T) {
	w := newWorld(t, httpapi.Config{})
	w.post(goodEntry)
	w.over(w.commands, endless{w.queries, nil}, httpapi.Config{Stream: httpapi.StreamConfig{Heartbeat: 10 * time.Millisecond}})
	for path, accept := range map[string]string{"/api/v1/logs/export?format=csv": "text/csv", "/api/v1/logs/stream?after=0": "text/event-stream"} {
		req := w.request(t, path)
		req.Header.Set("Accept", accept)
		req.Header.Set("X-Request-Id", accept)
		res := must(http.DefaultTransport.RoundTrip(req))(t)
		if _, err := res.Body.Read(make([]byte, 10)); err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close() // drops the connection: there is more to come
		eventually(t, "the request ends", func() bool {
			for line := range strings.Lines(w.log.String()) {
				if strings.Contains(line, `"msg":"request"`) && strings.Contains(line, `"request_id":"`+accept+`"`) {
					return true
				}
			}
			return false
		})
	}
	log := w.log.String()
	if strings.Contains(log, `"level":"ERROR"`) || !strings.Contains(log, `"level":"INFO","msg":"the client is gone"`) {
		t.Errorf("logged as\n%s", log)
	}
}

// TestPartialBulk is row I3, in both forms of a body and compressed.
func TestPartialBulk(t *testing.T) {
	w := newWorld(t, httpapi.Config{})
	lines := make([]string, 100)
	for i := range lines {
		lines[i] = strings.Replace(goodEntry, "document.shared", fmt.Sprintf("a%d", i), 1)
	}
	lines[42] = `{"action":"no actor"}`
	for name, c := range map[string]call{
		"json":           {body: `{"entries":[` + strings.Join(lines, ",") + `]}`},
		"ndjson":         {body: strings.Join(lines, "\n\n") + "\r\n", header: http.Header{"Content-Type": {"application/x-ndjson"}}},
		"gzipped ndjson": {body: gzipped([]byte(strings.Join(lines, "\n"))), header: http.Header{"Content-Type": {"application/x-ndjson"}, "Content-Encoding": {"gzip"}}},
	} {
		before := w.head(w.a)
		c.method, c.path, c.token = "POST", "/api/v1/logs/bulk?mode=partial", w.token("writer")
		got := w.do(c)
		var answer struct {
			Items []struct {
				Status   int
				Position int64
				Problem  *struct {
					Type   string
					Errors []struct{ Pointer string }
				}
			}
		}
		if err := json.Unmarshal([]byte(got.body), &answer); err != nil || got.status != 207 || len(answer.Items) != 100 {
			t.Fatalf("%s: %d %.300s", name, got.status, got.body)
		}
		position := int64(before)
		for i, item := range answer.Items {
			if i == 42 {
				if item.Status != 422 || item.Problem == nil || item.Problem.Type != "/problems/invalid" || !strings.HasPrefix(item.Problem.Errors[0].Pointer, "/entries/42/") {
					t.Errorf("%s: item 42: %+v", name, item)
				}
				continue
			}
			position++
			if item.Status != 201 || item.Position != position {
				t.Errorf("%s: item %d: %+v, want position %d", name, i, item, position)
			}
		}
		if w.head(w.a)-before != 99 {
			t.Errorf("%s: stored %d", name, w.head(w.a)-before)
		}
	}
	spoiled := w.do(call{method: "POST", path: "/api/v1/logs/bulk?mode=partial", token: w.token("writer"), body: goodEntry + "\n{\n[]\n", header: http.Header{"Content-Type": {"application/x-ndjson"}}})
	if spoiled.status != 207 || strings.Count(spoiled.body, `"status":400,"problem"`) != 2 || strings.Count(spoiled.body, `"status":201,"id"`) != 1 {
		t.Errorf("lines that are no JSON: %d %s", spoiled.status, spoiled.body)
	}
}

// TestTextIsKeptAsSent is rows E2 and E5: what may hold any text holds it, and is one record wherever it goes.
func TestTextIsKeptAsSent(t *testing.T) {
	w := newWorld(t, httpapi.Config{})
	message := "\r\n2026-01-01 FAKE ok %0d%0a \t\x1b[1m \u202e \u200b \u0085"
	body := must(json.Marshal(map[string]any{"action": "a", "actor": map[string]any{"id": "x"}, "resource": map[string]any{"type": "t"},
		"message": message, "metadata": map[string]any{"k": message}}))(t)
	e := w.post(string(body))
	read := object(t, w.do(get("/api/v1/logs/"+e["id"].(string), w.token("reader"))).body)
	if read["message"] != message || read["metadata"].(map[string]any)["k"] != message {
		t.Errorf("kept as %q", read["message"])
	}
	table := w.do(get("/api/v1/logs/export?format=csv", w.token("auditor")))
	if rows, err := csv.NewReader(strings.NewReader(table.body)).ReadAll(); err != nil || len(rows) != 2 {
		t.Errorf("csv: %v, %d rows", err, len(rows))
	}
	for line := range strings.Lines(w.log.String()) {
		if !json.Valid([]byte(line)) || strings.Contains(line, "FAKE") {
			t.Errorf("log line %q", line)
		}
	}
}

// TestCleanup is row H8: the same again while it runs is the same job; its certificate is readable.
func TestCleanup(t *testing.T) {
	w := newWorld(t, httpapi.Config{})
	admin := w.token("tenant_admin")
	order := func(before string) reply {
		return w.do(call{method: "DELETE", path: "/api/v1/logs/cleanup?before=" + before, token: admin})
	}
	dry := w.do(call{method: "DELETE", path: "/api/v1/logs/cleanup?before=2020-01-01T00:00:00Z&dry_run=true", token: admin})
	if dry.status != 200 || dry.body != `{"matching":0}` || w.head(w.a) != 1 {
		t.Errorf("dry run: %d %s", dry.status, dry.body)
	}
	first := order("2020-01-01T00:00:00Z")
	job := object(t, first.body)
	if first.status != 202 || first.header.Get("Location") != "/api/v1/logs/cleanup/"+job["id"].(string) {
		t.Fatalf("%d %v %s", first.status, first.header, first.body)
	}
	eventually(t, "the cleanup is done", func() bool {
		got := w.do(get("/api/v1/logs/cleanup/"+job["id"].(string), admin))
		return got.status == 200 && object(t, got.body)["status"] == "done" && object(t, got.body)["certificate"].(map[string]any)["requested_by"] == "svc"
	})
	w.over(runningCleanup{w.commands}, w.queries, httpapi.Config{})
	if a, b := order("2020-01-01T00:00:00Z"), order("2020-01-01T00:00:00Z"); a.status != 202 || a.body != b.body || a.header.Get("Location") != b.header.Get("Location") {
		t.Errorf("the same again: %s and %s", a.body, b.body)
	}
	if other := order("2020-01-02T00:00:00Z"); other.status != 409 || other.slug() != "conflict" {
		t.Errorf("another at once: %d %s", other.status, other.body)
	}
}
