package importer

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"auditlog/internal/client"
)

// server keeps entries by their whole text, as a service does by key, and refuses what it is told to.
type server struct {
	stored map[string]int64
	order  []string
	bulks  []int
	whole  string // a bulk that holds an entry with this text is refused as a whole
	item   string // an entry with this text is refused
	fail   int    // the bulk of this number, from 1, fails
}

func (s *server) Bulk(_ context.Context, entries [][]byte) ([]client.Item, error) {
	s.bulks = append(s.bulks, len(entries))
	if len(s.bulks) == s.fail {
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
	if im.Counts().Stored != 1000 || len(s.bulks) != 2 {
		t.Errorf("counts %+v, bulks %v", im.Counts(), s.bulks)
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
