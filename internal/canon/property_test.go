package canon

import (
	"math"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// The generators write JSON texts with every freedom that the grammar leaves: space, escapes, spellings of numbers.

var (
	space = rapid.SampledFrom([]string{"", "", "", "", " ", "\n\t"})

	// Few letters, so that keys meet, also in another case; both sides of the UTF-16 sorting rule; now and then a
	// surrogate alone, a NUL, a byte that is not UTF-8.
	char = rapid.OneOf(
		rapid.SampledFrom([]string{"a", "b", "k", "s", "A", "K", "_", "a longer run of plain text"}),
		rapid.SampledFrom([]string{`\"`, `\\`, `\/`, `\b`, `\n`, `\u0041`, `\u001F`, `\u00e9`, `\ud83d\ude00`, `\uFB33`, `\u212a`}),
		rapid.SampledFrom([]string{"é", "É", "€", "😀", "\ufb33", "\u212a", "ſ", "\u2028", "\x7f"}),
	)
	rare = rapid.SampledFrom([]string{`\ud800`, `\udc00`, `\u0000`, "\xff", "\xed\xa0\x80", "\t", `\x`})

	number = rapid.OneOf(
		rapid.Map(rapid.Int64Range(-1<<54, 1<<54), func(v int64) string { return strconv.FormatInt(v, 10) }),
		rapid.Map(rapid.Float64(), func(f float64) string { return strconv.FormatFloat(f, 'e', -1, 64) }),
		rapid.Map(rapid.Float64Range(-1e16, 1e16), func(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }),
		rapid.Map(rapid.Float64Range(-1, 1), func(f float64) string { return strconv.FormatFloat(f, 'e', 20, 64) }),
		rapid.StringMatching(`-?(0|[1-9][0-9]{0,18})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?`),
		rapid.StringMatching(`-?(0|[1-9][0-9]{0,3})(\.[0-9]{1,4})?(e-?[0-9])?`),
	)
)

func drawString(t *rapid.T) string {
	chars := rapid.SliceOfN(char, 0, 6).Draw(t, "chars")
	if rapid.IntRange(0, 60).Draw(t, "rare") == 0 {
		chars = append(chars, rare.Draw(t, "rare char"))
	}
	return `"` + strings.Join(chars, "") + `"`
}

func drawValue(t *rapid.T, depth int) string {
	kind := rapid.IntRange(0, 7).Draw(t, "kind")
	if depth == 0 {
		kind %= 4
	}
	around := space.Draw(t, "space")
	return around + drawKind(t, kind, depth) + space.Draw(t, "space")
}

func drawKind(t *rapid.T, kind, depth int) string {
	switch kind {
	case 0, 1:
		return drawString(t)
	case 2:
		return number.Draw(t, "number")
	case 3:
		return rapid.SampledFrom([]string{"null", "true", "false", "{}", "[]"}).Draw(t, "literal")
	}
	var parts []string
	for range rapid.IntRange(0, 5).Draw(t, "count") {
		part := drawValue(t, depth-1)
		if kind > 5 {
			part = space.Draw(t, "space") + drawString(t) + space.Draw(t, "space") + ":" + part
		}
		parts = append(parts, part)
	}
	if all := strings.Join(parts, ","); kind > 5 {
		return "{" + all + "}"
	} else {
		return "[" + all + "]"
	}
}

func TestAgreesWithOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		for range 20 {
			checkAgainstOracle(t, []byte(drawValue(t, 3)))
		}
	})
}

// TestNumbersAgreeWithOracle goes through numbers alone, where a wrong digit is easiest to miss.
func TestNumbersAgreeWithOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		for range 20 {
			checkAgainstOracle(t, []byte(number.Draw(t, "number")))
		}
	})
}

// TestAppendFloatReadsBack: what AppendFloat writes names the same double, and within the safe range Parse keeps it.
func TestAppendFloatReadsBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := rapid.OneOf(rapid.Float64(), rapid.Map(rapid.Uint64(), math.Float64frombits)).Draw(t, "f")
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return
		}
		text := string(AppendFloat(nil, f))
		if back, err := strconv.ParseFloat(text, 64); err != nil || back != f {
			t.Fatalf("%v written as %s reads as %v, %v", f, text, back, err)
		}
		if math.Abs(f) > maxSafe {
			return
		}
		if again, err := canonical([]byte(text), Limits{}); err != nil || again != text {
			t.Fatalf("%s parsed: %s, %v", text, again, err)
		}
	})
}

// TestPlainRun compares eight bytes at a time with one by one, the odd byte at every place.
func TestPlainRun(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.SampledFrom([]byte(" !\"#[\\]a~\x7f\x80\xff\x1f\x00\x01\x21\x23")), 0, 40).Draw(t, "bytes")
		want := 0
		for want < len(b) && isPlain(b[want]) {
			want++
		}
		if got := plainRun(b); got != want {
			t.Fatalf("%q: %d, want %d", b, got, want)
		}
	})
}
