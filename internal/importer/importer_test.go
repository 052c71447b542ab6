package importer

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"auditlog/internal/client"
)

// server keeps entries by their whole text, as a service does by key, and refuses what it is told to. Like a service it
// keeps the order of a sequence, and breaks it at the first bulk that it does not store.
type server struct {
	mu     sync.Mutex
	places map[string]int // by sequence: what comes next; -1 when it is broken
	moved  sync.Cond      // of places
	turns  int            // bulks in turn that came
	torn   map[int]bool   // of which these are not stored, by number from 1, and these lose their answer
	lost   map[int]bool
	most   int // under way at once
	flying int
	single int // bulks that came by themselves

	retryAfter time.Duration // of the torn ones
	tornAt     time.Time
	waited     time.Duration // from the last of those until a bulk by itself

	stored map[string]int64
	order  []string
	bulks  []int
	whole  string // a bulk that holds an entry with this text is refused as a whole
	item   string // an entry with this text is refused
	fail   int    // the bulk of this number, from 1, and all after it fail
}

func (s *server) Bulk(_ context.Context, entries [][]byte) ([]client.Item, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flying > 0 {
		return nil, errors.New("a bulk by itself comes beside others")
	}
	if !s.tornAt.IsZero() {
		s.waited, s.tornAt = time.Since(s.tornAt), time.Time{}
	}
	s.single++
	return s.store(entries)
}

func (s *server) BulkInSequence(_ context.Context, entries [][]byte, sequence string, n int) ([]client.Item, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turns++
	turn := s.turns
	s.flying++
	s.most = max(s.most, s.flying)
	defer func() { s.flying-- }()
	for s.places[sequence] >= 0 && s.places[sequence] < n {
		s.moved.Wait()
	}
	defer s.moved.Broadcast()
	conflict := &client.Problem{Type: "/problems/conflict", Status: http.StatusConflict}
	if s.places[sequence] != n {
		s.places[sequence] = -1
		return nil, conflict
	}
	s.places[sequence] = -1
	if s.torn[turn] {
		s.tornAt = time.Now()
		return nil, &client.Problem{Type: "/problems/overloaded", Status: http.StatusServiceUnavailable, RetryAfter: s.retryAfter}
	}
	items, err := s.store(entries)
	if err == nil {
		s.places[sequence] = n + 1
	}
	if s.lost[turn] {
		return nil, errors.New("the answer is lost")
	}
	return items, err
}

// store is called with the lock.
func (s *server) store(entries [][]byte) ([]client.Item, error) {
	s.bulks = append(s.bulks, len(entries))
	if s.fail > 0 && len(s.bulks) >= s.fail {
		return nil, errors.New("the line is dead")
	}
	items := make([]client.Item, len(entries))
	for _, e := range entries {
		if s.whole != "" && strings.Contains(string(e), s.whole) {
			return nil, &client.Problem{Type: "/problems/too-large", Status: http.StatusRequestEntityTooLarge, Detail: "too large"}
		}
	}
	for i, e := range entries {
		if s.item != "" && strings.Contains(string(e), s.item) {
			items[i] = client.Item{Status: 422, Problem: &client.Problem{Errors: []client.Field{{Pointer: "/action", Detail: "is required"}}}}
			continue
		}
		position, known := s.stored[string(e)]
		if !known {
			position = int64(len(s.stored) + 1)
			s.stored[string(e)] = position
			s.order = append(s.order, string(e))
		}
		items[i] = client.Item{Status: 201, Position: position, Replayed: known}
	}
	return items, nil
}

func newImport(s *server) (*Import, *[]string) {
	if s.stored == nil {
		s.stored = map[string]int64{}
		s.places, s.moved.L = map[string]int{}, &s.mu
	}
	var refusals []string
	return &Import{
		Sender: s, Format: NDJSON, Moved: func(Counts) {},
		Refused: func(r Refusal) { refusals = append(refusals, r.String()) },
	}, &refusals
}

func lineFile(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "{\"n\":%d}\n", i)
	}
	return b.String()
}

func TestImportsInBulksAndInOrder(t *testing.T) {
	s := &server{}
	im, refusals := newImport(s)
	if err := im.File(t.Context(), "f", strings.NewReader(lineFile(2500))); err != nil {
		t.Fatal(err)
	}
	if want := []int{1000, 1000, 500}; !reflect.DeepEqual(s.bulks, want) {
		t.Errorf("bulks of %v, want %v", s.bulks, want)
	}
	if want := (Counts{Read: 2500, Stored: 2500}); im.Counts() != want || len(*refusals) != 0 {
		t.Errorf("counts %+v, refusals %v", im.Counts(), *refusals)
	}
	for i, e := range s.order {
		if !strings.Contains(e, `"n":`+strconv.Itoa(i)+`,`) {
			t.Fatalf("entry %d is %s", i, e)
		}
	}
	again, _ := newImport(s)
	if err := again.File(t.Context(), "f", strings.NewReader(lineFile(2500))); err != nil {
		t.Fatal(err)
	}
	if want := (Counts{Read: 2500, Replayed: 2500}); again.Counts() != want {
		t.Errorf("again: %+v", again.Counts())
	}
}

// Whatever becomes of bulks under way, the file's order is that of the positions, and each record is stored once and told
// as one of this import.
func TestOrderOutlivesFailures(t *testing.T) {
	for seed := range uint64(50) {
		mood := rand.New(rand.NewPCG(seed, 1))
		s := &server{torn: map[int]bool{}, lost: map[int]bool{}}
		for turn := range 100 {
			s.torn[turn], s.lost[turn] = mood.IntN(8) == 0, mood.IntN(8) == 0
		}
		im, refusals := newImport(s)
		im.Bulk = 10
		if err := im.File(t.Context(), "f", strings.NewReader(lineFile(2000))); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		c := im.Counts()
		if c.Read != 2000 || c.Stored+c.Replayed != 2000 || c.Stored < 1000 || len(*refusals) != 0 {
			t.Errorf("seed %d: counts %+v, refusals %v", seed, c, *refusals)
		}
		if len(s.order) != 2000 {
			t.Fatalf("seed %d: %d are stored", seed, len(s.order))
		}
		for i, e := range s.order {
			if !strings.Contains(e, `"n":`+strconv.Itoa(i)+`,`) {
				t.Fatalf("seed %d: entry %d is %s", seed, i, e)
			}
		}
	}
}

// While nothing fails all bulks go in turn, several at once; after a failure a number of them go by themselves.
func TestFailuresCalmTheImport(t *testing.T) {
	s := &server{}
	im, _ := newImport(s)
	im.Bulk = 10
	if err := im.File(t.Context(), "f", strings.NewReader(lineFile(1000))); err != nil {
		t.Fatal(err)
	}
	if s.turns != 100 || s.single != 0 || s.most > aloft {
		t.Errorf("%d bulks in turn, %d by themselves, at most %d at once", s.turns, s.single, s.most)
	}
	for _, c := range []struct {
		torn   map[int]bool
		single int
	}{
		{map[int]bool{1: true}, aloft + leastCalm},
		{map[int]bool{1: true, 8: true}, aloft + leastCalm + aloft + 2*leastCalm}, // soon after
		{map[int]bool{1: true, 40: true}, aloft + leastCalm + aloft + leastCalm},  // long after
	} {
		s := &server{torn: c.torn}
		im, _ = newImport(s)
		im.Bulk = 10
		if err := im.File(t.Context(), "f", strings.NewReader(lineFile(2000))); err != nil {
			t.Fatal(err)
		}
		if flights := 200 - c.single; s.single != c.single || s.turns < flights {
			t.Errorf("torn %v: %d bulks went by themselves, and %d in turn, want %d and at least %d", c.torn, s.single, s.turns, c.single, flights)
		}
	}
}

// A server that is busy is asked again when it said, and not before.
func TestRetryAfterIsKept(t *testing.T) {
	for _, c := range []struct{ asked, waited time.Duration }{{0, 0}, {7 * time.Second, 7 * time.Second}, {time.Hour, longestPause}} {
		synctest.Test(t, func(t *testing.T) {
			s := &server{torn: map[int]bool{2: true}, retryAfter: c.asked, waited: -1}
			im, _ := newImport(s)
			im.Bulk = 10
			if err := im.File(t.Context(), "f", strings.NewReader(lineFile(100))); err != nil {
				t.Fatal(err)
			}
			if s.waited != c.waited || im.Counts().Stored != 100 {
				t.Errorf("asked for %v, it came again after %v; counts %+v", c.asked, s.waited, im.Counts())
			}
		})
	}
}

func TestBothFailuresAreTold(t *testing.T) {
	s := &server{torn: map[int]bool{1: true}, fail: 1}
	im, _ := newImport(s)
	err := im.File(t.Context(), "f", strings.NewReader(lineFile(9000)))
	if err == nil || !strings.Contains(err.Error(), "f: lines 1 to 1000: the line is dead") || !strings.Contains(err.Error(), "overloaded") {
		t.Errorf("got %v", err)
	}
}

func TestRefusalsNameTheLine(t *testing.T) {
	s := &server{item: `"n":4`, whole: `"n":5`}
	im, refusals := newImport(s)
	text := lineFile(4) + "\n\nnot json\n" + `{"n":4}` + "\n" + `{"n":5}` + "\n" + `{"n":6,"n":7}` + "\n[]\n" +
		`{"idempotency_key":null}` + "\n" + strings.Repeat("x", MaxRecord+1) + "\n" + `{"n":8}` // without a line end
	if err := im.File(t.Context(), "f", strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	if want := (Counts{Read: 12, Stored: 5, Refused: 7}); im.Counts() != want {
		t.Errorf("counts %+v, want %+v", im.Counts(), want)
	}
	for _, want := range []string{
		"f:7: malformed", "f:8: /action is required", "f:9: too large", "f:10: duplicate-key", "f:11: an entry is", "f:12: idempotency_key", "f:13: the record is longer",
	} {
		found := false
		for _, r := range *refusals {
			found = found || strings.HasPrefix(r, want)
		}
		if !found {
			t.Errorf("no refusal begins with %q: %q", want, *refusals)
		}
	}
}

func TestAFailureEndsTheImport(t *testing.T) {
	s := &server{fail: 2}
	im, _ := newImport(s)
	err := im.File(t.Context(), "f", strings.NewReader(lineFile(9000)))
	if err == nil || !strings.Contains(err.Error(), "f: lines 1001 to 2000: the line is dead") {
		t.Errorf("got %v", err)
	}
	if im.Counts().Stored != 1000 || len(s.stored) != 1000 {
		t.Errorf("counts %+v, %d stored", im.Counts(), len(s.stored))
	}
}

func TestBulksKeepTheByteLimit(t *testing.T) {
	s := &server{}
	im, _ := newImport(s)
	var text strings.Builder
	for i := range 30 {
		fmt.Fprintf(&text, `{"n":%d,"x":"%s"}`+"\n", i, strings.Repeat("y", 300<<10))
	}
	if err := im.File(t.Context(), "f", strings.NewReader(text.String())); err != nil {
		t.Fatal(err)
	}
	if want := []int{17, 13}; !reflect.DeepEqual(s.bulks, want) {
		t.Errorf("bulks of %v, want %v", s.bulks, want)
	}
}

func records(t *testing.T, in []byte) (lines []int, texts []string, err error) {
	t.Helper()
	err = Records(bytes.NewReader(in), func(line int, record []byte, bad error) error {
		lines, texts = append(lines, line), append(texts, string(record))
		return bad
	})
	return lines, texts, err
}

func zipped(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.WriteString(z, text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestRecords(t *testing.T) {
	for _, c := range []struct {
		name, in string
		lines    []int
		texts    []string
	}{
		{"empty", "", nil, nil},
		{"lines", "{\"a\":1}\r\n\n {\"b\":2} ", []int{1, 3}, []string{`{"a":1}`, `{"b":2}`}},
		{"a document", ` { "Records" : [ {"a": 1}, {"b":[]} ], "more": {} }`, []int{1, 2}, []string{`{"a": 1}`, `{"b":[]}`}},
		{"two documents", `{"Records":[{"a":1}]}` + "\n" + `{"Records":[{"b":2}]}`, []int{1, 2}, []string{`{"a":1}`, `{"b":2}`}},
		{"an empty document", `{"Records":[]}`, nil, nil},
	} {
		for name, in := range map[string][]byte{"plain": []byte(c.in), "gzip": zipped(t, c.in)} {
			lines, texts, err := records(t, in)
			if err != nil || !reflect.DeepEqual(lines, c.lines) || !reflect.DeepEqual(texts, c.texts) {
				t.Errorf("%s, %s: got %v %q, %v", c.name, name, lines, texts, err)
			}
		}
	}
}

func TestDamagedFiles(t *testing.T) {
	whole := zipped(t, lineFile(1000))
	for name, in := range map[string][]byte{
		"cut gzip": whole[:len(whole)-20], "cut gzip header": whole[:5],
		"cut document": []byte(`{"Records":[{"a":1},{"b`), "document without end": []byte(`{"Records":[{"a":1}`),
		"text after a document": []byte(`{"Records":[{"a":1}]} x`),
	} {
		if _, _, err := records(t, in); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestNDJSONKeys(t *testing.T) {
	a, err := NDJSON([]byte("kept"), []byte(`{"b":1, "a":[ ]}`))
	if err != nil || !strings.HasPrefix(string(a), `kept{"a":[],"b":1,"idempotency_key":"ndjson:`) {
		t.Fatalf("%s, %v", a, err)
	}
	b, _ := NDJSON([]byte("kept"), []byte(`{"a":[],"b":1e0}`))
	if !bytes.Equal(a, b) {
		t.Errorf("equal content has keys %s and %s", a, b)
	}
	if own, _ := NDJSON(nil, []byte(`{"idempotency_key":"mine"}`)); string(own) != `{"idempotency_key":"mine"}` {
		t.Errorf("got %s", own)
	}
	if empty, err := NDJSON(nil, []byte(`{}`)); err != nil || !strings.HasPrefix(string(empty), `{"idempotency_key":"ndjson:`) {
		t.Errorf("got %s, %v", empty, err)
	}
}
