package opensearch

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"sync"
	"unicode/utf8"

	"auditlog/eventstore"
	"auditlog/internal/canon"
	"auditlog/internal/criteria"
	"auditlog/internal/entry"
	"auditlog/internal/text"
)

// document is an entry as the index holds it.
type document struct {
	id         eventstore.EventID
	tenant     eventstore.TenantID
	kind       string
	shard      eventstore.Shard
	offset     eventstore.Offset
	position   eventstore.Position
	version    eventstore.Position // of the newest event that it holds
	occurredAt eventstore.Micros
	recordedAt eventstore.Micros
	erased     bool
	terms      []string // each once
	words      []byte   // joined by spaces, each once
}

// Kinds of documents.
const (
	kindEntries = "entries"
	kindAccess  = "access"
)

func newDocument(e *entry.Entry, shard eventstore.Shard) document {
	d := document{
		id: e.ID, tenant: e.Tenant, kind: kindEntries, shard: shard, offset: e.Offset, position: e.Position, version: e.Newest,
		occurredAt: e.OccurredAt, recordedAt: e.RecordedAt, erased: e.Erased != nil,
	}
	if criteria.KindOf(e.Type) == criteria.Access {
		d.kind = kindAccess
	}
	c := composers.Get().(*composer)
	defer composers.Put(c)
	c.begin()
	criteria.Facets(e, func(field, value string) {
		c.term = appendTerm(c.term[:0], field, value)
		c.addTerm(&d)
	})
	criteria.Leaves(e, func(path, value []byte) {
		c.field = append(append(c.field[:0], criteria.MetadataPrefix...), path...)
		c.term = appendTerm(c.term[:0], string(c.field), string(value))
		c.addTerm(&d)
	})
	c.begin()
	criteria.Texts(e, func(s string) {
		text.Tokens(s, func(token []byte) bool {
			if c.first(token) {
				if len(d.words) > 0 {
					d.words = append(d.words, ' ') // no token holds a space
				}
				d.words = append(d.words, token...)
			}
			return true
		})
	})
	return d
}

// composer is the scratch memory of one document's making.
type composer struct {
	seen        map[string]struct{}
	term, field []byte
}

var composers = sync.Pool{New: func() any { return &composer{seen: map[string]struct{}{}} }}

func (c *composer) begin() { clear(c.seen) }

// first tells whether a token has not been met since begin.
func (c *composer) first(token []byte) bool {
	if _, ok := c.seen[string(token)]; ok {
		return false
	}
	c.seen[string(token)] = struct{}{}
	return true
}

func (c *composer) addTerm(d *document) {
	if c.first(c.term) {
		d.terms = append(d.terms, string(c.term))
	}
}

// maxTerm bounds a term in bytes. A longer one is cut and ends in a hash; it is always longer than maxTerm, so that
// no short term equals it.
const maxTerm = 256

// appendTerm appends field=value. What is = or \ in the field is escaped: no two pairs of field and value are alike.
func appendTerm(b []byte, field, value string) []byte {
	start := len(b)
	for i := range len(field) {
		if field[i] == '=' || field[i] == '\\' {
			b = append(b, '\\')
		}
		b = append(b, field[i])
	}
	b = append(append(b, '='), value...)
	if len(b)-start <= maxTerm {
		return b
	}
	sum := sha256.Sum256(b[start:])
	cut := start + maxTerm - 32
	for !utf8.RuneStart(b[cut]) {
		cut--
	}
	return hex.AppendEncode(append(b[:cut], '~'), sum[:])
}

// appendSource appends the document as one line of JSON.
func (d *document) appendSource(b []byte) []byte {
	b = append(b, `{"tenant":"`...)
	b, _ = d.tenant.AppendText(b) // never fails
	b = append(append(b, `","kind":"`...), d.kind...)
	b = append(b, '"')
	for _, f := range [...]struct {
		name  string
		value int64
	}{
		{"position", int64(d.position)}, {"version", int64(d.version)}, {"shard", int64(d.shard)}, {"offset", int64(d.offset)},
		{"occurred_at", int64(d.occurredAt)}, {"recorded_at", int64(d.recordedAt)}, {"digest", int64(d.digest())},
	} {
		b = append(append(append(b, ',', '"'), f.name...), '"', ':')
		b = strconv.AppendInt(b, f.value, 10)
	}
	b = append(b, `,"terms":[`...)
	for i, t := range d.terms {
		if i > 0 {
			b = append(b, ',')
		}
		b = canon.AppendString(b, t)
	}
	b = append(b, `],"words":`...)
	return append(canon.AppendBytes(b, d.words), '}', '\n')
}

// digest is 31 bits of a hash over all that makes the document, for comparing generations.
func (d *document) digest() int32 {
	h := sha256.New()
	var n [8]byte
	for _, v := range []int64{int64(d.position), int64(d.version), int64(d.occurredAt), int64(d.recordedAt), int64(len(d.terms))} {
		h.Write(binary.BigEndian.AppendUint64(n[:0], uint64(v)))
	}
	for _, s := range append([]string{d.kind}, d.terms...) {
		h.Write(binary.BigEndian.AppendUint64(n[:0], uint64(len(s))))
		h.Write([]byte(s))
	}
	h.Write(d.words)
	return int32(binary.BigEndian.Uint32(h.Sum(nil)) >> 1)
}
