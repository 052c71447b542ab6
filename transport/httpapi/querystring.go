package httpapi

import (
	"net/url"
	"strings"

	"auditlog/internal/fault"
)

// Bounds of a query string.
const (
	maxQueryBytes  = 4 << 10
	maxQueryParams = 64
)

const metadataPrefix = "metadata."

// pair is one name=value of a query string, unescaped.
type pair struct{ name, value string }

// splitQuery takes a query string apart. Broken escapes are Malformed; too much of it is QueryTooCostly, or BadCursor
// when a cursor alone is what is too long.
func splitQuery(raw string) ([]pair, error) {
	if raw == "" {
		return nil, nil
	}
	if len(raw) > maxQueryBytes {
		return nil, tooLongQuery(raw)
	}
	parts := strings.Split(raw, "&")
	if len(parts) > maxQueryParams {
		return nil, fault.New(fault.QueryTooCostly, "a query string has at most 64 parameters")
	}
	pairs := make([]pair, 0, len(parts))
	for _, part := range parts {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		n, err := url.QueryUnescape(name)
		v, err2 := url.QueryUnescape(value)
		if err != nil || err2 != nil {
			return nil, fault.New(fault.Malformed, "the query string holds a broken % escape")
		}
		pairs = append(pairs, pair{n, v})
	}
	return pairs, nil
}

func tooLongQuery(raw string) error {
	for part := range strings.SplitSeq(raw, "&") {
		if value, ok := strings.CutPrefix(part, "cursor="); ok && len(value) > maxQueryBytes-512 {
			return fault.At(fault.BadCursor, "?cursor", "no cursor of ours is that long")
		}
	}
	return fault.New(fault.QueryTooCostly, "a query string has at most 4096 bytes")
}

// readArgs checks every parameter against the route and reports all broken rules at once.
func (rt *route) readArgs(pairs []pair) (args, error) {
	var broken []fault.Field
	read := make(args, 0, len(pairs))
	for _, given := range pairs {
		p := rt.param(given.name)
		switch {
		case p == nil:
			broken = append(broken, unknownParam(given.name))
			continue
		case read.has(given.name):
			broken = append(broken, fault.Field{Kind: fault.Invalid, Pointer: "?" + given.name, Detail: "is given more than once"})
			continue
		}
		one := *p
		one.name = given.name
		value, field := one.read(given.value)
		if field != nil {
			broken = append(broken, *field)
			value = given // so that a repetition is still noticed
		}
		read = append(read, arg{given.name, value})
	}
	for i := range rt.params {
		if p := &rt.params[i]; p.required && !read.has(p.name) {
			broken = append(broken, fault.Field{Kind: fault.Invalid, Pointer: "?" + p.name, Detail: "is required"})
		}
	}
	return read, fault.Of(broken)
}

// unknownParam names the parameter only when it looks like one: a pointer never carries arbitrary input back.
func unknownParam(name string) fault.Field {
	f := fault.Field{Kind: fault.UnknownParameter, Pointer: "?", Detail: "there is no such parameter here"}
	if isParamName(name) {
		f.Pointer += name
	}
	return f
}

func isParamName(name string) bool {
	for i := range len(name) {
		c := name[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("_-.", c) >= 0) {
			return false
		}
	}
	return len(name) <= 64
}

// param is the route's parameter of that name; nil when it has none.
func (rt *route) param(name string) *param {
	for i := range rt.params {
		p := &rt.params[i]
		if p.kind == metadataParam {
			if strings.HasPrefix(name, metadataPrefix) && len(name) > len(metadataPrefix) {
				return p
			}
			continue
		}
		if p.name == name {
			return p
		}
	}
	return nil
}
