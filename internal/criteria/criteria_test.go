package criteria_test

import (
	"slices"
	"testing"

	"auditlog/eventstore"
	"auditlog/eventstore/format"
	"auditlog/internal/criteria"
	"auditlog/internal/entry"
	"auditlog/internal/text"
)

func sample() entry.Entry {
	return entry.Entry{
		Type: eventstore.EntryRecorded, OccurredAt: 100, RecordedAt: 200,
		Public:  format.Public{Action: "READ", Severity: "INFO", Outcome: "success", ActorType: "user", ResourceType: "doc"},
		Private: format.Private{Actor: format.Actor{ID: "a"}, Metadata: []byte(`{"k":{"n":1.5,"list":[{"id":"x"},{"id":2}]},"t":true,"z":null,"e":{},"s":""}`)},
		Amendments: []entry.Amendment{
			{Message: "amended message", Metadata: []byte(`{"k":{"n":7}}`)},
		},
	}
}

func TestLeaves(t *testing.T) {
	e := sample()
	var got []string
	criteria.Leaves(&e, func(path, value []byte) { got = append(got, string(path)+"="+string(value)) })
	want := []string{"k.n=1.5", "k.list.id=x", "k.list.id=2", "t=true", "z=null", "s=", "k.n=7"}
	if !slices.Equal(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
}

func TestMatch(t *testing.T) {
	at := func(m eventstore.Micros) *eventstore.Micros { return &m }
	query, err := text.Parse("amended list")
	if err != nil {
		t.Fatal(err)
	}
	meta := func(kv ...string) (c criteria.Criteria) {
		for i := 0; i < len(kv); i += 2 {
			c.Metadata = append(c.Metadata, criteria.Metadata{Path: kv[i], Value: kv[i+1]})
		}
		return c
	}
	e := sample()
	for name, c := range map[string]struct {
		c    criteria.Criteria
		want bool
	}{
		"nothing asked":      {criteria.Criteria{}, true},
		"kind":               {criteria.Criteria{Kind: criteria.Access}, false},
		"all kinds":          {criteria.Criteria{Kind: criteria.All}, true},
		"from is inclusive":  {criteria.Criteria{From: at(100)}, true},
		"to is exclusive":    {criteria.Criteria{To: at(100)}, false},
		"recorded":           {criteria.Criteria{From: at(150), RecordedTime: true}, true},
		"one of a list":      {criteria.Criteria{Actions: []string{"X", "READ"}}, true},
		"none of a list":     {criteria.Criteria{Outcomes: []string{"denied", "failure"}}, false},
		"absent field":       {criteria.Criteria{IP: "10.0.0.1"}, false},
		"metadata number":    {meta("k.n", "1.5"), true},
		"both numbers":       {meta("k.n", "1.5", "k.n", "7"), true},
		"metadata empty":     {meta("s", ""), true},
		"metadata container": {meta("e", ""), false},
		"text":               {criteria.Criteria{Text: query}, true},
	} {
		if got := c.c.Match(&e); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	amended := entry.Entry{Type: eventstore.EntryAmended}
	if (&criteria.Criteria{Kind: criteria.All}).Match(&amended) {
		t.Error("an amendment counts as an entry")
	}
}

func TestCanonicalTellsQuestionsApart(t *testing.T) {
	at := eventstore.Micros(5)
	word, err := text.Parse("word")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for i, c := range []criteria.Criteria{
		{}, {Kind: criteria.All}, {ActorID: "a"}, {ActorID: "b"}, {ActorType: "a"}, {Actions: []string{"a"}}, {Actions: []string{"a", "b"}},
		{Actions: []string{"ab"}}, {Actions: []string{"a1:b"}}, {Severities: []string{"a"}}, {Metadata: []criteria.Metadata{{Path: "a", Value: "b"}}},
		{Metadata: []criteria.Metadata{{Path: "a", Value: ""}}}, {Metadata: []criteria.Metadata{{Path: "", Value: "a"}}},
		{From: &at}, {To: &at}, {From: &at, RecordedTime: true}, {Text: word}, {ActorID: "a", Text: word},
	} {
		s := string(c.AppendCanonical(nil))
		if other, ok := seen[s]; ok {
			t.Errorf("questions %d and %d print alike: %q", i, other, s)
		}
		seen[s] = i
	}
	same := [][2]criteria.Criteria{
		{{}, {Kind: criteria.Entries, RecordedTime: true}},
		{{Actions: []string{"a", "b", "a"}}, {Actions: []string{"b", "a"}}},
		{{Metadata: []criteria.Metadata{{Path: "a", Value: "1"}, {Path: "b", Value: "2"}}}, {Metadata: []criteria.Metadata{{Path: "b", Value: "2"}, {Path: "a", Value: "1"}}}},
	}
	for i, pair := range same {
		if a, b := string(pair[0].AppendCanonical(nil)), string(pair[1].AppendCanonical(nil)); a != b {
			t.Errorf("pair %d: %q and %q", i, a, b)
		}
	}
}
