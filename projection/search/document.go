package search

import (
	"bytes"
	"crypto/sha256"
	"encoding/base32"
	"hash/maphash"
	"strconv"

	"auditlog/eventstore"
	"auditlog/internal/criteria"
	"auditlog/internal/entry"
	"auditlog/internal/text"
)

// document is an entry as the index holds it.
type document struct {
	id         int64
	tenant     eventstore.TenantID
	kind       int64
	position   eventstore.Position
	version    eventstore.Position
	occurredAt eventstore.Micros
	recordedAt eventstore.Micros
	entry      entry.Entry
}

// Kinds of documents, and the mark of each in its tokens.
const (
	kindEntries = 0
	kindAccess  = 1
	kindMarks   = "ea"
)

func (f *file) document(e entry.Entry, shard eventstore.Shard) document {
	kind := int64(kindEntries)
	if criteria.KindOf(e.Type) == criteria.Access {
		kind = kindAccess
	}
	return document{
		id: f.id(shard, e.Offset), tenant: e.Tenant, kind: kind, position: e.Position, version: e.Newest,
		occurredAt: e.OccurredAt, recordedAt: e.RecordedAt, entry: e,
	}
}

// Tags tell what a token stands for. A token is the tenant's number in base 36, a dot, the kind's mark, a tag and a value:
// nothing of one tenant, kind or tag can equal something of another.
const (
	tagWord  = 'w' // a token of package text
	tagFacet = 'f' // a hash of a field and its value
	tagTime  = 'o' // a year, month, day or hour (UTC) of occurred_at: 2006, 200601, …
	tagNever = 'n' // stands before no value: in no document
)

func appendPrefix(b []byte, tenant, kind int64) []byte {
	b = strconv.AppendInt(b, tenant, 36)
	return append(b, '.', kindMarks[kind])
}

var base32lower = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// timeLayouts are the buckets of occurred_at, widest first.
var timeLayouts = [...]string{"2006", "200601", "20060102", "2006010215"}

// composer makes the token text of documents; it is reused and not safe for concurrent use.
type composer struct {
	seed    maphash.Seed
	seen    map[uint64]int // hash of a token → where it lies in out, to leave out repeated ones
	out     []byte
	prefix  []byte
	scratch []byte
}

func newComposer() *composer {
	return &composer{seed: maphash.MakeSeed(), seen: map[uint64]int{}}
}

// compose gives the tokens of a document, each once, separated by spaces. The result is valid until the next call.
func (c *composer) compose(d *document, tenant int64) []byte {
	clear(c.seen)
	c.out = c.out[:0]
	c.prefix = appendPrefix(c.prefix[:0], tenant, d.kind)
	at := d.occurredAt.Time()
	for _, layout := range timeLayouts {
		start := c.begin(tagTime)
		c.out = at.AppendFormat(c.out, layout)
		c.end(start)
	}
	criteria.Facets(&d.entry, func(field, value string) {
		c.scratch = append(append(append(c.scratch[:0], field...), 0), value...)
		c.facet()
	})
	criteria.Leaves(&d.entry, func(path, value []byte) {
		c.scratch = append(append(c.scratch[:0], criteria.MetadataPrefix...), path...)
		c.scratch = append(append(c.scratch, 0), value...)
		c.facet()
	})
	criteria.Texts(&d.entry, func(s string) {
		text.Tokens(s, func(token []byte) bool {
			start := c.begin(tagWord)
			c.out = append(c.out, token...)
			c.end(start)
			return true
		})
	})
	return c.out
}

// facet adds the token of the field and value in scratch.
func (c *composer) facet() {
	start := c.begin(tagFacet)
	c.out = appendFacet(c.out, c.scratch)
	c.end(start)
}

func (c *composer) begin(tag byte) (start int) {
	start = len(c.out)
	if start > 0 {
		c.out = append(c.out, ' ')
	}
	c.out = append(append(c.out, c.prefix...), tag)
	return start
}

// end closes the token that begin opened, and takes it back when the document has it already.
func (c *composer) end(start int) {
	token := bytes.TrimPrefix(c.out[start:], []byte{' '})
	h := maphash.Bytes(c.seed, token)
	if at, ok := c.seen[h]; ok && bytes.HasPrefix(c.out[at:], token) {
		if rest := c.out[at+len(token):]; rest[0] == ' ' {
			c.out = c.out[:start]
			return
		}
	}
	c.seen[h] = len(c.out) - len(token)
}

// appendFacet appends 80 bits of the SHA-256 of a field, a zero byte and a value: values are of any length and hold any
// bytes, and case counts.
func appendFacet(b, fieldAndValue []byte) []byte {
	sum := sha256.Sum256(fieldAndValue)
	return base32lower.AppendEncode(b, sum[:10])
}
