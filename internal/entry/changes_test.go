package entry

import (
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"auditlog/internal/canon"
)

func TestChanges(t *testing.T) {
	for name, c := range map[string]struct{ before, after, want string }{
		"equal":               {`{"a":1}`, `{"a":1}`, `[]`},
		"both empty":          {`{}`, `{}`, `[]`},
		"replace":             {`{"a":1}`, `{"a":2}`, `[{"op":"replace","path":"/a","from":1,"to":2}]`},
		"to null":             {`{"a":1}`, `{"a":null}`, `[{"op":"replace","path":"/a","from":1,"to":null}]`},
		"another type":        {`{"a":{"b":1}}`, `{"a":[1]}`, `[{"op":"replace","path":"/a","from":{"b":1},"to":[1]}]`},
		"add":                 {`{}`, `{"a":{"b":1}}`, `[{"op":"add","path":"/a","to":{"b":1}}]`},
		"remove":              {`{"a":[]}`, `{}`, `[{"op":"remove","path":"/a","from":[]}]`},
		"nested":              {`{"a":{"b":{"c":1,"d":2}}}`, `{"a":{"b":{"c":3,"d":2}}}`, `[{"op":"replace","path":"/a/b/c","from":1,"to":3}]`},
		"list as a whole":     {`{"a":[1,2]}`, `{"a":[1,2,3]}`, `[{"op":"replace","path":"/a","from":[1,2],"to":[1,2,3]}]`},
		"removes before adds": {`{"b":1}`, `{"a":1}`, `[{"op":"remove","path":"/b","from":1},{"op":"add","path":"/a","to":1}]`},
		"escaped key":         {`{}`, `{"a/b~c":1}`, `[{"op":"add","path":"/a~1b~0c","to":1}]`},
		"quoted key":          {`{}`, `{"a\"b":1}`, `[{"op":"add","path":"/a\"b","to":1}]`},
		"keys differ by case": {`{"Tag":1,"tag":2}`, `{"Tag":3,"tag":2}`, `[{"op":"replace","path":"/Tag","from":1,"to":3}]`},
		"empty key":           {`{"":1}`, `{}`, `[{"op":"remove","path":"/","from":1}]`},
		"siblings of a path":  {`{"a":{"x":1},"b":{"y":1}}`, `{"a":{"x":2},"b":{"y":2}}`, `[{"op":"replace","path":"/a/x","from":1,"to":2},{"op":"replace","path":"/b/y","from":1,"to":2}]`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := string(appendChanges(nil, []byte(c.before), []byte(c.after))); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestChangesOfOneSideOnly(t *testing.T) {
	if got, want := string(appendChanges(nil, nil, []byte(`{"a":1}`))), `[{"op":"add","path":"/a","to":1}]`; got != want {
		t.Errorf("created: got %s", got)
	}
	if got, want := string(appendChanges(nil, []byte(`{"a":1}`), nil)), `[{"op":"remove","path":"/a","from":1}]`; got != want {
		t.Errorf("deleted: got %s", got)
	}
}

// TestChangesLeadFromBeforeToAfter applies the list as RFC 6902 would and must arrive at after.
func TestChangesLeadFromBeforeToAfter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		before, after := drawObject(t, 3), drawObject(t, 3)
		var list []struct {
			Op   string
			Path string
			From any
			To   any
		}
		raw := appendChanges(nil, canonical(t, before), canonical(t, after))
		if err := json.Unmarshal(raw, &list); err != nil {
			t.Fatalf("%v: %s", err, raw)
		}
		for _, c := range list {
			apply(t, before, c.Op, c.Path, c.From, c.To)
		}
		if !reflect.DeepEqual(before, after) {
			t.Fatalf("arrived at %v, want %v, by %s", before, after, raw)
		}
	})
}

func apply(t *rapid.T, doc map[string]any, op, path string, from, to any) {
	tokens := strings.Split(path, "/")[1:]
	for i, token := range tokens {
		token = strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
		if i < len(tokens)-1 {
			doc = doc[token].(map[string]any)
			continue
		}
		was, had := doc[token]
		if had != (op != "add") || had && !reflect.DeepEqual(was, from) {
			t.Fatalf("%s %s: there was %v (%v), not %v", op, path, was, had, from)
		}
		if op == "remove" {
			delete(doc, token)
		} else {
			doc[token] = to
		}
	}
}

func drawObject(t *rapid.T, depth int) map[string]any {
	out := map[string]any{}
	for range rapid.IntRange(0, 4).Draw(t, "members") {
		out[rapid.SampledFrom([]string{"a", "b", "c/d", "~e", "", "A"}).Draw(t, "key")] = drawValue(t, depth)
	}
	return out
}

func drawValue(t *rapid.T, depth int) any {
	switch k := rapid.IntRange(0, 5).Draw(t, "kind"); {
	case k == 0:
		return nil
	case k == 1:
		return strconv.Itoa(rapid.IntRange(0, 2).Draw(t, "text"))
	case k == 2:
		return []any{float64(rapid.IntRange(0, 2).Draw(t, "element"))}
	case k > 3 && depth > 0:
		return drawObject(t, depth-1)
	default:
		return float64(rapid.IntRange(0, 2).Draw(t, "number"))
	}
}

func canonical(t *rapid.T, v any) []byte {
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := canon.Parse(raw, stored)
	if err != nil {
		t.Fatal(err)
	}
	defer doc.Release()
	return doc.Root().AppendCanonical(nil)
}
