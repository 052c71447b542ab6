package canon

import (
	"fmt"
	"strings"
	"testing"
)

func TestNodesOfAnEntry(t *testing.T) {
	in := `{"action":"a\u002eb", "n":1e2, "f":0.50, "list":[1,[],{"k":null}], "t":true, "no":false, "e":{} }`
	d, err := Parse([]byte(in), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Release()
	root := d.Root()
	var got []string
	for k, v := range root.Members() {
		n, isInt := v.Int()
		got = append(got, fmt.Sprintf("%s %s %s len %d depth %d leaves %d text %q number %q int %d %t",
			k, v.Kind(), v.Raw(), v.Len(), v.Depth(), v.Leaves(), v.Text(), v.Number(), n, isInt))
	}
	want := []string{
		`action string "a\u002eb" len 0 depth 0 leaves 1 text "a.b" number "" int 0 false`,
		`n number 1e2 len 0 depth 0 leaves 1 text "" number "100" int 100 true`,
		`f number 0.50 len 0 depth 0 leaves 1 text "" number "0.5" int 0 false`,
		`list array [1,[],{"k":null}] len 3 depth 2 leaves 3 text "" number "" int 0 false`,
		`t true true len 0 depth 0 leaves 1 text "" number "" int 0 false`,
		`no false false len 0 depth 0 leaves 1 text "" number "" int 0 false`,
		`e object {} len 0 depth 1 leaves 1 text "" number "" int 0 false`,
	}
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("got\n%s\nwant\n%s", g, w)
	}
	if root.Len() != 7 || root.Depth() != 3 || root.Leaves() != 9 || string(root.Raw()) != in {
		t.Errorf("root: len %d, depth %d, leaves %d", root.Len(), root.Depth(), root.Leaves())
	}
	var kinds []string
	for v := range root.Get("list").Elems() {
		kinds = append(kinds, v.Kind().String())
	}
	if strings.Join(kinds, " ") != "number array object" {
		t.Errorf("elements: %v", kinds)
	}
}

func TestGet(t *testing.T) {
	d, err := Parse([]byte(`{"a":{"b":{"c":"deep"}},"x":"\n"}`), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Release()
	if got := d.Root().Get("a").Get("b").Get("c").Text(); got != "deep" {
		t.Errorf("got %q", got)
	}
	for _, missing := range []Node{d.Root().Get("A"), d.Root().Get("b"), d.Root().Get("x").Get("y"), d.Root().Get("no").Get("c")} {
		if missing.Valid() {
			t.Errorf("found %s", missing.Raw())
		}
	}
}

// TestZeroNode: the zero Node answers everything, so that absent members need no check of their own.
func TestZeroNode(t *testing.T) {
	var n Node
	if n.Valid() || n.Kind() != Null || n.Len() != 0 || n.Depth() != 0 || n.Leaves() != 0 {
		t.Error("the zero Node claims to be something")
	}
	if n.Bytes() != nil || n.Text() != "" || n.Number() != nil || n.Raw() != nil || n.AppendCanonical(nil) != nil {
		t.Error("the zero Node has content")
	}
	if _, ok := n.Int(); ok {
		t.Error("the zero Node is a number")
	}
	for range n.Members() {
		t.Error("the zero Node has members")
	}
	for range n.Elems() {
		t.Error("the zero Node has elements")
	}
}

func TestIterationStopsWhenAsked(t *testing.T) {
	d, err := Parse([]byte(`[{"a":1,"b":2},3]`), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Release()
	seen := 0
	for v := range d.Root().Elems() {
		for range v.Members() {
			seen++
			break
		}
		break
	}
	if seen != 1 {
		t.Errorf("%d members seen", seen)
	}
}
