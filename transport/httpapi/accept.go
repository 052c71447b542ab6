package httpapi

import (
	"mime"
	"net/http"
	"strconv"
	"strings"

	"auditlog/internal/fault"
)

// acceptable checks the Accept headers against what a route can answer with. The rule: no Accept accepts everything; else
// the most specific range that covers a type decides whether it is accepted (RFC 9110 §12.5.1), and one accepted type is
// enough, since the answer's type never depends on Accept otherwise.
func acceptable(h http.Header, types []string) error {
	values := h["Accept"]
	if len(values) == 0 || len(types) == 0 || len(values) == 1 && (values[0] == "*/*" || values[0] == types[0]) {
		return nil
	}
	var ranges []mediaRange
	empty := true
	for _, value := range values {
		for text := range strings.SplitSeq(value, ",") {
			if strings.TrimSpace(text) == "" {
				continue
			}
			empty = false
			if t, params, err := mime.ParseMediaType(text); err == nil {
				ranges = append(ranges, mediaRange{t, quality(params)})
			}
		}
	}
	if empty {
		return nil
	}
	for _, t := range types {
		if wanted(ranges, t) {
			return nil
		}
	}
	return fault.New(fault.NotAcceptable, "this answer comes as "+strings.Join(types, " or "))
}

// mediaRange is one element of Accept. Its parameters besides q are not looked at: no type of ours has another form.
type mediaRange struct {
	name    string
	quality float64
}

// wanted tells whether the most specific range that covers a type gives it a quality; of equal ones the highest counts.
func wanted(ranges []mediaRange, mediaType string) bool {
	kind, _, _ := strings.Cut(mediaType, "/")
	for _, name := range [...]string{mediaType, kind + "/*", "*/*"} {
		best, covered := 0.0, false
		for _, r := range ranges {
			if r.name == name {
				best, covered = max(best, r.quality), true
			}
		}
		if covered {
			return best > 0
		}
	}
	return false
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
