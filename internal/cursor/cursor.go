// Package cursor makes the opaque texts by which a client continues a listing.
//
// A cursor carries a payload of its maker, the time it was made, and an HMAC-SHA-256 over both and over the tenant it
// was made for. What holds: a text that was altered in any bit, cut, made with another secret or for another purpose,
// or handed to another tenant, is refused as fault.BadCursor, compared in constant time; a genuine one that is older
// than Life is fault.CursorExpired. The payload is authentic but not secret: it holds nothing that its reader did not
// send or was not told.
package cursor

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"

	"auditlog/eventstore"
	"auditlog/internal/fault"
)

const (
	// Life is how long a cursor is good for.
	Life = 24 * time.Hour
	// MaxText bounds a cursor in bytes; a longer text is refused before it is decoded.
	MaxText = 4 << 10
	// MaxPayload bounds what a maker may put in, so that a cursor fits into a query string beside other parameters.
	MaxPayload = 2 << 10

	version = 1
	header  = 1 + 8 // version, time made in microseconds (big endian)
)

// b64 is strict, so that no two texts mean the same bytes.
var b64 = base64.RawURLEncoding.Strict()

// Codec makes and reads the cursors of one kind of listing. It is safe for concurrent use.
type Codec struct {
	key [sha256.Size]byte
	now func() time.Time
}

// New derives the codec's key from the service's secret and a purpose, e.g. "search": cursors of one purpose are
// refused by the others. now is the clock; nil is time.Now.
func New(secret [32]byte, purpose string, now func() time.Time) *Codec {
	if now == nil {
		now = time.Now
	}
	c := &Codec{now: now}
	mac := hmac.New(sha256.New, secret[:])
	mac.Write([]byte("auditlog/cursor/v1/" + purpose))
	mac.Sum(c.key[:0])
	return c
}

// Seal makes a cursor. payload must not exceed MaxPayload.
func (c *Codec) Seal(tenant eventstore.TenantID, payload []byte) string {
	b := make([]byte, 0, header+len(payload)+sha256.Size)
	b = append(b, version)
	b = binary.BigEndian.AppendUint64(b, uint64(c.now().UnixMicro()))
	b = append(b, payload...)
	return b64.EncodeToString(c.sign(b, tenant, b))
}

// Open reads a cursor that Seal made for the tenant and gives its payload.
func (c *Codec) Open(tenant eventstore.TenantID, text string) ([]byte, error) {
	b, ok := decode(text)
	if !ok {
		return nil, Bad("the cursor is not one that this service made")
	}
	body, mac := b[:len(b)-sha256.Size], b[len(b)-sha256.Size:]
	if !hmac.Equal(mac, c.sign(nil, tenant, body)) {
		return nil, Bad("the cursor is not one that this service made")
	}
	made := time.UnixMicro(int64(binary.BigEndian.Uint64(body[1:header])))
	if c.now().Sub(made) > Life {
		return nil, fault.At(fault.CursorExpired, "?cursor", "the cursor is older than 24 hours; start again from the first page")
	}
	return body[header:], nil
}

// sign appends the MAC of body for the tenant to dst.
func (c *Codec) sign(dst []byte, tenant eventstore.TenantID, body []byte) []byte {
	mac := hmac.New(sha256.New, c.key[:])
	mac.Write(tenant[:]) // of fixed length, so that tenant and body cannot be shifted against each other
	mac.Write(body)
	return mac.Sum(dst)
}

// decode checks the form of a cursor: alphabet, length, version.
func decode(text string) ([]byte, bool) {
	if len(text) > MaxText {
		return nil, false
	}
	for i := range len(text) {
		if c := text[i]; c == '\r' || c == '\n' { // encoding/base64 would skip them
			return nil, false
		}
	}
	b, err := b64.DecodeString(text)
	return b, err == nil && len(b) >= header+sha256.Size && b[0] == version
}

// Bad is the answer to a cursor that does not belong here.
func Bad(detail string) error { return fault.At(fault.BadCursor, "?cursor", detail) }
