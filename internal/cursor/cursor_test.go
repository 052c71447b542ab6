package cursor

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"auditlog/eventstore"
	"auditlog/internal/fault"
)

var (
	secret = [32]byte{1, 2, 3}
	tenant = eventstore.TenantID{7}
	start  = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
)

// clock is a clock that the test sets.
type clock struct{ now time.Time }

func (c *clock) time() time.Time { return c.now }

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		payload := rapid.SliceOfN(rapid.Byte(), 0, MaxPayload).Draw(t, "payload")
		c := New(secret, "search", nil)
		text := c.Seal(tenant, payload)
		if len(text) > MaxText {
			t.Fatalf("a cursor of %d bytes is longer than MaxText", len(text))
		}
		if got, err := c.Open(tenant, text); err != nil || !bytes.Equal(got, payload) {
			t.Fatalf("opened %q, %v", got, err)
		}
	})
}

// TestEveryFlipIsRefused is row G2: a cursor altered in any bit, in its text or in its bytes.
func TestEveryFlipIsRefused(t *testing.T) {
	c := New(secret, "search", nil)
	text := ""
	for _, payload := range []string{"payload", "payload+", "payload++"} { // with and without unused bits at the end
		text = c.Seal(tenant, []byte(payload))
		for i := range len(text) {
			for bit := range 8 {
				altered := []byte(text)
				altered[i] ^= 1 << bit
				refused(t, c, tenant, string(altered))
			}
		}
	}
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		altered := bytes.Clone(raw)
		altered[i] ^= 0x80
		refused(t, c, tenant, base64.RawURLEncoding.EncodeToString(altered))
	}
}

// TestForeignCursors is row G2 and B9: truncated, extended, another tenant's, another purpose's or secret's, 64 KB.
func TestForeignCursors(t *testing.T) {
	c := New(secret, "search", nil)
	text := c.Seal(tenant, []byte("payload"))
	for n := range len(text) {
		refused(t, c, tenant, text[:n])
	}
	refused(t, c, eventstore.TenantID{8}, text)
	refused(t, c, eventstore.TenantID{}, text)
	refused(t, New(secret, "tenants", nil), tenant, text)
	refused(t, New([32]byte{9}, "search", nil), tenant, text)
	for _, altered := range []string{
		text + "A", text + "AAAA", text + "=", text + "\n", text[:9] + "\r\n" + text[9:], " " + text,
		strings.Repeat("A", 64<<10), strings.Repeat(text, 64<<10/len(text)), "😀", "\x00", "..", "bnVsbA",
	} {
		refused(t, c, tenant, altered)
	}
}

// TestShiftIsRefused moves the border between tenant and body: the MAC covers both, so it must not.
func TestShiftIsRefused(t *testing.T) {
	c := New(secret, "search", nil)
	raw, err := base64.RawURLEncoding.DecodeString(c.Seal(tenant, bytes.Repeat([]byte{1}, 40)))
	if err != nil {
		t.Fatal(err)
	}
	var shifted eventstore.TenantID
	copy(shifted[:], tenant[1:])
	shifted[15] = raw[0]
	refused(t, c, shifted, base64.RawURLEncoding.EncodeToString(raw[1:]))
}

// TestLife is row G2: good for 24 hours, expired after, and a step back of the clock does no harm.
func TestLife(t *testing.T) {
	at := &clock{start}
	c := New(secret, "search", at.time)
	text := c.Seal(tenant, []byte("payload"))
	for _, step := range []time.Duration{0, time.Hour, Life, -time.Hour} {
		at.now = start.Add(step)
		if _, err := c.Open(tenant, text); err != nil {
			t.Errorf("after %v: %v", step, err)
		}
	}
	for _, step := range []time.Duration{Life + time.Microsecond, 25 * time.Hour} {
		at.now = start.Add(step)
		if _, err := c.Open(tenant, text); !fault.Is(err, fault.CursorExpired) {
			t.Errorf("after %v: %v, want cursor-expired", step, err)
		}
	}
	altered := []byte(text)
	altered[5] ^= 1
	refused(t, c, tenant, string(altered)) // an altered cursor is bad, however old
}

func refused(t *testing.T, c *Codec, tenant eventstore.TenantID, text string) {
	t.Helper()
	if _, err := c.Open(tenant, text); !fault.Is(err, fault.BadCursor) {
		t.Errorf("cursor %.40q…: %v, want bad-cursor", text, err)
	}
}

// FuzzOpen: nothing but what Seal made is opened.
func FuzzOpen(f *testing.F) {
	c := New(secret, "search", func() time.Time { return start })
	good := c.Seal(tenant, []byte("payload"))
	for _, seed := range []string{"", "AQ", good, good[:len(good)-1], good + "A"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		payload, err := c.Open(tenant, text)
		if err == nil && text != good {
			t.Fatalf("opened a cursor that was never made: %q", payload)
		}
		if err != nil && !fault.Is(err, fault.BadCursor) {
			t.Fatalf("refused with %v", err)
		}
	})
}
