package keyring_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"auditlog/keyring"
	"auditlog/keyring/file"
)

var (
	tenantA = [16]byte{0: 0xA1, 15: 1}
	tenantB = [16]byte{0: 0xB2, 15: 2}
)

func openFolder(tb testing.TB, dir string) *file.Driver {
	tb.Helper()
	d, err := file.Open(dir)
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

// newRing gives a ring over a new folder in which tenantA exists.
func newRing(tb testing.TB, o keyring.Options) *keyring.Ring {
	tb.Helper()
	return withTenant(tb, keyring.New(openFolder(tb, tb.TempDir()), o))
}

func withTenant(tb testing.TB, r *keyring.Ring) *keyring.Ring {
	tb.Helper()
	if err := r.CreateTenant(tb.Context(), tenantA); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := r.Close(); err != nil {
			tb.Error(err)
		}
	})
	return r
}

// message is one sealed message with what it should open to.
type message struct {
	event  [16]byte
	ref    keyring.Ref
	plain  []byte
	sealed []byte
}

func sealN(tb testing.TB, r *keyring.Ring, n int) []message {
	tb.Helper()
	out := make([]message, n)
	for i := range out {
		m := &out[i]
		binary.BigEndian.PutUint64(m.event[:], uint64(i))
		m.plain = binary.BigEndian.AppendUint64([]byte("plain "), uint64(i))
		var err error
		if m.sealed, m.ref, err = r.Seal(tb.Context(), tenantA, m.event, nil, m.plain); err != nil {
			tb.Fatal(err)
		}
	}
	return out
}

// fataler is what *testing.T and *rapid.T share.
type fataler interface{ Fatalf(string, ...any) }

// mustOpen fails unless the message opens to its plain bytes, or, when punctured, is refused as such.
func mustOpen(tb testing.TB, f fataler, r *keyring.Ring, m message, punctured bool) {
	got, err := r.Open(tb.Context(), tenantA, m.event, m.ref, nil, m.sealed)
	switch {
	case punctured && !errors.Is(err, keyring.ErrPunctured):
		f.Fatalf("message %v was punctured, Open gave %v", m.ref, err)
	case !punctured && err != nil:
		f.Fatalf("message %v: %v", m.ref, err)
	case !punctured && !bytes.Equal(got, m.plain):
		f.Fatalf("message %v opened to %q", m.ref, got)
	}
}

func refs(ms []message) []keyring.Ref {
	out := make([]keyring.Ref, len(ms))
	for i := range ms {
		out[i] = ms[i].ref
	}
	return out
}
