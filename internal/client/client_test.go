package client

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

func serve(t *testing.T, o Options, h http.HandlerFunc) *Client {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	o.Backoff = time.Millisecond
	c, err := New(s.URL+"/", "secret-token", o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestRetriesWhatPasses(t *testing.T) {
	tries, told := 0, 0
	c := serve(t, Options{OnRetry: func(error) { told++ }}, func(w http.ResponseWriter, r *http.Request) {
		tries++
		body, _ := io.ReadAll(r.Body)
		if string(body) != "body" || r.Header.Get("Authorization") != "Bearer secret-token" || r.Header.Get("Content-Type") != "x/y" {
			t.Errorf("try %d: body %q, headers %v", tries, body, r.Header)
		}
		switch tries {
		case 1:
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusTooManyRequests)
		case 2:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 3:
			panic(http.ErrAbortHandler) // the connection breaks
		default:
			_, _ = io.WriteString(w, "done")
		}
	})
	resp, err := c.Do(t.Context(), Request{Method: http.MethodPost, Path: "/p", ContentType: "x/y", Body: []byte("body")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if b, _ := io.ReadAll(resp.Body); string(b) != "done" || tries != 4 || told != 3 {
		t.Errorf("%q after %d tries, told of %d", b, tries, told)
	}
}

// A bulk of a sequence goes once, with its place, and one by itself without; what may pass is told.
func TestBulksOfASequenceGoOnce(t *testing.T) {
	var places []string
	told := 0
	c := serve(t, Options{OnRetry: func(error) { told++ }}, func(w http.ResponseWriter, r *http.Request) {
		places = append(places, r.Method+r.URL.RequestURI()+" "+r.Header.Get("Bulk-Sequence"))
		if len(places) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, `{"items":[{"status":201,"id":"a","position":7,"replayed":false}]}`)
	})
	if _, err := c.BulkInSequence(t.Context(), [][]byte{[]byte("{}")}, "some", 3); err == nil || told != 1 || len(places) != 1 {
		t.Errorf("%v, told of %d, sent %v", err, told, places)
	}
	items, err := c.BulkInSequence(t.Context(), [][]byte{[]byte("{}")}, "some", 4)
	if err != nil || len(items) != 1 || items[0].Position != 7 {
		t.Errorf("%v, %v", items, err)
	}
	if _, err := c.Bulk(t.Context(), [][]byte{[]byte("{}")}); err != nil {
		t.Error(err)
	}
	const path = "POST/api/v1/logs/bulk?mode=partial "
	if want := []string{path + "some/3", path + "some/4", path}; !slices.Equal(places, want) {
		t.Errorf("sent %q, want %q", places, want)
	}
}

func TestProblemsAreFinal(t *testing.T) {
	tries := 0
	c := serve(t, Options{}, func(w http.ResponseWriter, _ *http.Request) {
		tries++
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `{"type":"/problems/forbidden","title":"Forbidden","detail":"no","errors":[{"code":"x","pointer":"/a","detail":"b"}]}`)
	})
	_, err := c.Do(t.Context(), Request{Method: http.MethodGet, Path: "/"})
	if want := "the server answered 403 forbidden (AUDITLOG_TOKEN): /a b"; err == nil || err.Error() != want || tries != 1 {
		t.Errorf("%v after %d tries", err, tries)
	}
}

func TestPatienceEnds(t *testing.T) {
	c := serve(t, Options{Patience: 20 * time.Millisecond}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	if _, err := c.Do(t.Context(), Request{Method: http.MethodGet, Path: "/"}); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("got %v", err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Do(cancelled, Request{Method: http.MethodGet, Path: "/"}); err == nil {
		t.Error("a cancelled request succeeds")
	}
}

func TestNoServer(t *testing.T) {
	s := httptest.NewServer(nil)
	s.Close()
	c, err := New(s.URL, "t", Options{Patience: -1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = c.Do(t.Context(), Request{Method: http.MethodGet, Path: "/"}); err == nil || !strings.Contains(err.Error(), "no server answers at "+s.URL) {
		t.Errorf("got %v", err)
	}
}

func TestSettingsAreNamed(t *testing.T) {
	for want, args := range map[string][2]string{"AUDITLOG_URL": {"127.0.0.1:8080", "t"}, "AUDITLOG_TOKEN": {"http://x", ""}} {
		if _, err := New(args[0], args[1], Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: got %v", args, err)
		}
	}
}

func TestBulk(t *testing.T) {
	tries := 0
	c := serve(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
		tries++
		body, _ := io.ReadAll(r.Body)
		if string(body) != `{"entries":[{"a":1},{"b":2}]}` || len(body) != BulkBytes(2, 14) || r.URL.RawQuery != "mode=partial" {
			t.Errorf("sent %s to %s", body, r.URL)
		}
		w.WriteHeader(http.StatusMultiStatus)
		switch tries {
		case 1: // cut
			_, _ = io.WriteString(w, `{"items":[{"status":201`)
		case 2: // overloaded midway
			fmt.Fprint(w, `{"items":[{"status":201,"id":"i","position":2},{"status":503,"problem":{"type":"/problems/overloaded","status":503}}]}`)
		default:
			fmt.Fprint(w, `{"items":[{"status":201,"id":"i","position":2,"replayed":true},{"status":422,"problem":{"type":"/problems/invalid","status":422}}]}`)
		}
	})
	items, err := c.Bulk(t.Context(), [][]byte{[]byte(`{"a":1}`), []byte(`{"b":2}`)})
	if err != nil || tries != 3 || len(items) != 2 || !items[0].Replayed || items[0].Position != 2 || items[1].Problem.Slug() != "invalid" {
		t.Errorf("%+v, %v after %d tries", items, err, tries)
	}
}
