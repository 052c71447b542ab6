package canon

import (
	"bytes"
	"math"
	"strconv"

	"auditlog/internal/fault"
)

const (
	maxSafe       = 1<<53 - 1 // RFC 7493 §2.2
	maxSafeDigits = "9007199254740991"
)

func isDigit(c byte) bool { return c-'0' <= 9 }

func digitsEnd(data []byte, i int) int {
	for i < len(data) && isDigit(data[i]) {
		i++
	}
	return i
}

// number reads the number at start and adds its node.
func (d *Doc) number(start int) (int, error) {
	first := start
	if d.data[first] == '-' {
		first++
	}
	end := digitsEnd(d.data, first)
	switch {
	case end == first:
		return end, malformed(end, "a digit is due")
	case d.data[first] == '0' && end-first > 1:
		return first, malformed(first, "a number must not begin with a zero")
	case end < len(d.data) && (d.data[end] == '.' || d.data[end]|0x20 == 'e'):
		return d.decimal(start, end)
	}
	if !isSafe(d.data[first:end]) {
		return start, d.outOfRange()
	}
	if d.data[first] == '0' && first > start {
		d.addNumber(start, end, []byte("0"))
		return end, nil
	}
	d.nodes = append(d.nodes, node{start: uint32(start), end: uint32(end), kind: Number, flags: isCanonical})
	return end, nil
}

// isSafe tells whether an integer without sign and leading zeros is at most 2^53 − 1.
func isSafe(digits []byte) bool {
	return len(digits) < len(maxSafeDigits) || len(digits) == len(maxSafeDigits) && string(digits) <= maxSafeDigits
}

// decimal reads the number at start, whose fraction or exponent is at i.
func (d *Doc) decimal(start, i int) (int, error) {
	if d.data[i] == '.' {
		end := digitsEnd(d.data, i+1)
		if end == i+1 {
			return end, malformed(end, "a digit is due")
		}
		i = end
	}
	if i < len(d.data) && d.data[i]|0x20 == 'e' {
		i++
		if i < len(d.data) && (d.data[i] == '+' || d.data[i] == '-') {
			i++
		}
		end := digitsEnd(d.data, i)
		if end == i {
			return end, malformed(end, "a digit is due")
		}
		i = end
	}
	var v decimal
	var buf [32]byte
	if !v.set(d.data[start:i]) || !v.survives() {
		return start, d.outOfRange()
	}
	d.addNumber(start, i, v.appendES6(buf[:0]))
	return i, nil
}

// addNumber adds a number's node; text is its canonical form.
func (d *Doc) addNumber(start, end int, text []byte) {
	n := node{start: uint32(start), end: uint32(end), kind: Number}
	if bytes.Equal(d.data[start:end], text) {
		n.flags = isCanonical
	} else {
		n.a, n.b = uint32(len(d.arena)), uint32(len(text))
		d.arena = append(d.arena, text...)
		d.notCanonical()
	}
	d.nodes = append(d.nodes, n)
}

func (d *Doc) outOfRange() error {
	return fault.At(fault.NumberRange, d.pointer(true),
		"the number would be rounded: integers go to 2^53 - 1 either way, others keep what a double keeps; send it as a string")
}

// maxDigits is the most significant digits that the shortest form of a double has.
const maxDigits = 17

// decimal is ±0.d₁d₂…dₙ × 10^point, d₁ and dₙ not zero; zero has no digits.
type decimal struct {
	digits [maxDigits]byte
	n      int
	point  int
	neg    bool
}

// set takes in a JSON number. It answers false when that has more significant digits than any double's shortest form.
func (v *decimal) set(text []byte) bool {
	*v = decimal{neg: text[0] == '-'}
	fraction, zeros := false, 0 // zeros: seen since the last digit kept
	i := 0
	if v.neg {
		i = 1
	}
	for ; i < len(text) && text[i]|0x20 != 'e'; i++ {
		c := text[i]
		switch {
		case c == '.':
			fraction = true
			continue
		case c != '0':
			if v.n+zeros+1 > maxDigits {
				return false
			}
			for ; zeros > 0; zeros-- {
				v.digits[v.n] = '0'
				v.n++
			}
			v.digits[v.n] = c
			v.n++
		case v.n > 0:
			zeros++
		}
		switch {
		case v.n > 0 && !fraction:
			v.point++
		case v.n == 0 && fraction:
			v.point--
		}
	}
	if v.n == 0 {
		*v = decimal{}
		return true
	}
	if i < len(text) {
		v.point += exponent(text[i+1:])
	}
	return true
}

// exponent reads what is behind an "e". It stops growing where no mantissa that fits in memory can make up for it.
func exponent(text []byte) int {
	const enough = math.MaxInt / 20
	neg, e := text[0] == '-', 0
	for _, c := range text {
		if isDigit(c) && e < enough {
			e = e*10 + int(c-'0')
		}
	}
	if neg {
		return -e
	}
	return e
}

// survives tells whether v equals the shortest form of the double nearest to it, and is within ±(2^53 − 1).
//
// In the range of normal doubles no two decimals of up to 15 digits have the same nearest double, so each of them is the
// shortest form of its own: no conversion is needed.
func (v *decimal) survives() bool {
	switch {
	case v.n == 0:
		return true
	case v.point > len(maxSafeDigits) || v.point < -330:
		return false
	case v.n <= 15 && v.point < len(maxSafeDigits) && v.point > -300:
		return true
	}
	var buf [32]byte
	text := append(buf[:0], "0."...)
	text = append(text, v.digits[:v.n]...)
	text = append(text, 'e')
	text = strconv.AppendInt(text, int64(v.point), 10)
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil || f == 0 || f > maxSafe {
		return false
	}
	var kept decimal
	kept.setFloat(f)
	return kept.point == v.point && bytes.Equal(kept.digits[:kept.n], v.digits[:v.n])
}

// setFloat takes in the shortest digits that name f, of these the closest (ECMA-262 Number::toString, step 5).
func (v *decimal) setFloat(f float64) {
	var buf [32]byte
	v.set(strconv.AppendFloat(buf[:0], f, 'e', -1, 64))
}

// AppendFloat writes f as ECMA-262 Number::toString does, which RFC 8785 §3.2.2.3 demands; -0 becomes 0. NaN and the
// infinities have no JSON form: it panics. Parse refuses what is beyond ±(2^53 − 1), which AppendFloat writes.
func AppendFloat(dst []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		panic("canon: AppendFloat of a value that JSON cannot hold")
	}
	var v decimal
	v.setFloat(f)
	return v.appendES6(dst)
}

// appendES6 writes v by steps 6 to 12 of ECMA-262 Number::toString.
func (v *decimal) appendES6(dst []byte) []byte {
	digits, point := v.digits[:v.n], v.point
	if v.n == 0 {
		return append(dst, '0')
	}
	if v.neg {
		dst = append(dst, '-')
	}
	switch {
	case v.n <= point && point <= 21:
		return appendZeros(append(dst, digits...), point-v.n)
	case 0 < point && point <= 21:
		dst = append(dst, digits[:point]...)
		return append(append(dst, '.'), digits[point:]...)
	case -6 < point && point <= 0:
		dst = appendZeros(append(dst, '0', '.'), -point)
		return append(dst, digits...)
	}
	dst = append(dst, digits[0])
	if v.n > 1 {
		dst = append(append(dst, '.'), digits[1:]...)
	}
	dst = append(dst, 'e')
	if point > 0 {
		dst = append(dst, '+')
	}
	return strconv.AppendInt(dst, int64(point-1), 10)
}

func appendZeros(dst []byte, n int) []byte {
	for ; n > 0; n-- {
		dst = append(dst, '0')
	}
	return dst
}
