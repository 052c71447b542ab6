package canon

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"

	"auditlog/internal/fault"
)

const (
	lows  = 0x0101010101010101
	highs = 0x8080808080808080
)

// plainRun counts the leading bytes of b that are ASCII and need no look: not a quote, backslash or control character.
// Eight bytes at a time: a byte's high bit is set in stop when that byte ends the run. A borrow can mark bytes above a
// true one by mistake, never below it, and only the lowest mark is used.
func plainRun(b []byte) int {
	n := 0
	for ; len(b)-n >= 8; n += 8 {
		w := binary.LittleEndian.Uint64(b[n:])
		quote, slash := w^(lows*'"'), w^(lows*'\\')
		stop := (w - lows*0x20) &^ w
		stop |= (quote - lows) &^ quote
		stop |= (slash - lows) &^ slash
		if stop = (stop | w) & highs; stop != 0 {
			return n + bits.TrailingZeros64(stop)/8
		}
	}
	for n < len(b) && isPlain(b[n]) {
		n++
	}
	return n
}

func isPlain(c byte) bool { return c >= 0x20 && c < 0x80 && c != '"' && c != '\\' }

// str reads the string whose opening quote is at start and adds its node. Flags say whether it is a key.
func (d *Doc) str(start int, flags uint8) (int, error) {
	flags |= isASCII
	for i := start + 1; ; {
		i += plainRun(d.data[i:])
		if i >= len(d.data) {
			return i, truncated(i)
		}
		switch c := d.data[i]; {
		case c == '"':
			d.nodes = append(d.nodes, node{start: uint32(start), end: uint32(i + 1), kind: String, flags: flags | isCanonical})
			return i + 1, nil
		case c == '\\':
			return d.escaped(start, i, flags)
		case c < 0x20:
			return i, d.control(i, flags)
		default:
			size, err := d.rune(i, flags)
			if err != nil {
				return i, err
			}
			flags &^= isASCII
			i += size
		}
	}
}

// escaped goes on with a string from its first backslash, at i, writing its content to the arena.
func (d *Doc) escaped(start, i int, flags uint8) (int, error) {
	from := len(d.arena)
	d.arena = append(d.arena, d.data[start+1:i]...)
	for {
		run := plainRun(d.data[i:])
		d.arena = append(d.arena, d.data[i:i+run]...)
		i += run
		if i >= len(d.data) {
			return i, truncated(i)
		}
		switch c := d.data[i]; {
		case c == '"':
			d.nodes = append(d.nodes, node{
				start: uint32(start), end: uint32(i + 1), a: uint32(from), b: uint32(len(d.arena) - from), kind: String, flags: flags,
			})
			d.notCanonical()
			return i + 1, nil
		case c == '\\':
			r, next, err := d.escape(i, flags)
			if err != nil {
				return next, err
			}
			if r >= utf8.RuneSelf {
				flags &^= isASCII
			}
			d.arena = utf8.AppendRune(d.arena, r)
			i = next
		case c < 0x20:
			return i, d.control(i, flags)
		default:
			size, err := d.rune(i, flags)
			if err != nil {
				return i, err
			}
			flags &^= isASCII
			d.arena = append(d.arena, d.data[i:i+size]...)
			i += size
		}
	}
}

// rune is the length of the UTF-8 sequence at i. utf8.DecodeRune refuses overlong forms, surrogates and what is above
// U+10FFFF, as RFC 3629 §3 demands.
func (d *Doc) rune(i int, flags uint8) (int, error) {
	r, size := utf8.DecodeRune(d.data[i:])
	if r == utf8.RuneError && size == 1 {
		return 0, fault.At(fault.BadUTF8, d.pointer(flags&isKey == 0), "the text is not UTF-8")
	}
	return size, nil
}

// control is the error about the control character at i.
func (d *Doc) control(i int, flags uint8) error {
	if d.data[i] == 0 {
		return d.nul(flags)
	}
	return malformed(i, "a control character in a string must be escaped")
}

func (d *Doc) nul(flags uint8) error {
	return fault.At(fault.Invalid, d.pointer(flags&isKey == 0), "NUL is not allowed")
}

// escape decodes the escape sequence at i (two of them for a surrogate pair) and gives the offset behind it.
func (d *Doc) escape(i int, flags uint8) (rune, int, error) {
	if i+1 >= len(d.data) {
		return 0, i, truncated(len(d.data))
	}
	c := d.data[i+1]
	if c == 'u' {
		return d.unicodeEscape(i, flags)
	}
	r := simpleEscapes[c]
	if r == 0 {
		return 0, i, malformed(i, "an unknown escape sequence")
	}
	return rune(r), i + 2, nil
}

var simpleEscapes = [256]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

func (d *Doc) unicodeEscape(i int, flags uint8) (rune, int, error) {
	r, err := d.hex4(i)
	if err != nil || (r != 0 && !utf16.IsSurrogate(r)) {
		return r, i + 6, err
	}
	if r == 0 {
		return 0, i, d.nul(flags)
	}
	next := i + 6
	if next >= len(d.data) {
		return 0, i, truncated(next)
	}
	if r < 0xDC00 && next+1 < len(d.data) && d.data[next] == '\\' && d.data[next+1] == 'u' {
		low, err := d.hex4(next)
		if err != nil {
			return 0, i, err
		}
		if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
			return pair, next + 6, nil
		}
	}
	return 0, i, fault.At(fault.BadUTF8, d.pointer(flags&isKey == 0), "a surrogate escape without its other half")
}

// hex4 reads the four hexadecimal digits of the \u escape at i.
func (d *Doc) hex4(i int) (rune, error) {
	var r rune
	for j := i + 2; j < i+6; j++ {
		if j >= len(d.data) {
			return 0, truncated(j)
		}
		switch c := d.data[j]; {
		case isDigit(c):
			r = r<<4 | rune(c-'0')
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, malformed(j, "four hexadecimal digits are due")
		}
	}
	return r, nil
}
