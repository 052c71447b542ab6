package cloudtrail

import "auditlog/internal/canon"

// object appends the members of a JSON object to b, in the order of the calls.
type object struct {
	b     []byte
	start int // of the object in b
}

func newObject(b []byte) object { return object{append(b, '{'), len(b)} }

func (o *object) key(name []byte) {
	if len(o.b) > o.start+1 {
		o.b = append(o.b, ',')
	}
	o.b = append(canon.AppendBytes(o.b, name), ':')
}

func (o *object) str(name string, value []byte) {
	o.key([]byte(name))
	o.b = canon.AppendBytes(o.b, value)
}

// raw appends a value of a document in canonical form, so without line breaks.
func (o *object) raw(name []byte, v canon.Node) {
	o.key(name)
	o.b = v.AppendCanonical(o.b)
}

// nested opens an object as member name. o must not be written to until close takes it back.
func (o *object) nested(name string) object {
	o.key([]byte(name))
	return newObject(o.b)
}

// close ends a nested object.
func (o *object) close(inner object) { o.b = inner.end() }

func (o *object) end() []byte { return append(o.b, '}') }
