package httpapi

import (
	"net/http"
	"testing"

	"auditlog/internal/fault"
)

func TestAcceptable(t *testing.T) {
	jsonOnly, files := []string{"application/json"}, []string{"text/csv", "application/x-ndjson", "application/json"}
	for _, c := range []struct {
		accept []string
		types  []string
		want   bool
	}{
		{nil, jsonOnly, true}, {[]string{""}, jsonOnly, true}, {[]string{"*/*"}, jsonOnly, true}, {[]string{"application/*"}, jsonOnly, true},
		{[]string{"application/json; charset=utf-8"}, jsonOnly, true}, {[]string{"text/html, application/xhtml+xml, */*;q=0.8"}, jsonOnly, true},
		{[]string{"text/html", "application/json"}, jsonOnly, true}, {[]string{"APPLICATION/JSON"}, jsonOnly, true},
		{[]string{"text/html"}, jsonOnly, false}, {[]string{"application/json;q=0"}, jsonOnly, false}, {[]string{"*/*;q=0"}, jsonOnly, false},
		{[]string{"application/json;q=x"}, jsonOnly, false}, {[]string{"nonsense"}, jsonOnly, false}, {[]string{"text/*"}, files, true}, {[]string{"image/*"}, files, false},
		{[]string{"text/html"}, nil, true},
		// the most specific range that covers a type decides over it (RFC 9110 §12.5.1)
		{[]string{"application/json;q=0, */*"}, jsonOnly, false}, {[]string{"*/*, application/json;q=0"}, jsonOnly, false}, {[]string{"*/*", "application/*;q=0"}, jsonOnly, false},
		{[]string{"application/*;q=0, application/json"}, jsonOnly, true}, {[]string{"*/*;q=0, application/json;q=0.1"}, jsonOnly, true},
		{[]string{"application/json;q=0, */*"}, files, true}, {[]string{"application/*;q=0, text/csv;q=0, */*"}, files, false},
		{[]string{"application/json;q=0, application/json"}, jsonOnly, true}, {[]string{"application/json;q=-1, */*"}, jsonOnly, false},
	} {
		err := acceptable(http.Header{"Accept": c.accept}, c.types)
		if c.accept == nil {
			err = acceptable(http.Header{}, c.types)
		}
		if (err == nil) != c.want || err != nil && !fault.Is(err, fault.NotAcceptable) {
			t.Errorf("Accept %q of %q: %v", c.accept, c.types, err)
		}
	}
}
