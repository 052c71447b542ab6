package canon

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"auditlog/internal/fault"
)

// canonical parses and writes again, releasing the tree.
func canonical(data []byte, lim Limits) (string, error) {
	d, err := Parse(data, lim)
	if err != nil {
		return "", err
	}
	defer d.Release()
	return string(d.Root().AppendCanonical(nil)), nil
}

// refusal says what a refused text was refused for: its kind, and pointers if there are any.
func refusal(t *testing.T, in string, lim Limits) string {
	t.Helper()
	out, err := canonical([]byte(in), lim)
	if err == nil {
		return "accepted as " + out
	}
	var f *fault.Error
	if !errors.As(err, &f) {
		t.Fatalf("%.60q: the error is no fault: %v", in, err)
	}
	said := f.Kind.String()
	for _, field := range f.Fields {
		said += " at " + field.Pointer
		if field.Kind != f.Kind || field.Detail != f.Detail {
			t.Errorf("%.60q: the field disagrees with the error: %+v", in, f)
		}
	}
	return said
}

func TestParseRefuses(t *testing.T) {
	tests := map[string]struct{ in, want string }{
		"empty":                   {``, "malformed"},
		"only space":              {" \n", "malformed"},
		"truncated object":        {`{"a":1`, "malformed"},
		"truncated after brace":   {`{`, "malformed"},
		"truncated after comma":   {`{"a":1,`, "malformed"},
		"truncated after key":     {`{"a"`, "malformed"},
		"truncated after colon":   {`{"a":`, "malformed"},
		"truncated array":         {`[1,2`, "malformed"},
		"truncated string":        {`"abc`, "malformed"},
		"truncated escape":        {`"\`, "malformed"},
		"truncated hex":           {`"\u00`, "malformed"},
		"truncated escaped":       {`"\nabc`, "malformed"},
		"truncated literal":       {`tru`, "malformed"},
		"truncated pair":          {`"\ud83d`, "malformed"},
		"bad second half":         {`"\ud83d\uzzzz"`, "malformed"},
		"trailing brace":          {`{}}`, "malformed"},
		"second document":         {`{}{}`, "malformed"},
		"second scalar":           {`1 2`, "malformed"},
		"byte order mark":         {"\xEF\xBB\xBF{}", "malformed"},
		"UTF-16":                  {"\xFF\xFE{\x00}\x00", "malformed"},
		"line comment":            {"// x\n{}", "malformed"},
		"block comment":           {`{/* x */}`, "malformed"},
		"NaN":                     {`NaN`, "malformed"},
		"Infinity":                {`[-Infinity]`, "malformed"},
		"single quotes":           {`{'a':1}`, "malformed"},
		"bare key":                {`{a:1}`, "malformed"},
		"number as key":           {`{1:1}`, "malformed"},
		"trailing comma, object":  {`{"a":1,}`, "malformed"},
		"trailing comma, array":   {`[1,]`, "malformed"},
		"leading comma":           {`[,1]`, "malformed"},
		"missing comma":           {`[1 2]`, "malformed"},
		"missing colon":           {`{"a" 1}`, "malformed"},
		"missing value":           {`{"a":}`, "malformed"},
		"wrong bracket":           {`[1}`, "malformed"},
		"capital literal":         {`True`, "malformed"},
		"bad escape":              {`"\x41"`, "malformed"},
		"bad hex":                 {`"\u00g0"`, "malformed"},
		"escape of a quote":       {`"\'"`, "malformed"},
		"raw tab":                 {"\"a\tb\"", "malformed"},
		"raw newline":             {"{\"a\nb\":1}", "malformed"},
		"raw control, escaped":    {"\"\\n\x1f\"", "malformed"},
		"leading zero":            {`01`, "malformed"},
		"minus leading zero":      {`-01`, "malformed"},
		"plus":                    {`+1`, "malformed"},
		"dot at end":              {`1.`, "malformed"},
		"dot at start":            {`.5`, "malformed"},
		"no exponent":             {`1e`, "malformed"},
		"no exponent digits":      {`1e+`, "malformed"},
		"minus alone":             {`-`, "malformed"},
		"hex number":              {`0x10`, "malformed"},
		"form feed":               {"\f1", "malformed"},
		"no-break space":          {"\u00a01", "malformed"},
		"same key":                {`{"a":1,"b":2,"a":3}`, "duplicate-key at /a"},
		"same key, escaped":       {`{"a":1,"\u0061":2}`, "duplicate-key at /a"},
		"same key, deep":          {`[0,{"y/z":{"k":1,"k":1}}]`, "duplicate-key at /1/y~1z/k"},
		"same key, case":          {`{"tenant":1,"TENANT":2}`, "duplicate-key at /TENANT"},
		"same long key, case":     {`{"idempotency_key":1,"Idempotency_Key":2}`, "duplicate-key at /Idempotency_Key"},
		"Kelvin sign":             {`{"k":1,"` + "\u212a" + `":2}`, "duplicate-key at /\u212a"},
		"long s first":            {`{"` + "\u017f" + `":1,"S":2}`, "duplicate-key at /S"},
		"Greek sigmas":            {`{"` + "\u03c3" + `":1,"` + "\u03c2" + `":2}`, "duplicate-key at /\u03c2"},
		"empty key":               {`{"":1,"":2}`, "duplicate-key at /"},
		"bad byte":                {"\"a\xffb\"", "bad-utf8 at "},
		"bad byte, key":           {"{\"o\":{\"\xff\":1}}", "bad-utf8 at /o"},
		"overlong":                {"[\"\xc0\xaf\"]", "bad-utf8 at /0"},
		"overlong NUL":            {"[\"\xc0\x80\"]", "bad-utf8 at /0"},
		"surrogate in UTF-8":      {"[\"\xed\xa0\x80\"]", "bad-utf8 at /0"},
		"above U+10FFFF":          {"[\"\xf4\x90\x80\x80\"]", "bad-utf8 at /0"},
		"cut sequence":            {"[\"\xe2\x82\"]", "bad-utf8 at /0"},
		"bad byte behind escape":  {"[\"\\n\xff\"]", "bad-utf8 at /0"},
		"lone high escape":        {`{"a":"\ud800"}`, "bad-utf8 at /a"},
		"lone low escape":         {`{"a":"\udc00x"}`, "bad-utf8 at /a"},
		"lone low, then bad hex":  {`["\udc00\uzzzz"]`, "bad-utf8 at /0"},
		"two highs":               {`{"a":"\ud800\ud800"}`, "bad-utf8 at /a"},
		"high, then letter":       {`{"a":"\ud800\u0041"}`, "bad-utf8 at /a"},
		"high, then escape":       {`{"a":"\ud800\n"}`, "bad-utf8 at /a"},
		"lone high in key":        {`{"\ud800":1}`, "bad-utf8 at "},
		"NUL escape":              {`{"a":["x","\u0000"]}`, "invalid at /a/1"},
		"NUL escape in key":       {`{"a":{"x\u0000":1}}`, "invalid at /a"},
		"NUL raw":                 {"{\"a\":\"\x00\"}", "invalid at /a"},
		"NUL raw behind escape":   {"{\"a\":\"\\n\x00\"}", "invalid at /a"},
		"NUL outside":             {"\x00", "malformed"},
		"2^53":                    {`{"n":9007199254740992}`, "number-range at /n"},
		"-2^53":                   {`{"n":-9007199254740992}`, "number-range at /n"},
		"2^53 with exponent":      {`[9.007199254740992e15]`, "number-range at /0"},
		"2^53 with fraction":      {`[9007199254740992.0]`, "number-range at /0"},
		"short but beyond":        {`[9.1e15]`, "number-range at /0"},
		"far beyond":              {`[1e21]`, "number-range at /0"},
		"twenty digits":           {`12345678901234567890`, "number-range at "},
		"eighteen digits":         {`0.123456789012345678`, "number-range at "},
		"seventeen digits, off":   {`0.10000000000000001`, "number-range at "},
		"sixteen digits, off":     {`4503599627370497.4`, "number-range at "},
		"overflow":                {`1e309`, "number-range at "},
		"huge exponent":           {`1e99999999999999999999`, "number-range at "},
		"underflow":               {`1e-400`, "number-range at "},
		"tiny exponent":           {`-1e-99999999999999999999`, "number-range at "},
		"rounds to denormal":      {`4e-324`, "number-range at "},
		"too deep":                {`{"a":[[[1]]]}`, "too-deep at /a/0/0"},
		"too deep, empty":         {`[[[[]]]]`, "too-deep at /0/0/0"},
		"first problem: key":      {`{"a":1,"a":1e999,`, "duplicate-key at /a"},
		"first problem: number":   {`{"a":1e999,"a":1`, "number-range at /a"},
		"first problem: syntax":   {`{"a":1 "a":1}`, "malformed"},
		"first problem: encoding": {"{\"a\":\"\xff\",\"a\":[[[[", "bad-utf8 at /a"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := refusal(t, tc.in, Limits{MaxDepth: 3}); got != tc.want {
				t.Errorf("%q: %s, want %s", tc.in, got, tc.want)
			}
		})
	}
}

func TestParseAccepts(t *testing.T) {
	tests := []struct{ in, want string }{
		{` null `, `null`},
		{"\t[ true ,\r\nfalse ]\n", `[true,false]`},
		{`{}`, `{}`},
		{`[ ]`, `[]`},
		{`{"b":1,"a":2}`, `{"a":2,"b":1}`},
		{`{"a":{"c":1,"b":[ ]},"A2":0}`, `{"A2":0,"a":{"b":[],"c":1}}`},
		{`{"":{"":1}}`, `{"":{"":1}}`},
		{`{"a_b":1,"a\u007fb":2}`, `{"a_b":1,"a` + "\x7f" + `b":2}`},
		{`{"[":1,"{":2,"@":3,"` + "`" + `":4}`, `{"@":3,"[":1,"` + "`" + `":4,"{":2}`},
		{`{"a":{"k":1},"b":{"k":1}}`, `{"a":{"k":1},"b":{"k":1}}`},
		{`"\u0041\/\"\\\b\f\n\r\t\u001f\u007F"`, `"A/\"\\\b\f\n\r\t\u001f` + "\x7f" + `"`},
		{`"\ud83d\ude00\u20AC"`, `"😀€"`},
		{`"😀€ plain text of more than eight bytes"`, `"😀€ plain text of more than eight bytes"`},
		{"\"\u2028\u2029\ufeff\ufffd\"", "\"\u2028\u2029\ufeff\ufffd\""},
		{`"\uFFFD"`, "\"\ufffd\""},
		{`"eight by\teight by"`, `"eight by\teight by"`},
		{`"é\u00e9"`, `"éé"`},
		{`"\u0001\u0002é"`, `"\u0001\u0002é"`},
		{`1.0`, `1`},
		{`[1.0]`, `[1]`},
		{`{"a":-0}`, `{"a":0}`},
		{`["\u0061"]`, `["a"]`},
		{`[[1 ],2]`, `[[1],2]`},
		{`1e2`, `100`},
		{`-0`, `0`},
		{`-0.0e+7`, `0`},
		{`0e999999999999999999999`, `0`},
		{`0.10`, `0.1`},
		{`-1.50E+3`, `-1500`},
		{`100000000000000000e-17`, `1`},
		{`9007199254740991`, `9007199254740991`},
		{`-9007199254740991.0`, `-9007199254740991`},
		{`9000000000000000`, `9000000000000000`},
		{`9e15`, `9000000000000000`},
		{`0.000001`, `0.000001`},
		{`0.0000001`, `1e-7`},
		{`0.00000012345`, `1.2345e-7`},
		{`5e-324`, `5e-324`},
		{`0.30000000000000004`, `0.30000000000000004`},
		{`2251799813685248.5`, `2251799813685248.5`},
		{`123456789012345`, `123456789012345`},
		{`0.` + strings.Repeat("0", 400) + `1e401`, `1`},
		{`1` + strings.Repeat("0", 400) + `e-400`, `1`},
		{`1.` + strings.Repeat("0", 400), `1`},
		{`[[[]]]`, `[[[]]]`},
	}
	for _, tc := range tests {
		got, err := canonical([]byte(tc.in), Limits{MaxDepth: 3})
		if err != nil || got != tc.want {
			t.Errorf("%.60q: %s, %v; want %s", tc.in, got, err, tc.want)
		}
	}
}

func TestMalformedNamesTheByteAndEchoesNothing(t *testing.T) {
	_, err := canonical([]byte(`{"key": secret}`), Limits{})
	if want := "malformed: not JSON at byte 8: a value is due"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestDepthLimits(t *testing.T) {
	nested := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for _, tc := range []struct{ max, ok int }{{0, 64}, {-1, 64}, {1, 1}, {16, 16}, {1 << 30, 10_000}} {
		if _, err := canonical([]byte(nested(tc.ok)), Limits{MaxDepth: tc.max}); err != nil {
			t.Errorf("limit %d: %d levels refused: %v", tc.max, tc.ok, err)
		}
		if _, err := canonical([]byte(nested(tc.ok+1)), Limits{MaxDepth: tc.max}); !fault.Is(err, fault.TooDeep) {
			t.Errorf("limit %d: %d levels: %v", tc.max, tc.ok+1, err)
		}
	}
}

// TestDeepInputIsCheap covers quality.md §4 C5: 5 MB of brackets must cost no more than the levels allowed.
func TestDeepInputIsCheap(t *testing.T) {
	deep := bytes.Repeat([]byte("["), 5<<20)
	start := time.Now()
	_, err := Parse(deep, Limits{})
	if !fault.Is(err, fault.TooDeep) {
		t.Fatalf("not refused for its depth: %v", err)
	}
	t.Logf("5 MB of brackets took %v (limit 10 ms)", time.Since(start))
	if n := testing.AllocsPerRun(10, func() { Parse(deep, Limits{}) }); n > 200 {
		t.Errorf("%.0f allocations: the work is not bounded by the depth allowed", n)
	}
}

// TestPointerIsBounded: keys are the sender's and may be long; an error must not carry megabytes of them.
func TestPointerIsBounded(t *testing.T) {
	long := strings.Repeat("k", 4<<10)
	in := fmt.Sprintf(`{"a":{%q:{"b":1e999}}}`, long)
	if got := refusal(t, in, Limits{}); got != "number-range at /a" {
		t.Errorf("got %.80s", got)
	}
}

func TestJoinPointer(t *testing.T) {
	if got := JoinPointer(JoinPointer(JoinPointer("", "a/b"), "m~n"), ""); got != "/a~1b/m~0n/" {
		t.Errorf("got %s", got)
	}
}
