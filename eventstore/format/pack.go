package format

import (
	_ "embed"
	"fmt"

	"github.com/klauspost/compress/s2"
)

// MaxPart bounds one part of an event in plain form, in bytes: far above what a 64 KiB entry can reach.
const MaxPart = 1 << 20

// Numbers of the dictionaries. A released number's bytes never change: stored events depend on them.
const (
	dictNone    = 0
	unpacked    = 255 // no S2 block follows but the plain bytes: on the bus only, where a whole envelope is compressed
	dictPublic  = 1
	dictPrivate = 2
)

//go:embed dict/1-public.txt
var publicText []byte

//go:embed dict/2-private.txt
var privateText []byte

var dicts = [...]*s2.Dict{
	dictPublic:  s2.MakeDictManual(publicText, 0),
	dictPrivate: s2.MakeDictManual(privateText, 0),
}

var blocks = [...]*blockDict{
	dictPublic:  newBlockDict(publicText),
	dictPrivate: newBlockDict(privateText),
}

// PackPublic appends the stored form of a public part to dst.
func PackPublic(dst, plain []byte) []byte { return pack(dst, plain, dictPublic) }

// PackPrivate appends the compressed form of a private part to dst; it is sealed next.
func PackPrivate(dst, plain []byte) []byte { return pack(dst, plain, dictPrivate) }

func pack(dst, plain []byte, dict byte) []byte {
	start := len(dst)
	need := s2.MaxEncodedLen(len(plain)) + 1
	if cap(dst)-start < need {
		grown := make([]byte, start, start+need)
		copy(grown, dst)
		dst = grown
	}
	if len(plain) <= maxBlock {
		return blocks[dict].appendBlock(append(dst, dict), plain)
	}
	room := dst[start+1 : start+need]
	packed := dicts[dict].Encode(room[:0:len(room)], plain)
	return append(append(dst[:start], dict), packed...)
}

// Bare gives packed bytes another form, for the bus: a mark and the plain bytes, which Unpack reads as well. An envelope
// that is compressed as a whole is smaller with its parts in the open.
func Bare(dst, packed []byte) ([]byte, error) { return Unpack(append(dst, unpacked), packed) }

// Unpack appends the plain form of packed bytes to dst. It fails on an unknown dictionary or damaged bytes.
func Unpack(dst, packed []byte) ([]byte, error) {
	if len(packed) == 0 {
		return dst, fmt.Errorf("packed part is empty")
	}
	if packed[0] == unpacked {
		return append(dst, packed[1:]...), nil
	}
	if packed[0] != dictNone && (int(packed[0]) >= len(dicts) || dicts[packed[0]] == nil) {
		return dst, fmt.Errorf("packed part names dictionary %d, which this binary does not have", packed[0])
	}
	n, err := s2.DecodedLen(packed[1:])
	if err != nil {
		return dst, fmt.Errorf("packed part: %w", err)
	}
	if n > MaxPart {
		return dst, fmt.Errorf("packed part says %d bytes, more than %d", n, MaxPart)
	}
	start := len(dst)
	if cap(dst)-start < n {
		grown := make([]byte, start, start+n)
		copy(grown, dst)
		dst = grown
	}
	var plain []byte
	if packed[0] == dictNone {
		plain, err = s2.Decode(dst[start:start+n:start+n], packed[1:])
	} else {
		plain, err = dicts[packed[0]].Decode(dst[start:start+n:start+n], packed[1:])
	}
	if err != nil {
		return dst, fmt.Errorf("packed part: %w", err)
	}
	return append(dst[:start], plain...), nil
}
