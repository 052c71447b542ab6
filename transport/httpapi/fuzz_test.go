package httpapi

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"auditlog/command"
	"auditlog/eventstore"
	"auditlog/internal/entry"
	"auditlog/query"
	"auditlog/transport/httpapi/auth"
)

// quiet is both sides at once: it answers everything with nothing.
type quiet struct {
	Commands
	Queries
}

func (quiet) Tenant(context.Context, eventstore.TenantID) (eventstore.Tenant, error) {
	return eventstore.Tenant{}, nil
}

func (quiet) Search(context.Context, query.Reader, query.SearchRequest) (query.SearchPage, error) {
	return query.SearchPage{}, nil
}

func (quiet) Stats(context.Context, query.Reader, query.StatsRequest) (query.StatsAnswer, error) {
	return query.StatsAnswer{}, nil
}

func (quiet) Record(context.Context, command.Caller, *command.Entry) (command.Receipt, error) {
	return command.Receipt{Entry: entry.Entry{Type: eventstore.EntryRecorded}}, nil
}

// everyone is a verifier that believes any token.
type everyone struct{}

func (everyone) Verify(context.Context, string) (*auth.Principal, error) {
	return &auth.Principal{Subject: "s", Tenant: eventstore.TenantID{1}, Roles: auth.Any &^ auth.Admin, Expires: time.Now().Add(time.Hour)}, nil
}

func quietServer() *Server {
	return New(Deps{Commands: quiet{}, Queries: quiet{}, Verifier: everyone{}, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}, Config{})
}

// FuzzQueryString holds that any query string is answered with a page or with a problem of 400 to 422, and that a
// repetition of a good one is refused.
func FuzzQueryString(f *testing.F) {
	for _, seed := range []string{"", "q=a&limit=5", "metadata.a.b=1&metadata.a.b=2", "from=2026-01-01T00:00:00Z&to=x", "limit=1&limit=2", "q=%zz", "wait=1h&total=yes",
		"cursor=" + strings.Repeat("A", 5000), "severity=info,ERROR,", "a=1;b=2", "&&=&=x", "q=%00", "q=%ff", "metadata.=x"} {
		f.Add(seed)
	}
	s := quietServer()
	f.Fuzz(func(t *testing.T, raw string) {
		for _, path := range []string{"/api/v1/logs", "/api/v1/logs/stats"} {
			w := httptest.NewRecorder()
			r := httptest.NewRequest(http.MethodGet, path, nil)
			r.URL.RawQuery = raw
			r.Header.Set("Authorization", "Bearer x")
			s.Handler().ServeHTTP(w, r)
			switch {
			case w.Code == http.StatusOK:
				if values, err := url.ParseQuery(raw); err == nil {
					for name, given := range values {
						if len(given) > 1 {
							t.Errorf("%q: a repeated %q was accepted", raw, name)
						}
					}
				}
			case w.Code != 400 && w.Code != 403 && w.Code != 422:
				t.Errorf("%q: %d %s", raw, w.Code, w.Body)
			case w.Header().Get("Content-Type") != "application/problem+json":
				t.Errorf("%q: no problem: %s", raw, w.Body)
			}
		}
	})
}

// FuzzHeaders holds that no header makes the server fail.
func FuzzHeaders(f *testing.F) {
	f.Add("Bearer x", "*/*", "application/json", "gzip", "key", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	f.Add("bearer  ", "text/html;q=0.1, */*;q=", "application/json;charset=UTF-8", "", "\x00", "-")
	s := quietServer()
	f.Fuzz(func(t *testing.T, authorization, accept, contentType, encoding, key, trace string) {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodPost, "/api/v1/logs", strings.NewReader(`{"action":"a","actor":{"id":"x"},"resource":{"type":"t"}}`))
		for name, value := range map[string]string{"Authorization": authorization, "Accept": accept, "Content-Type": contentType, "Content-Encoding": encoding,
			"Idempotency-Key": key, "Traceparent": trace, "X-Request-Id": trace, "X-Tenant-Id": ""} {
			if value != "" {
				r.Header[name] = []string{value}
			}
		}
		s.Handler().ServeHTTP(w, r)
		if w.Code >= 500 || w.Code < 200 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}

// BenchmarkPostEntry is the HTTP layer's own cost of one entry: everything but the append.
func BenchmarkPostEntry(b *testing.B) {
	s := quietServer()
	body := `{"action":"document.shared","actor":{"id":"ana","name":"Ana","email":"ana@example.org"},"resource":{"type":"document","id":"42","name":"Budget"},` +
		`"message":"` + strings.Repeat("shared the budget with Ben ", 8) + `","source":{"ip":"192.0.2.7","user_agent":"Mozilla/5.0"},"metadata":{"with":"ben","share":{"mode":"read","days":30}}}`
	r := httptest.NewRequest(http.MethodPost, "/api/v1/logs", nil)
	r.Header.Set("Authorization", "Bearer x")
	r.Header.Set("Content-Type", "application/json")
	r.ContentLength = int64(len(body))
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	w := sink{header: http.Header{}}
	for b.Loop() {
		r.Body = io.NopCloser(strings.NewReader(body))
		clear(w.header)
		s.Handler().ServeHTTP(&w, r)
		if w.status != http.StatusCreated {
			b.Fatal(w.status)
		}
	}
}

// sink is an answer that costs nothing, and knows deadlines as a connection does.
type sink struct {
	header http.Header
	status int
}

func (s *sink) Header() http.Header            { return s.header }
func (s *sink) WriteHeader(status int)         { s.status = status }
func (s *sink) Write(b []byte) (int, error)    { return len(b), nil }
func (*sink) SetReadDeadline(time.Time) error  { return nil }
func (*sink) SetWriteDeadline(time.Time) error { return nil }
