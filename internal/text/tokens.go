package text

import (
	"crypto/sha256"
	"encoding/hex"
	"sync"
	"unicode"
	"unicode/utf8"
)

// MaxToken bounds a token in bytes. A longer one is its first bytes, a tilde, and 16 hex digits of its SHA-256: two long
// identifiers that differ anywhere stay different.
const MaxToken = 64

const (
	cutKeep  = MaxToken - 17 // bytes of a cut token before the tilde
	maxHumps = 8             // more camel case words than this are no words: base64, random ids
)

// Tokens yields the tokens of s in order of appearance, repeated ones too, until yield returns false. A token is valid
// only during the call. Tokens allocates nothing in the usual case.
func Tokens(s string, yield func(token []byte) bool) {
	walk(s, func(token []byte, _ bool) bool { return yield(token) })
}

// walk yields tokens; whole tells those that a query asks for: identifiers as they were written and all bigrams of a CJK
// run, but not the parts of an identifier.
func walk(s string, yield func(token []byte, whole bool) bool) {
	w := walkers.Get().(*walker)
	w.yield, w.stopped = yield, false
	w.run(w.fold(s))
	w.yield = nil
	walkers.Put(w)
}

var walkers = sync.Pool{New: func() any { return new(walker) }}

// walker holds the scratch memory of one walk.
type walker struct {
	folded  []byte
	token   []byte
	yield   func(token []byte, whole bool) bool
	stopped bool
}

type class uint8

const (
	other class = iota
	word        // letter, digit or a mark that belongs to one
	minor       // joins the segments of a piece: . - _ +
	major       // joins the pieces of an identifier: / : @ \
	cjk
)

func classOf(r rune) class {
	if r < utf8.RuneSelf {
		return asciiClass[r]
	}
	switch {
	case isCJK(r):
		return cjk
	case r == utf8.RuneError:
		return other
	case unicode.IsLetter(r), unicode.IsNumber(r), unicode.IsMark(r):
		return word
	}
	return other
}

var asciiClass = func() (t [utf8.RuneSelf]class) {
	for c := range t {
		switch {
		case '0' <= c && c <= '9', 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
			t[c] = word
		}
	}
	for _, c := range ".-_+" {
		t[c] = minor
	}
	for _, c := range `/:@\` {
		t[c] = major
	}
	return t
}()

func isCJK(r rune) bool {
	return r >= 0x3040 && (r <= 0x30ff || // kana and the prolonged sound mark
		unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul, unicode.Bopomofo))
}

// run cuts the text into identifiers (words and what joins them) and CJK runs.
func (w *walker) run(s []byte) {
	start, end := -1, 0 // of the identifier that is open, up to its last word character
	cjkStart := -1
	for i := 0; i < len(s) && !w.stopped; {
		r, n := rune(s[i]), 1
		if r >= utf8.RuneSelf {
			r, n = utf8.DecodeRune(s[i:])
		}
		c := classOf(r)
		if c != cjk && cjkStart >= 0 {
			w.bigrams(s[cjkStart:i])
			cjkStart = -1
		}
		switch {
		case c == word && (start >= 0 || !unicode.IsMark(r)):
			if start < 0 {
				start = i
			}
			end = i + n
		case c == other || c == cjk:
			w.identifier(s, start, end)
			start = -1
			if c == cjk && cjkStart < 0 {
				cjkStart = i
			}
		}
		i += n
	}
	w.identifier(s, start, end)
	if cjkStart >= 0 {
		w.bigrams(s[cjkStart:])
	}
}

func (w *walker) identifier(s []byte, start, end int) {
	if start < 0 {
		return
	}
	s = s[start:end]
	w.emit(s, true)
	split(s, isMajor, func(piece []byte) {
		if len(piece) < len(s) {
			w.emit(piece, false)
		}
		if indivisible(piece) {
			return
		}
		split(piece, isMinor, func(segment []byte) {
			if len(segment) < len(piece) {
				w.emit(segment, false)
			}
			w.humps(segment)
		})
	})
}

func isMajor(c byte) bool { return c < utf8.RuneSelf && asciiClass[c] == major }
func isMinor(c byte) bool { return c < utf8.RuneSelf && asciiClass[c] == minor }

// split yields the parts of s between separators, less the joiners and marks at their ends.
func split(s []byte, sep func(byte) bool, yield func([]byte)) {
	for start, i := 0, 0; i <= len(s); i++ {
		if i < len(s) && !sep(s[i]) {
			continue
		}
		part := s[start:i]
		for len(part) > 0 && isMinor(part[0]) {
			part = part[1:]
		}
		for len(part) > 0 && isMinor(part[len(part)-1]) {
			part = part[:len(part)-1]
		}
		if r, _ := utf8.DecodeRune(part); len(part) > 0 && !unicode.IsMark(r) {
			yield(part)
		}
		start = i + 1
	}
}

// indivisible pieces are kept whole only: dates, versions, addresses (digits alone, joined) and UUIDs, whose parts would
// fill an index with tokens that nobody asks for.
func indivisible(s []byte) bool {
	digits := true
	for _, c := range s {
		if c > '9' || (c < '0' && !isMinor(c)) {
			digits = false
			break
		}
	}
	return digits || isUUID(s)
}

func isUUID(s []byte) bool {
	if len(s) != 36 {
		return false
	}
	for i, c := range s {
		switch i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		default:
			if !('0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f') {
				return false
			}
		}
	}
	return true
}

// humps yields the words of a camel case segment, of two characters or more each.
func (w *walker) humps(s []byte) {
	if len(s) > MaxToken {
		return
	}
	var cuts [maxHumps + 1]int
	n := 1 // cuts[0] is 0
	var before, last rune
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRune(s[i:])
		at := -1
		switch {
		case unicode.IsUpper(r) && unicode.IsLower(last): // getBucket
			at = i
		case unicode.IsLower(r) && unicode.IsUpper(last) && (unicode.IsUpper(before) || unicode.IsDigit(before)): // HTTPServer, EC2Instance
			at = i - utf8.RuneLen(last)
		}
		if at > cuts[n-1] {
			if n == maxHumps {
				return
			}
			cuts[n] = at
			n++
		}
		before, last = last, r
		i += size
	}
	if n == 1 {
		return
	}
	cuts[n] = len(s)
	for i := range n {
		if part := s[cuts[i]:cuts[i+1]]; utf8.RuneCount(part) > 1 {
			w.emit(part, false)
		}
	}
}

func (w *walker) bigrams(s []byte) {
	first := 0 // start of the character before
	for i, n := 0, 0; i < len(s); {
		_, size := utf8.DecodeRune(s[i:])
		i += size
		n++
		if n == 1 && i < len(s) {
			continue
		}
		w.emit(s[first:i], true)
		_, size = utf8.DecodeRune(s[first:])
		first += size
	}
}

// emit yields s in lower case, cut to MaxToken.
func (w *walker) emit(s []byte, whole bool) {
	if w.stopped {
		return
	}
	w.token = appendLower(w.token[:0], s)
	if len(w.token) > MaxToken {
		w.token = cut(w.token)
	}
	w.stopped = !w.yield(w.token, whole)
}

func cut(token []byte) []byte {
	sum := sha256.Sum256(token)
	keep := cutKeep
	for !utf8.RuneStart(token[keep]) {
		keep--
	}
	return hex.AppendEncode(append(token[:keep], '~'), sum[:8])
}
