package entry

import (
	"auditlog/internal/canon"
)

var emptyObject = []byte("{}")

// stored accepts every free object that was accepted once: in these, keys may differ by case alone.
var stored = canon.Limits{FoldDepth: -1}

// appendChanges appends the list of what differs between two canonical JSON objects, nil standing for an empty one. Each
// change is {"op","path","from"?,"to"?} with op add, remove or replace and an RFC 6901 path, as in RFC 6902. Objects are
// compared member by member; all else, lists included, as a whole: an index says little once a list has shifted. Equal
// values have equal canonical bytes, so nothing else is looked at. First come removals and replacements in the order of
// before, level by level as they are met, then additions in the order of after.
//
// Values that are not objects, which no writer of ours stores, make an empty list.
func appendChanges(b, before, after []byte) []byte {
	old, err := canon.Parse(orEmpty(before), stored)
	if err != nil {
		return append(b, "[]"...)
	}
	defer old.Release()
	now, err := canon.Parse(orEmpty(after), stored)
	if err != nil {
		return append(b, "[]"...)
	}
	defer now.Release()
	c := changes{b: append(b, '[')}
	c.compare(nil, old.Root(), now.Root())
	return append(c.b, ']')
}

func orEmpty(object []byte) []byte {
	if object == nil {
		return emptyObject
	}
	return object
}

type changes struct {
	b    []byte
	more bool
}

// compare calls itself once per level of nested objects. path is extended in place by callees.
func (c *changes) compare(path []byte, old, now canon.Node) {
	for key, was := range old.Members() {
		at := appendToken(path, key)
		is := now.Get(string(key))
		switch {
		case !is.Valid():
			c.add("remove", at, was.Raw(), nil)
		case string(was.Raw()) == string(is.Raw()):
		case was.Kind() == canon.Object && is.Kind() == canon.Object:
			c.compare(at, was, is)
		default:
			c.add("replace", at, was.Raw(), is.Raw())
		}
	}
	for key, is := range now.Members() {
		if !old.Get(string(key)).Valid() {
			c.add("add", appendToken(path, key), nil, is.Raw())
		}
	}
}

func (c *changes) add(op string, path, from, to []byte) {
	if c.more {
		c.b = append(c.b, ',')
	}
	c.more = true
	o := object{canon.Members{B: append(c.b, '{')}}
	o.Text("op", op)
	o.Key("path")
	o.B = canon.AppendBytes(o.B, path)
	o.Raw("from", from)
	o.Raw("to", to)
	c.b = append(o.B, '}')
}

// appendToken adds a key to a JSON pointer (RFC 6901 §3).
func appendToken(path, key []byte) []byte {
	path = append(path, '/')
	for _, ch := range key {
		switch ch {
		case '~':
			path = append(path, '~', '0')
		case '/':
			path = append(path, '~', '1')
		default:
			path = append(path, ch)
		}
	}
	return path
}
