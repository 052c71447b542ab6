package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"auditlog/test/stack"
)

// page is an answer of GET /api/v1/logs.
type page struct {
	Items []struct {
		ID         string
		Position   int64
		RecordedAt time.Time `json:"recorded_at"`
	}
	Total struct {
		Value    int
		Relation string
	}
	CompleteTo struct{ Position int64 } `json:"complete_to"`
}

// list asks for the newest entry and the total, once the log is searchable up to a position.
func (s *server) list(parameters string, upTo int64) page {
	s.t.Helper()
	path := fmt.Sprintf("/api/v1/logs?limit=1&total=true&min_position=%d&wait=10s&%s", upTo, parameters)
	body, status, err := s.try("reader", http.MethodGet, path, "")
	for deadline := time.Now().Add(50 * time.Second); status == http.StatusGatewayTimeout && time.Now().Before(deadline); {
		body, status, err = s.try("reader", http.MethodGet, path, "") // other tests use the machine, too
	}
	var p page
	if err != nil || status != http.StatusOK || json.Unmarshal(body, &p) != nil {
		s.t.Fatalf("GET %s: %d %s %v", path, status, body, err)
	}
	if p.Total.Relation != "eq" {
		s.t.Errorf("%s: the total is %s %d", parameters, p.Total.Relation, p.Total.Value)
	}
	return p
}

func (s *server) importSample(in sample) string {
	s.t.Helper()
	r := s.auditlog("writer", nil, "import", "--format", "cloudtrail", in.path)
	if r.Code != 0 {
		s.t.Fatalf("import ended with %d: %s", r.Code, r.Err)
	}
	return r.Out
}

// TestCloudTrail imports real records twice and looks at them through every door, on either tier.
func TestCloudTrail(t *testing.T) {
	in := openSample(t)
	onBothTiers(t, func(s *server) { s.acceptance(in) })
}

func (s *server) acceptance(in sample) {
	s.t.Helper()
	if out, want := s.importSample(in), fmt.Sprintf("read %d, stored %d, replayed 0, refused 0 ", in.total, in.total); !strings.HasPrefix(out, want) {
		s.t.Fatalf("first import: %s", out)
	}
	if out, want := s.importSample(in), fmt.Sprintf("read %d, stored 0, replayed %d, refused 0 ", in.total, in.total); !strings.HasPrefix(out, want) {
		s.t.Fatalf("second import: %s", out)
	}
	for _, step := range []struct {
		name string
		run  func(*server, sample)
	}{
		{"counts", (*server).counts},
		{"csv", (*server).csv},
		{"stream", (*server).stream},
		{"replay", func(s *server, in sample) { s.replay(in.total) }},
		{"rebuild", (*server).rebuild},
		{"rebuild while writing", (*server).rebuildWhileWriting},
		{"erase", (*server).eraseOne},
		{"clean up", (*server).cleanUp},
	} {
		s.t.Run(step.name, func(t *testing.T) { step.run(s.with(t), in) })
	}
}

// with is the server with another test to complain to.
func (s *server) with(t *testing.T) *server {
	c := *s
	c.t = t
	return &c
}

func (s *server) counts(in sample) {
	head := int64(in.total + 1) // position 1 is the tenant's creation
	for parameters, want := range map[string]int{
		"":                                       in.total,
		"metadata.eventSource=ec2.amazonaws.com": in.ec2,
		"action=Decrypt":                         in.decrypt,
		"outcome=failure,denied,unknown":         in.errors,
		"outcome=denied":                         in.denied,
	} {
		if got := s.list(parameters, head); got.Total.Value != want || got.CompleteTo.Position != head {
			s.t.Errorf("%q: %d entries up to %d, want %d up to %d", parameters, got.Total.Value, got.CompleteTo.Position, want, head)
		}
	}
	from, to := span(s.t, in)
	for _, parameters := range []string{"", "action=Decrypt", "outcome=denied", "outcome=failure,denied"} {
		var stats struct {
			Total   int
			Buckets []struct{ Count int }
		}
		body := s.get("reader", "/api/v1/logs/stats?interval=day&from="+from+"&to="+to+"&"+parameters)
		if err := json.Unmarshal(body, &stats); err != nil {
			s.t.Fatal(err)
		}
		sum := 0
		for _, b := range stats.Buckets {
			sum += b.Count
		}
		if want := s.list(parameters, head).Total.Value; stats.Total != want || sum != want {
			s.t.Errorf("%q: stats count %d, their buckets %d, the list %d", parameters, stats.Total, sum, want)
		}
	}
}

// span is the range of the records' times in whole days.
func span(t *testing.T, in sample) (from, to string) {
	t.Helper()
	var first, last time.Time
	for _, line := range in.lines {
		var record struct{ EventTime time.Time }
		if err := json.Unmarshal(line, &record); err != nil {
			t.Fatal(err)
		}
		if first.IsZero() || record.EventTime.Before(first) {
			first = record.EventTime
		}
		if record.EventTime.After(last) {
			last = record.EventTime
		}
	}
	const day = 24 * time.Hour
	return first.Truncate(day).Format(time.RFC3339), last.Truncate(day).Add(day).Format(time.RFC3339)
}

func (s *server) csv(in sample) {
	path := filepath.Join(s.t.TempDir(), "export.csv")
	if r := s.auditlog("reader", nil, "export", "--format", "csv", "--out", path); r.Code != 0 {
		s.t.Fatal(r.Err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	rows, err := csv.NewReader(bytes.NewReader(data)).ReadAll()
	if err != nil || len(rows) != in.total+1 {
		s.t.Errorf("%d rows under the header, want %d; %v", len(rows)-1, in.total, err)
	}
}

// stream resumes in the middle and must get exactly the rest.
func (s *server) stream(in sample) {
	after, head := int64(in.total/3), int64(in.total+1)
	if in.total > 2000 {
		after = 1000
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/api/v1/logs/stream", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.tokens["reader"])
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("Last-Event-ID", strconv.FormatInt(after, 10))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	lines := bufio.NewReaderSize(resp.Body, 1<<20)
	for want := after + 1; want <= head; {
		line, err := lines.ReadString('\n')
		if err != nil {
			s.t.Fatalf("waiting for position %d: %v", want, err)
		}
		id, ok := strings.CutPrefix(strings.TrimSpace(line), "id:")
		if !ok {
			continue
		}
		if got, _ := strconv.ParseInt(strings.TrimSpace(id), 10, 64); got != want {
			s.t.Fatalf("position %d came where %d is due", got, want)
		}
		want++
	}
}

// line is one line of a replay.
type line struct {
	Position int64
	Public   string
	Private  *string
	End      bool
	Count    int
	Next     int64
}

// event is a stored event as a replay tells of it.
type event struct {
	ID, Type string
	EntryID  string `json:"entry_id"` // the entry that an amendment or an erasure is about
	Private  string // commitment
	unread   bool   // the private part is null
}

// events replays the log, oldest first, and checks that it is dense from 1 and that its commitments hold.
func (s *server) events() []event {
	s.t.Helper()
	r := s.auditlog("auditor", nil, "replay")
	if r.Code != 0 {
		s.t.Fatal(r.Err)
	}
	var events []event
	dec := json.NewDecoder(strings.NewReader(r.Out))
	for want := int64(1); ; want++ {
		var l line
		if err := dec.Decode(&l); err != nil {
			s.t.Fatalf("before position %d: %v", want, err)
		}
		if l.End {
			if int64(l.Count) != want-1 || l.Next != want-1 {
				s.t.Errorf("the end tells of %d events and goes on after %d, want %d", l.Count, l.Next, want-1)
			}
			return events
		}
		e := event{unread: l.Private == nil}
		if err := json.Unmarshal([]byte(l.Public), &e); err != nil || l.Position != want {
			s.t.Fatalf("position %d came where %d is due; %v", l.Position, want, err)
		}
		if !e.unread {
			sum := sha256.Sum256([]byte(*l.Private))
			if e.Private != base64.RawURLEncoding.EncodeToString(sum[:]) {
				s.t.Errorf("position %d: the private part is not what the public part commits to", want)
			}
		}
		events = append(events, e)
	}
}

// replay checks a log in which nothing was erased and that it has so many entries; it gives positions by id.
func (s *server) replay(entries int) map[string]int64 {
	s.t.Helper()
	places := map[string]int64{}
	found := 0
	for i, e := range s.events() {
		if e.unread {
			s.t.Fatalf("position %d has lost its private part", i+1)
		}
		places[e.ID] = int64(i + 1)
		if e.Type == "entry.recorded" {
			found++
		}
	}
	if entries >= 0 && found != entries {
		s.t.Errorf("%d entries, want %d", found, entries)
	}
	return places
}

// TestImportOverACrash kills the service in the middle of an import and imports again.
func TestImportOverACrash(t *testing.T) {
	in := openSample(t)
	dir := t.TempDir()
	s := serve(t, dir)
	const bulk = 10
	feed, pipe := io.Pipe()
	ended := make(chan stack.Result, 1)
	go func() {
		ended <- s.auditlog("writer", feed, "import", "--format", "cloudtrail", "--bulk", strconv.Itoa(bulk), "--patience", "500ms", "-")
	}()
	half := len(in.lines) / 2
	writeLines(t, pipe, in.lines[:half])
	stored := half / bulk * bulk
	for deadline := time.Now().Add(time.Minute); s.list("", 0).Total.Value < stored-2*bulk; {
		if time.Now().After(deadline) {
			t.Fatal("the first half does not arrive")
		}
	}
	s.kill()
	go func() { // until the import gives up reading
		defer pipe.Close() // it may have read everything by then, and whoever copies to it would wait for more
		for _, l := range in.lines[half:] {
			if _, err := pipe.Write(append(l, '\n')); err != nil {
				return
			}
		}
	}()
	if r := <-ended; r.Code != 1 || !strings.Contains(r.Err, "no server answers") && !strings.Contains(r.Err, "broke") {
		t.Fatalf("the import over a dead server ended with %d: %s", r.Code, r.Err)
	}
	_ = feed.Close()

	s = serve(t, dir)
	var read, fresh, replayed, refused int
	out := s.importSample(in)
	if _, err := fmt.Sscanf(out, "read %d, stored %d, replayed %d, refused %d in", &read, &fresh, &replayed, &refused); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if read != in.total || fresh+replayed != in.total || fresh == 0 || replayed < stored-2*bulk {
		t.Errorf("the second import: %s", out)
	}
	if got := s.list("", int64(in.total+1)).Total.Value; got != in.total {
		t.Errorf("%d entries, want %d", got, in.total)
	}
	s.replay(in.total)
}

func writeLines(t *testing.T, w io.Writer, lines [][]byte) {
	t.Helper()
	for _, l := range lines {
		if _, err := w.Write(append(l, '\n')); err != nil {
			t.Fatal(err)
		}
	}
}
