package canon

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"auditlog/internal/fault"
)

// checkAgainstOracle compares everything this package says about a text with what encoding/json, math/big and a plain
// reading of the rules say: a text is accepted if and only if it is JSON and breaks no rule; a refusal names a rule that
// is broken; an accepted text has the same value, and its canonical form is the oracle's and is canonical.
func checkAgainstOracle(t interface{ Fatalf(string, ...any) }, data []byte) {
	var o oracle
	d, err := Parse(data, Limits{})
	if !json.Valid(data) {
		if err == nil {
			t.Fatalf("%q: accepted, though it is not JSON", data)
		}
		return
	}
	o.read(data)
	if err != nil {
		if kind := fault.KindOf(err); !o.broken[kind] {
			t.Fatalf("%q: refused with %v; rules broken: %v", data, err, o.broken)
		}
		return
	}
	defer d.Release()
	if len(o.broken) > 0 {
		t.Fatalf("%q: accepted, though it breaks %v", data, o.broken)
	}
	got := d.Root().AppendCanonical([]byte("x"))[1:]
	if string(got) != o.canonical {
		t.Fatalf("%q: canonical form %s, want %s", data, got, o.canonical)
	}
	again, err := Parse(got, Limits{})
	if err != nil {
		t.Fatalf("%q: its canonical form %s is refused: %v", data, got, err)
	}
	defer again.Release()
	if twice := again.Root().AppendCanonical(nil); !bytes.Equal(twice, got) || !bytes.Equal(again.Root().Raw(), got) {
		t.Fatalf("%q: canonical form of the canonical form %s is %s", data, got, twice)
	}
	if d.Root().Leaves() != o.leaves || d.Root().Depth() != o.deepest {
		t.Fatalf("%q: %d leaves, depth %d; want %d, %d", data, d.Root().Leaves(), d.Root().Depth(), o.leaves, o.deepest)
	}
}

// oracle reads valid JSON the slow way.
type oracle struct {
	broken          map[fault.Kind]bool
	canonical       string
	leaves, deepest int
}

var escapes = regexp.MustCompile(`(?s)\\(u[0-9a-fA-F]{4}|.)`)

func (o *oracle) read(data []byte) {
	o.broken = map[fault.Kind]bool{}
	if !utf8.Valid(data) {
		o.broken[fault.BadUTF8] = true
	}
	o.readEscapes(data)
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	o.canonical = o.value(dec, 0)
}

// readEscapes finds NULs and surrogates without their other half. Outside of strings, JSON has no backslashes.
func (o *oracle) readEscapes(data []byte) {
	high := -1 // where a high surrogate waits for its other half
	for _, at := range escapes.FindAllIndex(data, -1) {
		if at[1]-at[0] != 6 {
			continue
		}
		v, _ := strconv.ParseUint(string(data[at[0]+2:at[1]]), 16, 16)
		switch {
		case v == 0:
			o.broken[fault.Invalid] = true
		case 0xDC00 <= v && v < 0xE000:
			if high != at[0] {
				o.broken[fault.BadUTF8] = true
			}
			high = -1
			continue
		}
		if high >= 0 {
			o.broken[fault.BadUTF8] = true
		}
		high = -1
		if 0xD800 <= v && v < 0xDC00 {
			high = at[1]
		}
	}
	if high >= 0 {
		o.broken[fault.BadUTF8] = true
	}
}

// value reads the next value and answers its canonical form.
func (o *oracle) value(dec *json.Decoder, depth int) string {
	tok, err := dec.Token()
	if err != nil {
		panic(err) // the caller has checked that the text is valid
	}
	switch v := tok.(type) {
	case json.Delim:
		depth++
		o.deepest = max(o.deepest, depth)
		if depth > defaultDepth {
			o.broken[fault.TooDeep] = true
		}
		if v == '[' {
			return o.array(dec, depth)
		}
		return o.object(dec, depth)
	case json.Number:
		o.leaves++
		return o.number(string(v))
	case string:
		o.leaves++
		return quoted(v)
	default:
		o.leaves++
		return strings.Replace(fmt.Sprint(v), "<nil>", "null", 1)
	}
}

func (o *oracle) array(dec *json.Decoder, depth int) string {
	var items []string
	for dec.More() {
		items = append(items, o.value(dec, depth))
	}
	dec.Token()
	if items == nil {
		o.leaves++
	}
	return "[" + strings.Join(items, ",") + "]"
}

func (o *oracle) object(dec *json.Decoder, depth int) string {
	var keys []string
	values := map[string]string{}
	for dec.More() {
		tok, _ := dec.Token()
		key := tok.(string)
		if slices.ContainsFunc(keys, func(k string) bool { return strings.EqualFold(k, key) }) {
			o.broken[fault.DuplicateKey] = true
		}
		keys = append(keys, key)
		values[key] = o.value(dec, depth)
	}
	dec.Token()
	if keys == nil {
		o.leaves++
	}
	slices.SortFunc(keys, func(a, b string) int {
		return slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b)))
	})
	for i, k := range keys {
		keys[i] = quoted(k) + ":" + values[k]
	}
	return "{" + strings.Join(keys, ",") + "}"
}

// number formats as encoding/json does, which follows ECMAScript but for the zero in exponents of one digit and -0.
func (o *oracle) number(text string) string {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.Abs(f) > 1<<53-1 {
		o.broken[fault.NumberRange] = true
		return text
	}
	if f == 0 {
		mantissa, _, _ := strings.Cut(strings.ToLower(text), "e")
		if strings.Trim(mantissa, "-0.") != "" {
			o.broken[fault.NumberRange] = true
		}
		return "0"
	}
	written, err := json.Marshal(f)
	if err != nil {
		panic(err)
	}
	was, _ := new(big.Rat).SetString(text)
	is, _ := new(big.Rat).SetString(string(written))
	if was.Cmp(is) != 0 {
		o.broken[fault.NumberRange] = true
	}
	return string(written)
}

func quoted(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteString(`\` + string(r))
		case r >= 0x20:
			b.WriteRune(r)
		case strings.ContainsRune("\b\t\n\f\r", r):
			b.WriteString(strings.Trim(strconv.Quote(string(r)), `"`))
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// FuzzParse feeds arbitrary bytes. Each new path that it found interesting stays under testdata.
func FuzzParse(f *testing.F) {
	for _, s := range samples {
		f.Add(s.text)
	}
	for _, s := range []string{
		`{"a":1,"A":2}`, `"\ud83d\ude00\ud800"`, `[1.0,1e2,-0,0.10,9007199254740993,1e-7,5e-324]`, `{"k":"\u0000"}`, "\"\xff\"",
		`{"b":[{"c":null}],"a":" \n"}`, "{\"\u212a\":1,\"k\":2}", strings.Repeat("[", 70) + strings.Repeat("]", 70),
		string(object(20, func(i int) string { return strconv.Itoa(i % 19) })), "{\"\ufb33\":1,\"😀\":2}",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) { checkAgainstOracle(t, data) })
}
