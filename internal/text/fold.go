package text

import (
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// fold is s with accents and compatibility forms folded, its case kept: NFKD, less the combining marks that Latin, Greek
// and Cyrillic use, and NFC again, so that marks which spell a word (kana, Indic, Thai, Hangul) stay. Bytes that are not
// UTF-8 end up as separators.
func (w *walker) fold(s string) []byte {
	w.folded = append(w.folded[:0], s...)
	if isASCII(s) {
		return w.folded
	}
	decomposed := norm.NFKD.AppendString(nil, s)
	kept := decomposed[:0]
	for i := 0; i < len(decomposed); {
		r, n := utf8.DecodeRune(decomposed[i:])
		if !isAccent(r) {
			kept = append(kept, decomposed[i:i+n]...)
		}
		i += n
	}
	w.folded = norm.NFC.Append(w.folded[:0], kept...)
	return w.folded
}

// isAccent tells the blocks of combining diacritical marks, which no script needs to spell a word.
func isAccent(r rune) bool {
	switch {
	case r < 0x300:
		return false
	case r <= 0x36f, 0x1ab0 <= r && r <= 0x1aff, 0x1dc0 <= r && r <= 0x1dff, 0x20d0 <= r && r <= 0x20ff, 0xfe20 <= r && r <= 0xfe2f:
		return true
	}
	return false
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func appendLower(dst, s []byte) []byte {
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if 'A' <= c && c <= 'Z' {
				c |= 0x20
			}
			dst = append(dst, c)
			i++
			continue
		}
		r, n := utf8.DecodeRune(s[i:])
		if r = unicode.ToLower(r); r == 'ς' { // final sigma
			r = 'σ'
		}
		dst = utf8.AppendRune(dst, r)
		i += n
	}
	return dst
}
