package httpapi

import (
	"errors"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"auditlog/eventstore"
	"auditlog/internal/fault"
)

// param is one query parameter of a route.
type param struct {
	name     string
	doc      string
	kind     paramKind
	enum     []string // for enumerated kinds; also of each element of a list
	fold     bool     // enum values in any case; kept in upper case
	words    bool     // a question of words: white space alone is as good as nothing, and too much is too costly
	min, max int64    // for integers: inclusive; for text: max bytes
	def      any      // shown in the documentation
	required bool
}

// paramKind says how a parameter is read.
type paramKind uint8

const (
	textParam     paramKind = iota // string
	listParam                      // []string, separated by commas
	enumParam                      // string
	intParam                       // int64
	boolParam                      // bool
	timeParam                      // eventstore.Micros
	durationParam                  // time.Duration
	metadataParam                  // every parameter metadata.<path>: string
)

// maxFilter bounds a value of a text filter, in bytes: no stored identifier is longer.
const maxFilter = 1024

// read turns a value into what handlers use. An error is written for the client and never repeats the value.
func (p *param) read(value string) (any, *fault.Field) {
	refuse := func(kind fault.Kind, detail string) (any, *fault.Field) {
		return nil, &fault.Field{Kind: kind, Pointer: "?" + p.name, Detail: detail}
	}
	if !utf8.ValidString(value) {
		return refuse(fault.BadUTF8, "is not UTF-8")
	}
	if strings.IndexByte(value, 0) >= 0 {
		return refuse(fault.Invalid, "holds a NUL")
	}
	v, err := p.convert(value)
	if err != nil && p.words && len(value) > p.limit() {
		return refuse(fault.QueryTooCostly, err.Error())
	}
	if err != nil {
		return refuse(fault.Invalid, err.Error())
	}
	return v, nil
}

func (p *param) convert(value string) (any, error) {
	switch p.kind {
	case listParam:
		return p.list(value)
	case enumParam:
		return p.oneOf(value)
	case intParam:
		return p.integer(value)
	case boolParam:
		if value != "true" && value != "false" {
			return nil, errors.New("must be true or false")
		}
		return value == "true", nil
	case timeParam:
		return readTime(value)
	case durationParam:
		return p.duration(value)
	default:
		return p.text(value)
	}
}

// text refuses what is empty, which would ask for everything; only in metadata an empty value is a value.
func (p *param) text(value string) (any, error) {
	limit := p.limit()
	switch {
	case len(value) > limit:
		return nil, errors.New("must have at most " + strconv.Itoa(limit) + " bytes")
	case p.kind == metadataParam:
	case value == "", p.words && strings.TrimFunc(value, isBlank) == "":
		return nil, errors.New("must not be empty; without the parameter nothing is asked of it")
	}
	return value, nil
}

func isBlank(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }

func (p *param) limit() int {
	if p.max > 0 {
		return int(p.max)
	}
	return maxFilter
}

func (p *param) list(value string) (any, error) {
	parts := strings.Split(value, ",")
	for i, part := range parts {
		if part == "" {
			return nil, errors.New("must be one or more values separated by commas")
		}
		if len(p.enum) > 0 {
			v, err := p.oneOf(part)
			if err != nil {
				return nil, err
			}
			parts[i] = v.(string)
		}
	}
	return parts, nil
}

func (p *param) oneOf(value string) (any, error) {
	for _, e := range p.enum {
		if value == e || p.fold && strings.EqualFold(value, e) {
			return e, nil
		}
	}
	return nil, errors.New("must be one of " + strings.Join(p.enum, ", "))
}

// integer reads decimal digits with at most a minus sign: no plus sign, no leading zeros, no fraction.
func (p *param) integer(value string) (any, error) {
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < p.min || n > p.max || strconv.FormatInt(n, 10) != value {
		return nil, errors.New("must be a whole number from " + strconv.FormatInt(p.min, 10) + " to " + strconv.FormatInt(p.max, 10))
	}
	return n, nil
}

// readTime reads RFC 3339 §5.6 and cuts to microseconds.
func readTime(value string) (any, error) {
	t, err := time.Parse(time.RFC3339, value)
	if err != nil || !strictTime(value) {
		return nil, errors.New("must be a time as in RFC 3339, e.g. 2026-01-31T00:00:00Z; a + in it is sent as %2B")
	}
	return eventstore.MicrosOf(t), nil
}

// strictTime refuses what time.Parse lets pass (go.dev/issue/54580): an hour of one digit, a comma before the fraction, and
// offsets from 24 hours or 60 minutes up.
func strictTime(s string) bool {
	if len(s) < len("2006-01-02T15:04:05Z") || len(s) > 40 || s[13] != ':' || s[19] == ',' {
		return false
	}
	n := len(s)
	return s[n-1] == 'Z' || s[n-5:n-3] < "24" && s[n-2:] < "60"
}

// duration reads one number with one unit, e.g. 8s or 500ms.
func (p *param) duration(value string) (any, error) {
	d, err := time.ParseDuration(value)
	if err != nil || len(value) > 20 || strings.ContainsAny(value, "+-µμ") || d < 0 || d > time.Duration(p.max) {
		return nil, errors.New("must be a duration from 0s to " + time.Duration(p.max).String() + ", e.g. 500ms or 8s")
	}
	return d, nil
}

// arg is one given parameter.
type arg struct {
	name  string
	value any
}

// args are the given parameters, in the order of the query string.
type args []arg

func (a args) get(name string) any {
	for _, given := range a {
		if given.name == name {
			return given.value
		}
	}
	return nil
}

func (a args) text(name string) string            { v, _ := a.get(name).(string); return v }
func (a args) list(name string) []string          { v, _ := a.get(name).([]string); return v }
func (a args) integer(name string) int64          { v, _ := a.get(name).(int64); return v }
func (a args) flag(name string) bool              { v, _ := a.get(name).(bool); return v }
func (a args) duration(name string) time.Duration { v, _ := a.get(name).(time.Duration); return v }
func (a args) has(name string) bool               { return a.get(name) != nil }

// time is nil when the parameter is absent.
func (a args) time(name string) *eventstore.Micros {
	v, given := a.get(name).(eventstore.Micros)
	if !given {
		return nil
	}
	return &v
}
