package format

import (
	"encoding/binary"
	"math/bits"
	"sync"
)

// maxBlock bounds what blocks are made of here; package s2 does better with more.
const maxBlock = 4 << 10

const (
	minMatch  = 4
	dictBits  = 12 // of the tables over a dictionary
	blockBits = 9  // of the table over the block's own bytes
	nearCopy  = 1 << 11
)

// blockDict makes S2 blocks with a dictionary, which package s2 decodes. They are of events: some hundred bytes of JSON
// whose names, and many of whose values, are in a dictionary of a few KiB. Package s2 is made for more: for each block it
// clears and fills a table of 64 KiB, which takes most of its time here, and it sees no match of less than six bytes.
type blockDict struct {
	size  int
	four  [1 << dictBits]uint32 // where four bytes stand last, plus one; above it 16 bits of their hash
	eight [1 << dictBits]uint16 // where eight do
	bufs  sync.Pool             // of *[]byte: the dictionary, and room for a block behind it
}

func newBlockDict(text []byte) *blockDict {
	d := &blockDict{size: len(text)}
	for i := range len(text) - 7 {
		v := load(text, i)
		h := hash4(v)
		d.four[h>>(32-dictBits)] = h<<16 | uint32(i+1)
		d.eight[hash8(v)>>(64-dictBits)] = uint16(i + 1)
	}
	d.bufs.New = func() any {
		buf := append(make([]byte, 0, len(text)+maxBlock), text...)
		return &buf
	}
	return d
}

func load(b []byte, i int) uint64  { return binary.LittleEndian.Uint64(b[i:]) }
func load4(b []byte, i int) uint32 { return binary.LittleEndian.Uint32(b[i:]) }
func hash4(v uint64) uint32        { return uint32(v) * 0x9E3779B1 }
func hash8(v uint64) uint64        { return v * 0x9E3779B185EBCA87 }

// same counts the equal bytes of a and b.
func same(a, b []byte) int {
	b = b[:min(len(a), len(b))]
	a = a[:len(b)]
	n := 0
	for ; n+8 <= len(b); n += 8 {
		if x := load(a, n) ^ load(b, n); x != 0 {
			return n + bits.TrailingZeros64(x)>>3
		}
	}
	for n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// appendBlock appends the block of src, which has at most maxBlock bytes.
func (d *blockDict) appendBlock(dst, src []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(src)))
	pooled := d.bufs.Get().(*[]byte)
	buf := append(*pooled, src...) // places are counted from the dictionary's beginning
	var table [1 << blockBits]uint16
	done := d.size   // what of buf is in dst
	repeat := d.size // distance of the newest copy; at first to the dictionary's beginning
	for s := d.size; s+8 <= len(buf); {
		v := load(buf, s)
		h := hash4(v)
		at := &table[h>>(32-blockBits)]
		near := int(*at)
		*at = uint16(s)
		from := s - repeat
		if load4(buf, from) != uint32(v) {
			if from = d.find(buf, s, v, h, near); from < 0 {
				s += 1 + (s-done)>>4
				continue
			}
		}
		end := len(buf)
		if from < d.size {
			end = d.size // no copy leads out of the dictionary
		}
		length := minMatch + same(buf[from+minMatch:end], buf[s+minMatch:])
		floor := 0
		if from >= d.size {
			floor = d.size
		}
		for s > done && from > floor && buf[s-1] == buf[from-1] { // what was passed over
			s, from, length = s-1, from-1, length+1
		}
		dst = appendLiteral(dst, buf[done:s])
		dst = appendCopy(dst, s-from, length, s-from == repeat)
		repeat = s - from
		s += length
		done = s
	}
	dst = appendLiteral(dst, buf[done:])
	d.bufs.Put(pooled)
	return dst
}

// find is a place that begins with the four lowest bytes of v, those at s; -1: none that is worth a copy. near is where
// the block may have them.
func (d *blockDict) find(buf []byte, s int, v uint64, h uint32, near int) int {
	e := d.four[h>>(32-dictBits)]
	if e>>16 == h&0xffff && e != 0 {
		at := int(e&0xffff) - 1
		if load4(buf, at) == uint32(v) {
			if long := int(d.eight[hash8(v)>>(64-dictBits)]) - 1; long >= 0 && load(buf, long) == v {
				return long
			}
			if s-at < nearCopy || buf[at+4] == byte(v>>32) {
				return at
			}
		}
	}
	if near >= d.size && load4(buf, near) == uint32(v) {
		return near
	}
	return -1
}

// Tags of S2 (package s2): what the two lowest bits of an element's first byte say.
const (
	_        = iota // literals: nothing to set
	tagCopy1        // a copy of 4 to 11 bytes at a distance below 2,048; at 0: at the distance of the copy before
	tagCopy2        // a copy of 1 to 64 bytes at a distance below 65,536
)

func appendLiteral(dst, text []byte) []byte {
	switch n := len(text) - 1; {
	case n < 0:
		return dst
	case n < 60:
		dst = append(dst, byte(n<<2))
	case n < 1<<8:
		dst = append(dst, 60<<2, byte(n))
	default:
		dst = append(dst, 61<<2, byte(n), byte(n>>8))
	}
	return append(dst, text...)
}

func appendCopy(dst []byte, offset, length int, again bool) []byte {
	if !again {
		switch {
		case offset < nearCopy && (length < 12 || length > 64):
			n := min(length, 11)
			if length-n > 0 && length-n < minMatch {
				n = 8
			}
			dst = append(dst, byte(offset>>8<<5|(n-4)<<2|tagCopy1), byte(offset))
			length -= n
		default:
			n := min(length, 64)
			if length-n > 0 && length-n < minMatch {
				n = 60
			}
			dst = append(dst, byte((n-1)<<2|tagCopy2), byte(offset), byte(offset>>8))
			length -= n
		}
	}
	switch {
	case length == 0:
		return dst
	case length <= 8:
		return append(dst, byte((length-4)<<2|tagCopy1), 0)
	case length < 1<<8+8:
		return append(dst, 5<<2|tagCopy1, 0, byte(length-8))
	default: // maxBlock is less than what two bytes hold
		n := length - 4 - 1<<8
		return append(dst, 6<<2|tagCopy1, 0, byte(n), byte(n>>8))
	}
}
