package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"auditlog/internal/fault"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestEveryKindHasItsProblem walks all kinds, and keeps the contract's table of statuses.
func TestEveryKindHasItsProblem(t *testing.T) {
	contract := map[int]string{
		400: "malformed duplicate-key bad-utf8 bad-cursor bad-id bad-idempotency-key tenant-required",
		401: "unauthenticated", 403: "forbidden tenant-mismatch tenant-inactive retention-floor bad-origin",
		404: "not-found", 405: "method", 406: "not-acceptable", 408: "timeout",
		409: "conflict in-flight erased legal-hold not-sealed", 410: "cursor-expired purged",
		413: "too-large", 415: "media-type", 426: "upgrade-required", 431: "headers-too-large",
		422: "invalid unknown-field read-only-field unknown-parameter number-range too-deep outside-window key-reuse query-too-costly too-many-buckets",
		429: "rate-limited", 503: "overloaded unavailable clock", 504: "behind", 500: "internal",
	}
	statuses := map[string]int{}
	for status, slugs := range contract {
		for slug := range strings.FieldsSeq(slugs) {
			statuses[slug] = status
		}
	}
	titles := map[string]fault.Kind{}
	for _, kind := range fault.Kinds() {
		want, known := statuses[kind.String()]
		if !known {
			t.Errorf("%v is not in the contract", kind)
		}
		p, _, _ := answerTo(fault.New(kind, "detail"))
		if p.Status != want || p.Type != "/problems/"+kind.String() || p.Title == "" {
			t.Errorf("%v: %+v, want status %d", kind, p, want)
		}
		if other, taken := titles[p.Title]; taken {
			t.Errorf("%v and %v share a title", kind, other)
		}
		titles[p.Title] = kind
		delete(statuses, kind.String())
	}
	for slug := range statuses {
		t.Errorf("%s has no kind", slug)
	}
}

// TestProblemDocuments compares whole answers with testdata/problems.txt.
func TestProblemDocuments(t *testing.T) {
	secretCause := errors.New("dial tcp 10.0.0.7:5432: password=hunter2")
	var out bytes.Buffer
	for _, c := range []struct {
		name string
		err  error
	}{
		{"unknown error", secretCause},
		{"fault with a cause", fault.Wrap(fault.Unavailable, secretCause, "the store does not answer")},
		{"one broken rule", fault.At(fault.UnknownField, "/colour", "there is no such field")},
		{"several broken rules", fault.Of([]fault.Field{
			{Kind: fault.Invalid, Pointer: "/actor/id", Detail: "is required"}, {Kind: fault.OutsideWindow, Pointer: "/occurred_at", Detail: "lies before 1970"}})},
		{"no credential", fault.New(fault.Unauthenticated, "a valid bearer token is required")},
		{"told when to come back", &fault.Error{Kind: fault.RateLimited, Detail: "slow down", RetryAfter: 1500 * time.Millisecond}},
		{"too large", fault.New(fault.TooLarge, "the body has more than 262144 bytes")},
		{"wrapped", fmt.Errorf("create a tenant: %w", fault.New(fault.Conflict, "the slug is taken"))},
		{"no route", echo.ErrNotFound},
		{"deadline", fmt.Errorf("append: %w", context.DeadlineExceeded)},
		{"body too slow", fmt.Errorf("read: %w", os.ErrDeadlineExceeded)},
	} {
		w := httptest.NewRecorder()
		writeProblem(w, "req-1", c.err)
		fmt.Fprintf(&out, "# %s\n%d\n", c.name, w.Code)
		for _, name := range []string{"Content-Type", "Retry-After", "WWW-Authenticate", "Connection"} {
			if v := w.Header().Get(name); v != "" {
				fmt.Fprintf(&out, "%s: %s\n", name, v)
			}
		}
		if err := json.Indent(&out, w.Body.Bytes(), "", "  "); err != nil {
			t.Fatal(err)
		}
		out.WriteString("\n\n")
	}
	golden := filepath.Join("testdata", "problems.txt")
	if *update {
		if err := os.WriteFile(golden, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out.Bytes(), want) {
		t.Errorf("answers differ from %s:\n%s", golden, out.Bytes())
	}
	if bytes.Contains(out.Bytes(), []byte("hunter2")) {
		t.Error("a cause is shown to the client")
	}
}
