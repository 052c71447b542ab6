package canon

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestRFC8785Numbers is appendix B of RFC 8785.
func TestRFC8785Numbers(t *testing.T) {
	tests := []struct {
		bits uint64
		want string
	}{
		{0x0000000000000000, "0"},
		{0x8000000000000000, "0"},
		{0x0000000000000001, "5e-324"},
		{0x8000000000000001, "-5e-324"},
		{0x7fefffffffffffff, "1.7976931348623157e+308"},
		{0xffefffffffffffff, "-1.7976931348623157e+308"},
		{0x4340000000000000, "9007199254740992"},
		{0xc340000000000000, "-9007199254740992"},
		{0x4430000000000000, "295147905179352830000"},
		{0x44b52d02c7e14af5, "9.999999999999997e+22"},
		{0x44b52d02c7e14af6, "1e+23"},
		{0x44b52d02c7e14af7, "1.0000000000000001e+23"},
		{0x444b1ae4d6e2ef4e, "999999999999999700000"},
		{0x444b1ae4d6e2ef4f, "999999999999999900000"},
		{0x444b1ae4d6e2ef50, "1e+21"},
		{0x3eb0c6f7a0b5ed8c, "9.999999999999997e-7"},
		{0x3eb0c6f7a0b5ed8d, "0.000001"},
		{0x41b3de4355555553, "333333333.3333332"},
		{0x41b3de4355555554, "333333333.33333325"},
		{0x41b3de4355555555, "333333333.3333333"},
		{0x41b3de4355555556, "333333333.3333334"},
		{0x41b3de4355555557, "333333333.33333343"},
		{0xbecbf647612f3696, "-0.0000033333333333333333"},
		{0x43143ff3c1cb0959, "1424953923781206.2"},
	}
	for _, tc := range tests {
		f := math.Float64frombits(tc.bits)
		if got := string(AppendFloat(nil, f)); got != tc.want {
			t.Errorf("%016x: %s, want %s", tc.bits, got, tc.want)
		}
		got, err := canonical([]byte(tc.want), Limits{})
		if inRange := math.Abs(f) <= maxSafe; inRange != (err == nil) || inRange && got != tc.want {
			t.Errorf("%s parsed: %s, %v", tc.want, got, err)
		}
	}
}

func TestAppendFloatRefusesWhatJSONCannotHold(t *testing.T) {
	for _, f := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%v was written", f)
				}
			}()
			AppendFloat(nil, f)
		}()
	}
}

// TestRFC8785Sample is the example of RFC 8785 §3.2.2 and §3.2.4. Of its numbers, two are beyond what Parse accepts or
// have digits that a double does not keep; they stand here as the nearest that it does.
func TestRFC8785Sample(t *testing.T) {
	in := `{
  "numbers": [333333333.3333333, 0.002, 4.50, 2e-3, 0.000000000000000000000000001],
  "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
  "literals": [null, true, false]
}`
	want := `{"literals":[null,true,false],"numbers":[333333333.3333333,0.002,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}`
	if got, err := canonical([]byte(in), Limits{}); err != nil || got != want {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
}

// TestRFC8785Sorting is the example of §3.2.3.
func TestRFC8785Sorting(t *testing.T) {
	in := `{
  "\u20ac": "Euro Sign",
  "\r": "Carriage Return",
  "\ufb33": "Hebrew Letter Dalet With Dagesh",
  "1": "One",
  "\ud83d\ude00": "Emoji: Grinning Face",
  "\u0080": "Control",
  "\u00f6": "Latin Small Letter O With Diaeresis"
}`
	want := []string{
		"Carriage Return", "One", "Control", "Latin Small Letter O With Diaeresis", "Euro Sign", "Emoji: Grinning Face",
		"Hebrew Letter Dalet With Dagesh",
	}
	got, err := canonical([]byte(in), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	d, err := Parse([]byte(got), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Release()
	var names []string
	for _, v := range d.Root().Members() {
		names = append(names, v.Text())
	}
	if strings.Join(names, "|") != strings.Join(want, "|") {
		t.Errorf("got %q", names)
	}
}

// TestSortingAnyCountOfMembers covers each way of sorting: none needed, on the stack, with memory of its own.
func TestSortingAnyCountOfMembers(t *testing.T) {
	for _, n := range []int{1, 2, onStack - 1, onStack, onStack + 1, 500} {
		keys := make([]string, n)
		for i := range keys {
			keys[i] = fmt.Sprintf("%06d", i)
		}
		want := object(n, func(i int) string { return keys[i] })
		members := make([]string, n)
		for j, i := range rand.New(rand.NewPCG(1, uint64(n))).Perm(n) {
			members[j] = fmt.Sprintf("%q: %d", keys[i], i)
		}
		in := "{" + strings.Join(members, ",\n") + "}"
		if got, err := canonical([]byte(in), Limits{}); err != nil || got != string(want) {
			t.Errorf("%d members: %.100s, %v", n, got, err)
		}
	}
}

func TestAppendString(t *testing.T) {
	for c := range rune(0x80) {
		want := string(c)
		switch c {
		case '"', '\\':
			want = `\` + want
		case '\b', '\t', '\n', '\f', '\r':
			want = `\` + string("btn_fr"[c-'\b'])
		default:
			if c < 0x20 {
				want = fmt.Sprintf(`\u%04x`, c)
			}
		}
		want = `"é` + want + `z"`
		s := "é" + string(c) + "z"
		if got := string(AppendString([]byte("x"), s)); got != "x"+want {
			t.Errorf("%q: %s, want %s", s, got, want)
		}
		if got := string(AppendBytes(nil, []byte(s))); got != want {
			t.Errorf("%q as bytes: %s, want %s", s, got, want)
		}
	}
}
