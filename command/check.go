package command

import (
	"strconv"
	"strings"

	"auditlog/internal/canon"
	"auditlog/internal/fault"
)

// Limits of one entry (api.md, Entry; quality.md §5). Strings count in bytes.
const (
	MaxEntry = 64 << 10 // of the canonical client JSON

	maxAction  = 128
	maxType    = 128
	maxID      = 512
	maxName    = 512
	maxAgent   = 2 << 10 // user_agent: browsers and SDKs exceed 512
	maxRequest = 128     // request_id, trace_id
	maxText    = 8 << 10 // message, reason, a string inside an object
	maxKey     = 255     // idempotency_key
	maxRefs    = 16      // related, on_behalf_of
	maxSubject = 64

	maxDepth      = 16
	maxLeaves     = 512
	maxMembers    = 64
	maxMemberName = 128
)

// maxFields bounds the broken rules that are reported of one body: more help nobody.
const maxFields = 64

// place leads to a value: a member of the object at parent, or of the element at index of the list at parent.
type place struct {
	parent string
	index  int // from 1; 0: parent is an object
	name   string
}

func (p place) pointer(base string) string {
	var b strings.Builder
	b.WriteString(base)
	b.WriteString(p.parent)
	if p.index > 0 {
		b.WriteByte('/')
		b.WriteString(strconv.Itoa(p.index - 1))
	}
	if p.name != "" {
		b.WriteByte('/')
		b.WriteString(p.name)
	}
	return b.String()
}

// checker reads values and notes every broken rule. Texts that it returns outlive the parsed document; they share one
// piece of memory.
type checker struct {
	base   string
	fields []fault.Field
	arena  strings.Builder
}

func (c *checker) fail(kind fault.Kind, p place, detail string) {
	if len(c.fields) < maxFields {
		c.fields = append(c.fields, fault.Field{Kind: kind, Pointer: p.pointer(c.base), Detail: detail})
	}
}

// unknown notes a member that does not belong there. Its name is the client's, so the pointer escapes it, and leaves
// a very long one out.
func (c *checker) unknown(kind fault.Kind, p place, key []byte, detail string) {
	if len(key) <= maxMemberName {
		p.name = canon.JoinPointer("", string(key))[1:]
	}
	c.fail(kind, p, detail)
}

const noSuchField = "there is no such field"

// charset says which characters a text may hold. NUL and what is not UTF-8 never get here: canon.Parse refuses them.
type charset uint8

const (
	anything  charset = iota
	noControl         // no C0, DEL or C1 control character
	visible           // visible ASCII
	action            // [A-Za-z0-9._:/-]
)

var charsetRule = [...]string{
	noControl: "must hold no control characters",
	visible:   "must hold visible ASCII characters only",
	action:    "must hold only letters A-Z and a-z, digits, and . _ : / -",
}

func (s charset) allows(text []byte) bool {
	switch s {
	case noControl:
		return !hasControl(text)
	case visible:
		for _, b := range text {
			if b <= ' ' || b >= 0x7f {
				return false
			}
		}
	case action:
		for _, b := range text {
			if !isActionByte(b) {
				return false
			}
		}
	}
	return true
}

func isActionByte(b byte) bool {
	return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '-' <= b && b <= ':' || b == '_'
}

// hasControl finds C0, DEL, and C1, which in UTF-8 is 0xC2 followed by 0x80 to 0x9F.
func hasControl(text []byte) bool {
	for i, b := range text {
		if b < 0x20 || b == 0x7f || b == 0xc2 && i+1 < len(text) && text[i+1] < 0xa0 {
			return true
		}
	}
	return false
}

// bytes checks an optional text: null and "" are absent. The result is valid until the document's Release.
func (c *checker) bytes(n canon.Node, p place, maxBytes int, s charset) []byte {
	switch n.Kind() {
	case canon.Null:
		return nil
	case canon.String:
	default:
		c.fail(fault.Invalid, p, "must be a string")
		return nil
	}
	text := n.Bytes()
	switch {
	case len(text) > maxBytes:
		c.fail(fault.Invalid, p, "must be at most "+strconv.Itoa(maxBytes)+" bytes long")
	case !s.allows(text):
		c.fail(fault.Invalid, p, charsetRule[s])
	default:
		return text
	}
	return nil
}

// text is bytes in memory of its own.
func (c *checker) text(n canon.Node, p place, maxBytes int, s charset) string {
	return c.keep(c.bytes(n, p, maxBytes, s))
}

func (c *checker) keep(text []byte) string {
	if len(text) == 0 {
		return ""
	}
	from := c.arena.Len()
	c.arena.Write(text)
	return c.arena.String()[from:]
}

// need checks a required text.
func (c *checker) need(n canon.Node, p place, maxBytes int, s charset) string {
	if n.Kind() == canon.Null || n.Kind() == canon.String && len(n.Bytes()) == 0 {
		c.fail(fault.Invalid, p, "is required and must not be empty")
		return ""
	}
	return c.text(n, p, maxBytes, s)
}

// oneOf checks an optional enumeration, in any case when anyCase is set; the first choice stands for null. The result is
// one of the choices.
func (c *checker) oneOf(n canon.Node, p place, choices []string, anyCase bool) string {
	switch n.Kind() {
	case canon.Null:
		return choices[0]
	case canon.String:
		for _, choice := range choices {
			if choice == string(n.Bytes()) || anyCase && strings.EqualFold(choice, string(n.Bytes())) {
				return choice
			}
		}
	}
	c.fail(fault.Invalid, p, "must be one of "+strings.Join(choices, ", "))
	return choices[0]
}

// isObject checks that an optional value is an object; false for null too.
func (c *checker) isObject(n canon.Node, p place) bool {
	switch n.Kind() {
	case canon.Object:
		return true
	case canon.Null:
	default:
		c.fail(fault.Invalid, p, "must be an object")
	}
	return false
}

// isList checks that an optional value is a list of at most limit elements; false for null too.
func (c *checker) isList(n canon.Node, p place, limit int) bool {
	switch n.Kind() {
	case canon.Null:
		return false
	case canon.Array:
		if n.Len() > limit {
			c.fail(fault.Invalid, p, "must hold at most "+strconv.Itoa(limit)+" elements")
			return false
		}
		return true
	}
	c.fail(fault.Invalid, p, "must be a list")
	return false
}

// sized checks the size of a body's canonical form and returns that form if it had to be made. RFC 8785 writes a value
// in at most four times the bytes that it came in (1E15 is the worst), so short ones need no look.
func (c *checker) sized(n canon.Node) (canonical []byte) {
	if len(n.Raw())*4 <= MaxEntry {
		return nil
	}
	canonical = n.AppendCanonical(make([]byte, 0, len(n.Raw())))
	if len(canonical) > MaxEntry {
		c.fail(fault.TooLarge, place{}, "is larger than 65536 bytes in canonical form")
	}
	return canonical
}
