package text

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func tokensOf(s string) (all, whole []string) {
	walk(s, func(t []byte, w bool) bool {
		all = append(all, string(t))
		if w {
			whole = append(whole, string(t))
		}
		return true
	})
	return all, whole
}

func TestTokens(t *testing.T) {
	for _, c := range []struct{ in, tokens string }{
		{"", ""},
		{" \t\n\x00 * \" ' ... -- /.*/", ""},
		{"Hello, World!", "hello world"},
		{"don't", "don t"},
		{"a\x00b", "a b"},
		{"s3.amazonaws.com", "s3.amazonaws.com s3 amazonaws com"},
		{"(see s3.amazonaws.com.)", "see s3.amazonaws.com s3 amazonaws com"},
		{"GetBucketPolicy", "getbucketpolicy get bucket policy"},
		{"HTTPServer EC2Instance iPhone", "httpserver http server ec2instance ec2 instance iphone phone"},
		{"user-123", "user-123 user 123"},
		{"jane.doe+x@example.com", "jane.doe+x@example.com jane.doe+x jane doe x example.com example com"},
		{"arn:aws:s3:::My-Bucket/key.txt", "arn:aws:s3:::my-bucket/key.txt arn aws s3 my-bucket my bucket key.txt key txt"},
		{"/var/log/.hidden/", "var/log/.hidden var log hidden"},
		{`CORP\jdoe`, `corp\jdoe corp jdoe`},
		{"10.1.2.3 2001:db8::1", "10.1.2.3 2001:db8::1 2001 db8 1"},
		{"2024-05-06", "2024-05-06"},
		{"01890a5d-ac96-774b-bcce-b302099a8057", "01890a5d-ac96-774b-bcce-b302099a8057"},
		{"key=value&x", "key value x"},
		{"Café CAFÉ Cafe\u0301 ﬁne ＡＢＣ", "cafe cafe cafe fine abc"},
		{"ΟΔΟΣ οδός", "οδοσ οδοσ"},
		{"Йод", "иод"},
		{"東", "東"},
		{"東京タワー", "東京 京タ タワ ワー"},
		{"user東京x", "user 東京 x"},
		{"が", "が"},
		{"한국어", "한국 국어"},
		{"हिन्दी", "हिन्दी"},
		{"\xff\xfeok", "ok"},
		{"\u0301x \u0940", "x"},
	} {
		got, _ := tokensOf(c.in)
		if s := strings.Join(got, " "); s != c.tokens {
			t.Errorf("%q:\n got %q\nwant %q", c.in, s, c.tokens)
		}
	}
}

func TestLongTokensDiffer(t *testing.T) {
	a, _ := tokensOf(strings.Repeat("x", 100) + "a")
	b, _ := tokensOf(strings.Repeat("x", 100) + "b")
	again, _ := tokensOf(strings.Repeat("X", 100) + "A")
	if a[0] == b[0] || a[0] != again[0] || len(a[0]) != MaxToken || !strings.HasPrefix(a[0], strings.Repeat("x", cutKeep)+"~") {
		t.Fatalf("%q %q %q", a, b, again)
	}
}

func TestTokensStopWhenTold(t *testing.T) {
	n := 0
	Tokens("a-b c 東京タワー", func([]byte) bool { n++; return false })
	if n != 1 {
		t.Fatalf("%d tokens after the first was refused", n)
	}
}

// Every token keeps the package comment's promises, and every whole token of a text finds that text.
func TestTokenPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(rapid.String(), rapid.StringMatching(`[A-Za-z0-9._:/@\\+é東京 \x00-]{0,120}`)).Draw(t, "s")
		all, whole := tokensOf(s)
		for _, tok := range all {
			if tok == "" || len(tok) > MaxToken || !utf8.ValidString(tok) || strings.ContainsAny(tok, " \t\n\x00\"*()") ||
				strings.ContainsAny(tok, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") {
				t.Fatalf("token %q of %q", tok, s)
			}
			if c := tok[0]; c < utf8.RuneSelf && classOf(rune(c)) != word {
				t.Fatalf("token %q of %q starts with a joiner", tok, s)
			}
		}
		for _, tok := range whole {
			if !slices.Contains(all, tok) {
				t.Fatalf("%q asks for %q, which its own text lacks", s, tok)
			}
		}
	})
}

// A token costs no allocation; what is allowed is that the pool lost its walker, as it does at random under the race detector.
func TestTokensAllocateNothingForASCII(t *testing.T) {
	s := "arn:aws:s3:::my-bucket/key.txt GetBucketPolicy by jane@example.com"
	yield := func([]byte) bool { return true }
	Tokens(s, yield)
	if n := testing.AllocsPerRun(100, func() { Tokens(s, yield) }); n > 4 {
		t.Fatalf("%v allocations for a text of %d bytes", n, len(s))
	}
}

func FuzzTokens(f *testing.F) {
	f.Add("GetBucketPolicy s3.amazonaws.com 東京 caf\u00e9\xff")
	f.Fuzz(func(t *testing.T, s string) {
		Tokens(s, func(tok []byte) bool {
			if len(tok) == 0 || len(tok) > MaxToken || !utf8.Valid(tok) {
				t.Fatalf("token %q of %q", tok, s)
			}
			return true
		})
	})
}

func BenchmarkTokens(b *testing.B) {
	s := "GetBucketPolicy on arn:aws:s3:::my-bucket/key.txt by jane@example.com from 10.1.2.3 was denied because of policy 7"
	b.SetBytes(int64(len(s)))
	b.ReportAllocs()
	for b.Loop() {
		Tokens(s, func([]byte) bool { return true })
	}
}
