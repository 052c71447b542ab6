package canon

import (
	"strconv"
	"strings"
)

// maxPointer bounds, in bytes, the pointer of an error: past it, the pointer stops at an enclosing container.
const maxPointer = 1024

var pointerEscapes = strings.NewReplacer("~", "~0", "/", "~1")

// JoinPointer adds a key or an array index to a JSON pointer (RFC 6901 §3).
func JoinPointer(base, token string) string {
	return base + "/" + pointerEscapes.Replace(token)
}

// pointer leads to the value being read or, without inner, to the container it is in.
func (d *Doc) pointer(inner bool) string {
	frames := d.frames
	if !inner {
		frames = frames[:len(frames)-1]
	}
	p := ""
	for _, f := range frames {
		var token []byte
		if f.closer == '}' {
			token = d.text(&d.nodes[f.key])
		} else {
			token = strconv.AppendUint(nil, uint64(f.count-1), 10)
		}
		if len(p)+1+len(token) > maxPointer {
			break
		}
		p = JoinPointer(p, string(token))
	}
	return p
}
