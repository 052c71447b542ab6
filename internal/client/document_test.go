package client

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestFetchTellsWholeFromCut(t *testing.T) {
	const digest = "sha-256=" // of "id\na\n"
	for name, c := range map[string]struct {
		format, body, count, digest string
		abort                       bool
		items                       int64
		whole                       bool
	}{
		"ndjson":              {format: "ndjson", body: "{\"id\":1}\n{\"id\":2}\n{\"end\":true,\"count\":2}\n", items: 2, whole: true},
		"replay with a purge": {format: "ndjson", body: "{\"purged\":{}}\n{\"tenant_id\":1}\n{\"end\":true,\"count\":1,\"next\":9}\n", items: 1, whole: true},
		"empty":               {format: "ndjson", body: "{\"end\":true,\"count\":0}\n", whole: true},
		"ndjson without end":  {format: "ndjson", body: "{\"id\":1}\n"},
		"ndjson cut":          {format: "ndjson", body: "{\"id\":1}\n{\"end\":true,\"count\":1}\n{\"i"},
		"ndjson miscounted":   {format: "ndjson", body: "{\"id\":1}\n{\"end\":true,\"count\":2}\n"},
		"connection cut":      {format: "ndjson", body: "{\"id\":1}\n", abort: true},
		"json":                {format: "json", body: `{"items":[{},{"x":"\"count\":7"}],"count":2,"complete_to":{"position":3}}`, items: 2, whole: true},
		"json cut":            {format: "json", body: `{"items":[{},`},
		"csv":                 {format: "csv", body: "id\na\n", count: "1", digest: digest + "GDD8nFVdHUh1ddF3/5GmV2evlIyDGa+T1yymz/pDx/k=", items: 1, whole: true},
		"csv altered":         {format: "csv", body: "id\nb\n", count: "1", digest: digest + "GDD8nFVdHUh1ddF3/5GmV2evlIyDGa+T1yymz/pDx/k="},
		"csv without trailer": {format: "csv", body: "id\na\n"},
	} {
		t.Run(name, func(t *testing.T) {
			cl := serve(t, Options{Patience: -1}, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Trailer", "X-Export-Count, Digest")
				_, _ = io.WriteString(w, c.body)
				if c.abort {
					_ = http.NewResponseController(w).Flush()
					panic(http.ErrAbortHandler)
				}
				w.Header().Set("X-Export-Count", c.count)
				w.Header().Set("Digest", c.digest)
			})
			var out strings.Builder
			items, err := cl.Fetch(t.Context(), Document{Path: "/", Format: c.format}, &out)
			if c.whole && (err != nil || items != c.items || out.String() != c.body) {
				t.Errorf("got %d items %q, %v", items, out.String(), err)
			}
			if !c.whole && !errors.Is(err, ErrCut) {
				t.Errorf("a cut document is taken for whole: %v", err)
			}
		})
	}
}
