package canon

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"unicode"

	"auditlog/internal/fault"
)

// object writes an object of n members named by key.
func object(n int, key func(i int) string) []byte {
	var b bytes.Buffer
	b.WriteByte('{')
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%q:%d", key(i), i)
	}
	b.WriteByte('}')
	return b.Bytes()
}

// TestDuplicatesInObjectsOfAnySize puts the second of two equal keys last, around the size at which the method changes.
func TestDuplicatesInObjectsOfAnySize(t *testing.T) {
	pairs := [][2]string{{"key", "key"}, {"key", "KEY"}, {"k", "\u212a"}, {"ſtraße", "STRAßE"}, {"Ünïcode", "üNÏCODE"}}
	for _, n := range []int{2, 3, smallObject - 1, smallObject, smallObject + 1, smallObject + 2, 70, 1000} {
		for _, p := range pairs {
			for _, first := range []int{0, (n - 1) / 2, n - 2} {
				in := object(n, func(i int) string {
					switch i {
					case first:
						return p[0]
					case n - 1:
						return p[1]
					}
					return fmt.Sprintf("other%d", i)
				})
				want := "duplicate-key at /" + p[1]
				if got := refusal(t, string(in), Limits{}); got != want {
					t.Errorf("%d keys, %q at %d and %q at the end: %s", n, p[0], first, p[1], got)
				}
			}
		}
	}
}

// TestFoldDepth: case alone tells keys apart where the sender's own objects begin; equal keys are refused everywhere.
func TestFoldDepth(t *testing.T) {
	for _, size := range []int{2, 2 * smallObject} {
		twins := func(a, b string) string {
			return string(object(size, func(i int) string {
				switch i {
				case 0:
					return a
				case size - 1:
					return b
				}
				return fmt.Sprintf("k%d", i)
			}))
		}
		tests := []struct {
			in    string
			depth int
			want  string
		}{
			{twins("tagging", "Tagging"), 1, "duplicate-key at /Tagging"},
			{twins("tagging", "Tagging"), -1, ""},
			{`{"a":` + twins("tagging", "Tagging") + `}`, 1, ""},
			{`{"a":` + twins("é", "É") + `}`, 1, ""},
			{`{"a":` + twins("tagging", "Tagging") + `}`, 2, "duplicate-key at /a/Tagging"},
			{`{"a":` + twins("tagging", "Tagging") + `}`, 0, "duplicate-key at /a/Tagging"},
			{`{"a":` + twins("tagging", "tagging") + `}`, 1, "duplicate-key at /a/tagging"},
			{`[{"a":` + twins("é", "é") + `}]`, -1, "duplicate-key at /0/a/é"},
			{`[` + twins("x", "X") + `]`, 2, "duplicate-key at /0/X"},
		}
		for _, tc := range tests {
			lim := Limits{FoldDepth: tc.depth}
			if tc.want != "" {
				if got := refusal(t, tc.in, lim); got != tc.want {
					t.Errorf("%.60s, depth %d: %s, want %s", tc.in, tc.depth, got, tc.want)
				}
			} else if _, err := canonical([]byte(tc.in), lim); err != nil {
				t.Errorf("%.60s, depth %d: %v", tc.in, tc.depth, err)
			}
		}
	}
}

func TestLargeObjectsKeepTheirKeysApart(t *testing.T) {
	inner := object(3*smallObject, func(i int) string { return fmt.Sprintf("k%d", i) })
	in := fmt.Sprintf(`{"a":%s,"b":[%s,{"c":%s}]}`, inner, inner, inner)
	if _, err := canonical([]byte(in), Limits{}); err != nil {
		t.Errorf("equal keys in different objects were refused: %v", err)
	}
	// An object that holds large ones is large itself: its own keys go on behind theirs.
	in = string(object(2*smallObject, func(i int) string { return fmt.Sprintf("o%d", i) }))
	in = strings.TrimSuffix(in, "}") + fmt.Sprintf(`,"x":%s,"O3":1}`, inner)
	if got := refusal(t, in, Limits{}); got != "duplicate-key at /O3" {
		t.Errorf("got %s", got)
	}
}

// TestManyKeysTakeLinearTime counts the slots looked at rather than time: the table never fills beyond half.
func TestManyKeysTakeLinearTime(t *testing.T) {
	const n = 100_000
	crude := func(i int) string { // equal signatures: sets of characters that differ in bit 0x20 alone
		b := []byte("@@@@@@@@@@@@@@@@@")
		for j := range b {
			if i>>j&1 == 1 {
				b[j] = '`'
			}
		}
		return string(b)
	}
	d, err := Parse(object(n, crude), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Release()
	mask, farthest := len(d.large.slots)-1, 0
	for i, s := range d.large.slots {
		if s.key != 0 {
			farthest = max(farthest, (i-int(s.hash))&mask)
		}
	}
	if d.large.used != n || 2*n > len(d.large.slots) || farthest > 200 {
		t.Errorf("%d keys in %d slots, the farthest %d from its place", d.large.used, len(d.large.slots), farthest)
	}
}

// TestFoldedAgreesWithEqualFold: the table finds by the folded form what small objects find by bytes.EqualFold.
func TestFoldedAgreesWithEqualFold(t *testing.T) {
	fold := func(r rune) string {
		return string(appendFolded(nil, []byte(string(r)), r < 0x80))
	}
	for r := rune(1); r <= unicode.MaxRune; r++ {
		if unicode.Is(unicode.Cs, r) {
			continue
		}
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			if fold(r) != fold(f) {
				t.Fatalf("%U and %U fold apart", r, f)
			}
		}
		if !bytes.EqualFold([]byte(fold(r)), []byte(string(r))) {
			t.Fatalf("%U folds to another character's form", r)
		}
	}
}

// TestRefusedTextLeavesNothingBehind: a pooled Doc serves the next text as a new one would.
func TestRefusedTextLeavesNothingBehind(t *testing.T) {
	big := object(500, func(i int) string { return fmt.Sprintf("k%d", i) })
	for range 50 {
		if _, err := Parse(big[:len(big)-1], Limits{}); !fault.Is(err, fault.Malformed) {
			t.Fatal(err)
		}
		got, err := canonical([]byte(`{"k1":[1.0,"\n"],"k0":{}}`), Limits{})
		if want := `{"k0":{},"k1":[1,"\n"]}`; err != nil || got != want {
			t.Fatalf("%s, %v", got, err)
		}
		if _, err := canonical(big, Limits{}); err != nil {
			t.Fatal(err)
		}
	}
}
