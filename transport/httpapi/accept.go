package httpapi

import (
	"mime"
	"net/http"
	"strconv"
	"strings"

	"auditlog/internal/fault"
)

// acceptable checks the Accept headers against what a route can answer with. The rule: no Accept, or any range that
// covers one of the types with a quality above zero, is enough; the answer's type never depends on it otherwise.
func acceptable(h http.Header, types []string) error {
	values := h["Accept"]
	if len(values) == 0 || len(types) == 0 {
		return nil
	}
	empty := true
	for _, value := range values {
		for rng := range strings.SplitSeq(value, ",") {
			if strings.TrimSpace(rng) == "" {
				continue
			}
			empty = false
			if covers(rng, types) {
				return nil
			}
		}
	}
	if empty {
		return nil
	}
	return fault.New(fault.NotAcceptable, "this answer comes as "+strings.Join(types, " or "))
}

// accepts tells whether the Accept headers name the very type.
func accepts(h http.Header, mediaType string) bool {
	for _, value := range h["Accept"] {
		for rng := range strings.SplitSeq(value, ",") {
			if t, params, err := mime.ParseMediaType(rng); err == nil && t == mediaType && quality(params) > 0 {
				return true
			}
		}
	}
	return false
}

func covers(rng string, types []string) bool {
	t, params, err := mime.ParseMediaType(rng)
	if err != nil || quality(params) <= 0 {
		return false
	}
	if t == "*/*" {
		return true
	}
	for _, have := range types {
		kind, _, _ := strings.Cut(have, "/")
		if t == have || t == kind+"/*" {
			return true
		}
	}
	return false
}

func quality(params map[string]string) float64 {
	q, given := params["q"]
	if !given {
		return 1
	}
	v, err := strconv.ParseFloat(q, 64)
	if err != nil {
		return 0
	}
	return v
}
