package canon

import (
	"math"

	"auditlog/internal/fault"
)

// Limits bounds what Parse accepts.
type Limits struct {
	MaxDepth int // containers inside each other; 0 means 64; at most 10,000 whatever is asked for

	// FoldDepth is the count of levels, from the outermost container, whose objects may not hold two keys that differ only
	// by case (Unicode simple folding); 0 means all levels, -1 none. Further in, keys are twice only when they are equal:
	// cloud audit records do hold objects with both "tagging" and "Tagging".
	FoldDepth int
}

const (
	defaultDepth = 64
	highestDepth = 10_000
)

// Parse reads data, the whole of which must be one JSON value. The Doc refers to data, which must not change until its
// Release. Errors are *fault.Error: Malformed (with the byte offset, and no pointer), DuplicateKey, BadUTF8, Invalid (a
// NUL), NumberRange and TooDeep (with the pointer), TooLarge (4 GiB or more).
func Parse(data []byte, lim Limits) (*Doc, error) {
	if uint64(len(data)) > math.MaxUint32 {
		return nil, fault.New(fault.TooLarge, "the JSON text has 4 GiB or more")
	}
	d := pool.Get().(*Doc)
	d.data = data
	d.maxDepth = min(lim.MaxDepth, highestDepth)
	if d.maxDepth <= 0 {
		d.maxDepth = defaultDepth
	}
	d.foldDepth = lim.FoldDepth
	if d.foldDepth == 0 {
		d.foldDepth = d.maxDepth
	}
	if err := d.parse(); err != nil {
		d.Release()
		return nil, err
	}
	return d, nil
}

// frame is a container that is not closed yet.
type frame struct {
	node      uint32 // the container
	count     uint32 // members or elements begun
	key       uint32 // object: node of the newest key
	firstName uint32 // object: where its keys begin in Doc.names
	depth     uint16 // of the deepest container inside
	closer    byte   // '}' or ']'
	canonical bool   // no whitespace so far, and all inside is canonical
	sorted    bool   // keys so far come in canonical order
	fold      bool   // its keys may not differ by case alone
	hashed    bool   // its keys are in Doc.large, no longer in Doc.names
}

func (d *Doc) top() *frame { return &d.frames[len(d.frames)-1] }

// parse goes through the input once; the containers it is inside of are on d.frames, not on the goroutine's stack.
func (d *Doc) parse() error {
	i, err := d.value(skipSpace(d.data, 0))
	for err == nil && len(d.frames) > 0 {
		i, err = d.step(i)
	}
	if err != nil {
		return err
	}
	if i = skipSpace(d.data, i); i < len(d.data) {
		return malformed(i, "there is more after the end of the value")
	}
	return nil
}

// step continues the innermost container behind its opening bracket or behind one of its values.
func (d *Doc) step(i int) (int, error) {
	f := d.top()
	i = d.space(f, i)
	if i >= len(d.data) {
		return i, truncated(i)
	}
	if d.data[i] == f.closer {
		d.close(f, i+1)
		return i + 1, nil
	}
	if f.count > 0 {
		if d.data[i] != ',' {
			return i, malformed(i, "a comma or the closing bracket is due")
		}
		i = d.space(f, i+1)
	}
	f.count++
	if f.closer == '}' {
		var err error
		if i, err = d.member(f, i); err != nil {
			return i, err
		}
	}
	return d.value(i)
}

// member reads a key and its colon, up to the value.
func (d *Doc) member(f *frame, i int) (int, error) {
	if i >= len(d.data) {
		return i, truncated(i)
	}
	if d.data[i] != '"' {
		return i, malformed(i, "a key in double quotes is due")
	}
	at := uint32(len(d.nodes))
	i, err := d.str(i, isKey)
	if err != nil {
		return i, err
	}
	if err := d.noteKey(f, at); err != nil {
		return i, err
	}
	i = d.space(f, i)
	if i >= len(d.data) {
		return i, truncated(i)
	}
	if d.data[i] != ':' {
		return i, malformed(i, "a colon is due")
	}
	return d.space(f, i+1), nil
}

// value reads a scalar, or opens a container.
func (d *Doc) value(i int) (int, error) {
	if i >= len(d.data) {
		return i, truncated(i)
	}
	switch c := d.data[i]; c {
	case '"':
		return d.str(i, 0)
	case '{':
		return d.open(i, Object, '}')
	case '[':
		return d.open(i, Array, ']')
	case 't':
		return d.literal(i, True, "true")
	case 'f':
		return d.literal(i, False, "false")
	case 'n':
		return d.literal(i, Null, "null")
	default:
		if c == '-' || isDigit(c) {
			return d.number(i)
		}
		return i, malformed(i, "a value is due")
	}
}

func (d *Doc) literal(i int, k Kind, word string) (int, error) {
	end := i + len(word)
	if end > len(d.data) || string(d.data[i:end]) != word {
		return i, malformed(i, "a value is due")
	}
	d.nodes = append(d.nodes, node{start: uint32(i), end: uint32(end), kind: k, flags: isCanonical})
	return end, nil
}

func (d *Doc) open(i int, k Kind, closer byte) (int, error) {
	if len(d.frames) >= d.maxDepth {
		return i, fault.At(fault.TooDeep, d.pointer(true), "more containers inside each other than the limit allows")
	}
	d.frames = append(d.frames, frame{
		node: uint32(len(d.nodes)), firstName: uint32(len(d.names)), closer: closer, canonical: true, sorted: true,
		fold: len(d.frames) < d.foldDepth,
	})
	d.nodes = append(d.nodes, node{start: uint32(i), kind: k})
	return i + 1, nil
}

// close completes the innermost container f, which ends before offset end, and tells the one around it.
func (d *Doc) close(f *frame, end int) {
	v := &d.nodes[f.node]
	v.end, v.a, v.b, v.depth = uint32(end), uint32(len(d.nodes)), f.count, f.depth+1
	if f.sorted {
		v.flags |= isSorted
	}
	canonical := f.canonical && f.sorted
	if canonical {
		v.flags |= isCanonical
	}
	d.names = d.names[:f.firstName]
	d.frames = d.frames[:len(d.frames)-1]
	if len(d.frames) > 0 {
		outer := d.top()
		outer.depth = max(outer.depth, v.depth)
		outer.canonical = outer.canonical && canonical
	}
}

// notCanonical records that the newest scalar does not stand in the input as it will be written.
func (d *Doc) notCanonical() {
	if len(d.frames) > 0 {
		d.top().canonical = false
	}
}

// space skips whitespace inside f.
func (d *Doc) space(f *frame, i int) int {
	if i < len(d.data) && d.data[i] > ' ' {
		return i
	}
	j := skipSpace(d.data, i)
	if j != i {
		f.canonical = false
	}
	return j
}

// skipSpace is the first offset from i on that holds no JSON whitespace.
func skipSpace(data []byte, i int) int {
	for i < len(data) && (data[i] == ' ' || data[i] == '\n' || data[i] == '\r' || data[i] == '\t') {
		i++
	}
	return i
}

func malformed(at int, why string) error {
	return fault.Newf(fault.Malformed, "not JSON at byte %d: %s", at, why)
}

func truncated(at int) error { return malformed(at, "the text ends too early") }
