package canon

import "strconv"

// Members writes the members of a JSON object one after the other into B, absent ones left out. Names are plain ASCII that
// needs no escape, and come in the order that the caller wants: it is no check of RFC 8785. The zero value with B = "{" is
// an object that was begun.
type Members struct {
	B    []byte
	more bool
}

// Key writes a name; its value follows in B.
func (m *Members) Key(name string) {
	if m.more {
		m.B = append(m.B, ',')
	}
	m.more = true
	m.B = append(m.B, '"')
	m.B = append(m.B, name...)
	m.B = append(m.B, '"', ':')
}

// Begin starts an object inside this one, as a value or an element.
func (m *Members) Begin() { m.B, m.more = append(m.B, '{'), false }

// End ends the object that was begun last.
func (m *Members) End() { m.B, m.more = append(m.B, '}'), true }

// Open is Key and Begin.
func (m *Members) Open(name string) {
	m.Key(name)
	m.Begin()
}

// Text writes a string; "" is absent.
func (m *Members) Text(name, value string) {
	if value != "" {
		m.Key(name)
		m.B = AppendString(m.B, value)
	}
}

// Raw writes JSON as it is; nil is absent.
func (m *Members) Raw(name string, value []byte) {
	if value != nil {
		m.Key(name)
		m.B = append(m.B, value...)
	}
}

// Int writes a whole number.
func (m *Members) Int(name string, value int64) {
	m.Key(name)
	m.B = strconv.AppendInt(m.B, value, 10)
}

// Texts writes a list of strings; an empty one is absent.
func (m *Members) Texts(name string, values []string) {
	if len(values) > 0 {
		m.List(name, values)
	}
}

// List writes a list of strings, also an empty one.
func (m *Members) List(name string, values []string) {
	m.Key(name)
	m.B = append(m.B, '[')
	for i, v := range values {
		if i > 0 {
			m.B = append(m.B, ',')
		}
		m.B = AppendString(m.B, v)
	}
	m.B = append(m.B, ']')
}
