package canon

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"unicode"
	"unicode/utf8"

	"auditlog/internal/fault"
)

// smallObject is the count of keys up to which each new key is compared with all before it.
const smallObject = 16

// name is a key of an open small object. Equal keys, ASCII case aside, have equal signatures.
type name struct {
	signature uint64 // 0 for a key that is not all ASCII: it may equal a key of any signature
	node      uint32
}

// noteKey takes in the key at node index at as the newest of f: it must differ from all before it.
func (d *Doc) noteKey(f *frame, at uint32) error {
	key := &d.nodes[at]
	text := d.text(key)
	previous := f.key
	f.key = at
	if f.count > 1 && f.sorted {
		f.sorted = compareKeys(d, &d.nodes[previous], key) < 0
	}
	if !d.isNew(f, at, text) {
		detail := "the key is twice in its object"
		if f.fold {
			detail = "the key is twice in its object, where case does not tell keys apart"
		}
		return fault.At(fault.DuplicateKey, d.pointer(true), detail)
	}
	return nil
}

func (d *Doc) isNew(f *frame, at uint32, text []byte) bool {
	if f.hashed {
		return d.large.add(d, f, at)
	}
	var signature uint64
	if d.nodes[at].flags&isASCII != 0 {
		signature = sign(text)
	}
	for _, n := range d.names[f.firstName:] {
		if n.signature != signature && n.signature != 0 && signature != 0 {
			continue
		}
		if f.same(d.text(&d.nodes[n.node]), text) {
			return false
		}
	}
	d.names = append(d.names, name{signature, at})
	if f.count > smallObject {
		for _, n := range d.names[f.firstName:] {
			d.large.add(d, f, n.node)
		}
		f.hashed = true
	}
	return true
}

// same tells whether two keys of f count as one.
func (f *frame) same(a, b []byte) bool {
	if f.fold {
		return bytes.EqualFold(a, b)
	}
	return bytes.Equal(a, b)
}

// sign mixes length, head and tail of an ASCII key. Setting 0x20 makes letters lower case; that it also merges a few
// other characters costs only a comparison.
func sign(key []byte) uint64 {
	const lower = lows * 0x20
	var head, tail uint64
	switch n := len(key); {
	case n >= 8:
		head, tail = binary.LittleEndian.Uint64(key), binary.LittleEndian.Uint64(key[n-8:])
	case n >= 4:
		head, tail = uint64(binary.LittleEndian.Uint32(key)), uint64(binary.LittleEndian.Uint32(key[n-4:]))
	case n > 0:
		head, tail = uint64(key[0])|uint64(key[n/2])<<8, uint64(key[n-1])
	}
	mixed := (head|lower)*0x9E3779B97F4A7C15 ^ bits.RotateLeft64((tail|lower)*0xC2B2AE3D27D4EB4F, 29) ^ uint64(len(key))
	return mixed | 1
}

// keyTable is a set of (object, key, folded where case does not count) for all large objects of a text: open addressing, at most half full. The
// seed is the process's own secret, so that no sender can choose keys that collide.
type keyTable struct {
	slots, spare []slot
	used         int
	folded       []byte // scratch
}

type slot struct {
	hash   uint64
	object uint32
	key    uint32 // a key's node is never 0, so 0 marks a free slot
}

var seed = maphash.MakeSeed()

func (t *keyTable) reset() { t.slots, t.used = t.slots[:0], 0 }

func (t *keyTable) capacity() int { return cap(t.slots) + cap(t.spare) }

// add takes in a key of the object f, or answers false when it is there already.
func (t *keyTable) add(d *Doc, f *frame, key uint32) bool {
	if 2*(t.used+1) > len(t.slots) {
		t.grow()
	}
	v := &d.nodes[key]
	text := d.text(v)
	form := text
	if f.fold {
		t.folded = appendFolded(t.folded[:0], text, v.flags&isASCII != 0)
		form = t.folded
	}
	hash := maphash.Bytes(seed, form) ^ uint64(f.node)*0x9E3779B97F4A7C15
	mask := uint64(len(t.slots) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		s := &t.slots[i]
		if s.key == 0 {
			*s = slot{hash, f.node, key}
			t.used++
			return true
		}
		if s.hash == hash && s.object == f.node && f.same(d.text(&d.nodes[s.key]), text) {
			return false
		}
	}
}

// grow doubles the table into the spare one, so that a pooled Doc soon needs no new memory.
func (t *keyTable) grow() {
	old, size := t.slots, max(4*smallObject, 2*len(t.slots))
	if cap(t.spare) >= size {
		t.slots = t.spare[:size]
		clear(t.slots)
	} else {
		t.slots = make([]slot, size)
	}
	mask := uint64(size - 1)
	for _, s := range old {
		if s.key == 0 {
			continue
		}
		i := s.hash & mask
		for t.slots[i].key != 0 {
			i = (i + 1) & mask
		}
		t.slots[i] = s
	}
	t.spare = old[:0]
}

// appendFolded writes the one form that all keys share which bytes.EqualFold calls equal: each character's smallest
// under simple folding (Unicode §3.13, CaseFolding.txt statuses C and S).
func appendFolded(dst, key []byte, ascii bool) []byte {
	if ascii {
		for _, c := range key {
			if 'a' <= c && c <= 'z' {
				c -= 'a' - 'A'
			}
			dst = append(dst, c)
		}
		return dst
	}
	for len(key) > 0 {
		r, size := utf8.DecodeRune(key)
		key = key[size:]
		least := r
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			least = min(least, f)
		}
		dst = utf8.AppendRune(dst, least)
	}
	return dst
}
