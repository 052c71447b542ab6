package text

import (
	"fmt"
	"strings"
	"testing"

	"auditlog/internal/fault"
)

func TestParseAndMatch(t *testing.T) {
	doc := []string{"GetBucketPolicy", "denied for jane@example.com", "arn:aws:iam::1:role/Admin", "東京タワー", "Café"}
	for _, c := range []struct {
		q    string
		want bool
	}{
		{"", true},
		{"  \t ", true},
		{"bucket", true},
		{"BUCKET denied", true},
		{"denied bucket absent", false},
		{"getbucketpolicy", true},
		{"GetBucket", false}, // another identifier
		{"example.com", true},
		{"jane@example.com", true},
		{"jane@example", false},
		{"role admin", true},
		{"東京", true},
		{"京タワー", true},
		{"東タ", false},
		{"cafe", true},
		{"*", false},
		{`"`, false},
		{"/.*/", false},
		{`"denied*"`, true}, // punctuation is no syntax
		{"_exists_:denied", false},
	} {
		q, err := Parse(c.q)
		if err != nil {
			t.Fatalf("%q: %v", c.q, err)
		}
		m := q.Matcher()
		for _, s := range doc {
			m.Add(s)
		}
		if got := m.Matched(); got != c.want {
			t.Errorf("%q: %v, want %v", c.q, got, c.want)
		}
	}
}

func TestParseLimits(t *testing.T) {
	var many, cjk strings.Builder
	for i := range 65 {
		fmt.Fprintf(&many, "w%d ", i)
	}
	for i := range 200 {
		cjk.WriteRune(rune(0x4e00 + i))
	}
	for name, c := range map[string]struct {
		q    string
		kind fault.Kind
	}{
		"bytes":  {strings.Repeat("a", MaxQuery+1), fault.QueryTooCostly},
		"words":  {many.String(), fault.QueryTooCostly},
		"tokens": {cjk.String(), fault.QueryTooCostly},
		"utf8":   {"a\xff", fault.BadUTF8},
	} {
		_, err := Parse(c.q)
		if !fault.Is(err, c.kind) {
			t.Errorf("%s: %v, want %v", name, err, c.kind)
		}
	}
	if _, err := Parse(strings.Repeat("a ", MaxWords)); err != nil {
		t.Errorf("%d words: %v", MaxWords, err)
	}
}

func TestCanonicalIgnoresOrder(t *testing.T) {
	canonical := func(s string) string {
		q, err := Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		return string(q.AppendCanonical(nil))
	}
	if canonical("Denied bucket") != canonical("bucket  denied bucket") {
		t.Error("order or repetition changed the canonical form")
	}
	seen := map[string]string{}
	for _, s := range []string{"", "*", "a", "b", "a b", "a-b"} {
		if other, ok := seen[canonical(s)]; ok {
			t.Errorf("%q and %q print alike", s, other)
		}
		seen[canonical(s)] = s
	}
}
