package canon

import (
	"iter"
	"strconv"
	"sync"
)

// Kind is the type of a JSON value.
type Kind uint8

// The kinds of JSON values. A zero Node says Null; Valid tells it from a null of the input.
const (
	Null Kind = iota
	False
	True
	Number
	String
	Array
	Object
)

// String is the kind's name in lower case, e.g. "object".
func (k Kind) String() string {
	names := [...]string{"null", "false", "true", "number", "string", "array", "object"}
	if int(k) >= len(names) {
		return "kind-" + strconv.Itoa(int(k))
	}
	return names[k]
}

const (
	isCanonical uint8 = 1 << iota // the input slice is already the canonical form
	isSorted                      // an object whose keys come in canonical order
	isKey                         // a string that names the member whose value is the next node
	isASCII                       // a string without bytes from 0x80 up
)

// node is one value or key. Nodes lie in input order: a container before what it holds, a key before its value.
type node struct {
	start, end uint32 // the value in the input, quotes and brackets included
	a          uint32 // container: index after its last descendant; else start of its text in the arena
	b          uint32 // container: count of members or elements; else length of its text in the arena
	depth      uint16 // container: levels of containers, itself included
	kind       Kind
	flags      uint8
}

// Doc is a parsed JSON text. Its owner calls Release exactly once.
type Doc struct {
	data  []byte // the caller's; must not change until Release
	nodes []node
	arena []byte // strings that had escapes, numbers that were not canonical

	// What only parsing uses.
	frames    []frame
	names     []name // keys of the open objects
	large     keyTable
	maxDepth  int
	foldDepth int
}

var pool = sync.Pool{New: func() any { return new(Doc) }}

// What a pooled Doc may keep; more than one full bulk body needs is left to the collector.
const (
	keepNodes = 1 << 18
	keepArena = 1 << 20
)

// Release gives the memory back. d and everything read from it are invalid from here on.
func (d *Doc) Release() {
	d.reset()
	pool.Put(d)
}

// reset makes d ready for another text, keeping what memory is worth keeping.
func (d *Doc) reset() {
	if cap(d.nodes) > keepNodes || cap(d.arena) > keepArena || d.large.capacity() > keepNodes {
		*d = Doc{}
	}
	d.data = nil
	d.nodes, d.arena = d.nodes[:0], d.arena[:0]
	d.frames, d.names = d.frames[:0], d.names[:0]
	d.large.reset()
}

// Root is the value that the whole input is.
func (d *Doc) Root() Node { return Node{d, 0} }

// Node is a value of a Doc: two words, passed by value. The methods of the zero Node, and those that do not fit its kind,
// answer zero, nil or an empty sequence, so that Get can be chained.
type Node struct {
	d *Doc
	i uint32
}

func (n Node) node() *node { return &n.d.nodes[n.i] }

func (n Node) is(k Kind) bool { return n.d != nil && n.node().kind == k }

// Valid tells whether n is a value at all.
func (n Node) Valid() bool { return n.d != nil }

// Kind is the value's type; Null for the zero Node.
func (n Node) Kind() Kind {
	if n.d == nil {
		return Null
	}
	return n.node().kind
}

// Len counts the members of an object or the elements of an array.
func (n Node) Len() int {
	if n.Kind() < Array {
		return 0
	}
	return int(n.node().b)
}

// Raw is the value as it stands in the input.
func (n Node) Raw() []byte {
	if n.d == nil {
		return nil
	}
	v := n.node()
	return n.d.data[v.start:v.end:v.end]
}

// Bytes is a string's content without quotes and escapes, in UTF-8, valid until Release; nil for other kinds.
func (n Node) Bytes() []byte {
	if !n.is(String) {
		return nil
	}
	return n.d.text(n.node())
}

// Text is a copy of Bytes that outlives Release.
func (n Node) Text() string { return string(n.Bytes()) }

// Number is a number's RFC 8785 text, valid until Release; nil for other kinds.
func (n Node) Number() []byte {
	if !n.is(Number) {
		return nil
	}
	v := n.node()
	if v.flags&isCanonical != 0 {
		return n.Raw()
	}
	return n.d.arena[v.a : v.a+v.b : v.a+v.b]
}

// Int is a number without a fraction, however it was written (100, 1e2, 100.0); false for anything else.
func (n Node) Int() (int64, bool) {
	v, err := strconv.ParseInt(string(n.Number()), 10, 64)
	return v, err == nil
}

// Members yields an object's members in input order, keys without escapes.
func (n Node) Members() iter.Seq2[[]byte, Node] {
	return func(yield func([]byte, Node) bool) {
		if !n.is(Object) {
			return
		}
		for k, end := n.i+1, n.node().a; k < end; k = n.d.after(k + 1) {
			if !yield(n.d.text(&n.d.nodes[k]), Node{n.d, k + 1}) {
				return
			}
		}
	}
}

// Elems yields an array's elements.
func (n Node) Elems() iter.Seq[Node] {
	return func(yield func(Node) bool) {
		if !n.is(Array) {
			return
		}
		for i, end := n.i+1, n.node().a; i < end; i = n.d.after(i) {
			if !yield(Node{n.d, i}) {
				return
			}
		}
	}
}

// Get is the member of that exact key; the zero Node when n has none.
func (n Node) Get(key string) Node {
	for k, v := range n.Members() {
		if string(k) == key {
			return v
		}
	}
	return Node{}
}

// Depth is 0 for a scalar and, for a container, one more than that of the deepest value in it.
func (n Node) Depth() int {
	if n.d == nil {
		return 0
	}
	return int(n.node().depth)
}

// Leaves counts the scalars and empty containers in n; a scalar or an empty container is its own leaf.
func (n Node) Leaves() int {
	if n.d == nil {
		return 0
	}
	leaves := 0
	for i, end := n.i, n.d.after(n.i); i < end; i++ {
		v := &n.d.nodes[i]
		if v.flags&isKey == 0 && (v.kind < Array || v.b == 0) {
			leaves++
		}
	}
	return leaves
}

// after is the index behind the value at i and all it holds.
func (d *Doc) after(i uint32) uint32 {
	if v := &d.nodes[i]; v.kind >= Array {
		return v.a
	}
	return i + 1
}

// text is the content of a string node.
func (d *Doc) text(v *node) []byte {
	if v.flags&isCanonical != 0 {
		return d.data[v.start+1 : v.end-1 : v.end-1]
	}
	return d.arena[v.a : v.a+v.b : v.a+v.b]
}
