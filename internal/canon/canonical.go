package canon

import (
	"bytes"
	"cmp"
	"slices"
	"sync"
)

// AppendCanonical writes n by RFC 8785: no whitespace, members in the order of their keys' UTF-16 code units (§3.2.3),
// the fewest escapes (§3.2.2.2), numbers as ECMAScript writes them (§3.2.2.3). It writes nothing for the zero Node.
func (n Node) AppendCanonical(dst []byte) []byte {
	if n.d == nil {
		return dst
	}
	return n.d.appendValue(dst, n.i)
}

// appendValue calls itself once per level of containers, a count that Parse has bounded.
func (d *Doc) appendValue(dst []byte, i uint32) []byte {
	v := &d.nodes[i]
	if v.flags&isCanonical != 0 {
		return append(dst, d.data[v.start:v.end]...)
	}
	switch v.kind {
	case String:
		return AppendBytes(dst, d.text(v))
	case Array:
		return d.appendArray(dst, i)
	case Object:
		return d.appendObject(dst, i)
	default: // of the other kinds only a number can be other than canonical
		return append(dst, d.arena[v.a:v.a+v.b]...)
	}
}

func (d *Doc) appendArray(dst []byte, i uint32) []byte {
	dst = append(dst, '[')
	for j, end := i+1, d.nodes[i].a; j < end; j = d.after(j) {
		if j > i+1 {
			dst = append(dst, ',')
		}
		dst = d.appendValue(dst, j)
	}
	return append(dst, ']')
}

// onStack is the count of members up to which an object is sorted without memory of its own.
const onStack = 32

var orders = sync.Pool{New: func() any { return new([]uint32) }}

func (d *Doc) appendObject(dst []byte, i uint32) []byte {
	v := &d.nodes[i]
	if v.flags&isSorted != 0 {
		return d.appendSorted(dst, i)
	}
	if v.b <= onStack {
		var order [onStack]uint32
		return d.appendMembers(dst, d.sortSmall(order[:0], i))
	}
	order := orders.Get().(*[]uint32)
	*order = d.keysOf((*order)[:0], i)
	slices.SortFunc(*order, func(a, b uint32) int { return compareKeys(d, &d.nodes[a], &d.nodes[b]) })
	dst = d.appendMembers(dst, *order)
	if cap(*order) <= keepNodes {
		orders.Put(order)
	}
	return dst
}

func (d *Doc) appendSorted(dst []byte, i uint32) []byte {
	dst = append(dst, '{')
	for k, end := i+1, d.nodes[i].a; k < end; k = d.after(k + 1) {
		if k > i+1 {
			dst = append(dst, ',')
		}
		dst = append(d.appendValue(dst, k), ':')
		dst = d.appendValue(dst, k+1)
	}
	return append(dst, '}')
}

func (d *Doc) appendMembers(dst []byte, order []uint32) []byte {
	dst = append(dst, '{')
	for j, k := range order {
		if j > 0 {
			dst = append(dst, ',')
		}
		dst = append(d.appendValue(dst, k), ':')
		dst = d.appendValue(dst, k+1)
	}
	return append(dst, '}')
}

// keysOf lists the key nodes of the object at i in input order.
func (d *Doc) keysOf(order []uint32, i uint32) []uint32 {
	for k, end := i+1, d.nodes[i].a; k < end; k = d.after(k + 1) {
		order = append(order, k)
	}
	return order
}

// sortSmall lists the key nodes of the object at i in canonical order, by insertion: keys that come almost in order, as
// they do from most encoders' structs and maps, cost little.
func (d *Doc) sortSmall(order []uint32, i uint32) []uint32 {
	for k, end := i+1, d.nodes[i].a; k < end; k = d.after(k + 1) {
		order = append(order, k)
		for j := len(order) - 1; j > 0 && compareKeys(d, &d.nodes[order[j-1]], &d.nodes[order[j]]) > 0; j-- {
			order[j-1], order[j] = order[j], order[j-1]
		}
	}
	return order
}

// compareKeys orders two keys by UTF-16 code units. The order of UTF-8 bytes is the same where one side is ASCII.
func compareKeys(d *Doc, a, b *node) int {
	x, y := d.text(a), d.text(b)
	if (a.flags|b.flags)&isASCII != 0 {
		return bytes.Compare(x, y)
	}
	return compareUTF16(x, y)
}

// compareUTF16 orders UTF-8 texts by their UTF-16 code units. At the first byte that differs, the two orders disagree
// only about U+E000 to U+FFFF (lead bytes 0xEE and 0xEF) against what is above (leads from 0xF0, in UTF-16 surrogates
// from 0xD800): there the former come last.
func compareUTF16(x, y []byte) int {
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return cmp.Compare(utf16Rank(x[i]), utf16Rank(y[i]))
		}
	}
	return cmp.Compare(len(x), len(y))
}

func utf16Rank(c byte) byte {
	if c == 0xEE || c == 0xEF {
		return c | 0x10
	}
	return c
}

// AppendString writes s as a JSON string by RFC 8785 §3.2.2.2. s must be UTF-8: its bytes are copied, not checked.
func AppendString(dst []byte, s string) []byte { return appendQuoted(dst, s) }

// AppendBytes is AppendString for bytes.
func AppendBytes(dst, s []byte) []byte { return appendQuoted(dst, s) }

func appendQuoted[T string | []byte](dst []byte, s T) []byte {
	dst = append(dst, '"')
	from := 0
	for i := range len(s) {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[from:i]...)
		dst = appendEscape(dst, c)
		from = i + 1
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}

func appendEscape(dst []byte, c byte) []byte {
	const hex = "0123456789abcdef"
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\b':
		return append(dst, '\\', 'b')
	case '\t':
		return append(dst, '\\', 't')
	case '\n':
		return append(dst, '\\', 'n')
	case '\f':
		return append(dst, '\\', 'f')
	case '\r':
		return append(dst, '\\', 'r')
	}
	return append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
}
