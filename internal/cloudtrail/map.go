package cloudtrail

import (
	"fmt"
	"net/netip"

	"auditlog/internal/canon"
)

// KeyPrefix of the idempotency keys; the record's eventID follows.
const KeyPrefix = "cloudtrail:"

// Limits of the entry's fields in bytes (HTTP contract, Entry).
const (
	maxAction  = 128
	maxType    = 128
	maxID      = 512
	maxAgent   = 2 << 10
	maxRequest = 128
	maxMessage = 8 << 10
	maxEventID = 255 - len(KeyPrefix)
	maxRelated = 16
)

// maxDepth is far above what a record reaches (11) and what the contract allows (16): the server says what is too deep.
const maxDepth = 64

// AppendEntry appends the entry, as JSON without line breaks, of one record. It fails with a *fault.Error when the
// record is no strict JSON, and when it is no object or lacks eventID, eventName, eventSource or eventTime.
func AppendEntry(dst, record []byte) ([]byte, error) {
	doc, err := canon.Parse(record, canon.Limits{MaxDepth: maxDepth, FoldDepth: -1})
	if err != nil {
		return dst, err
	}
	defer doc.Release()
	return appendEntry(dst, doc.Root())
}

func appendEntry(dst []byte, r canon.Node) ([]byte, error) {
	if r.Kind() != canon.Object {
		return dst, fmt.Errorf("a record is a JSON object")
	}
	for _, name := range []string{"eventID", "eventName", "eventSource", "eventTime"} {
		if len(r.Get(name).Bytes()) == 0 {
			return dst, fmt.Errorf("the record has no %s", name)
		}
	}
	id := r.Get("eventID")
	if !fits(id, maxEventID) {
		return dst, fmt.Errorf("the eventID is longer than %d bytes or holds control characters", maxEventID)
	}
	m := mapping{record: r, object: newObject(dst)}
	m.str("idempotency_key", append([]byte(KeyPrefix), id.Bytes()...))
	m.moved("occurred_at", "eventTime", len("2006-01-02T15:04:05.000000Z"))
	m.action()
	m.identity(r.Get("userIdentity"))
	m.resources(r.Get("resources"))
	m.outcome()
	m.source()
	m.moved("request_id", "requestID", maxRequest)
	m.metadata()
	return m.end(), nil
}

// mapping writes one entry and remembers which members of the record the entry carries unchanged.
type mapping struct {
	object
	record  canon.Node
	carried [8]string
	count   int
}

func (m *mapping) carry(name string) {
	m.carried[m.count] = name
	m.count++
}

func (m *mapping) carries(name []byte) bool {
	for _, c := range m.carried[:m.count] {
		if c == string(name) {
			return true
		}
	}
	return false
}

// moved writes a text of the record as a field of the entry, if the field can hold it.
func (m *mapping) moved(field, name string, maxBytes int) {
	if v := m.record.Get(name); fits(v, maxBytes) {
		m.str(field, v.Bytes())
		m.carry(name)
	}
}

// action is eventName; a character that an action cannot hold becomes '_', and metadata then keeps the name.
func (m *mapping) action() {
	name := m.record.Get("eventName").Bytes()
	action := make([]byte, min(len(name), maxAction))
	for i := range action {
		if action[i] = name[i]; !isActionByte(name[i]) {
			action[i] = '_'
		}
	}
	m.str("action", action)
	if string(action) == string(name) {
		m.carry("eventName")
	}
}

func isActionByte(b byte) bool {
	return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '-' <= b && b <= ':' || b == '_'
}

// source is where the call came from: an address, or the name of a service of AWS.
func (m *mapping) source() {
	from, agent := m.record.Get("sourceIPAddress"), m.record.Get("userAgent")
	s := m.nested("source")
	if fits(from, maxID) {
		field := "service"
		if a, err := netip.ParseAddr(from.Text()); err == nil && a.Zone() == "" {
			field = "ip"
		}
		s.str(field, from.Bytes())
		m.carry("sourceIPAddress")
	}
	if fits(agent, maxAgent) {
		s.str("user_agent", agent.Bytes())
		m.carry("userAgent")
	}
	m.close(s)
}

// metadata is the rest of the record.
func (m *mapping) metadata() {
	s := m.nested("metadata")
	for key, v := range m.record.Members() {
		if !m.carries(key) {
			s.raw(key, v)
		}
	}
	m.close(s)
}

// fits tells whether v is a text that is not empty, within maxBytes, and without control characters.
func fits(v canon.Node, maxBytes int) bool {
	text := v.Bytes()
	return len(text) > 0 && len(text) <= maxBytes && !hasControl(text)
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
